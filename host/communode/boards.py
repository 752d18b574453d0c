# SPDX-License-Identifier: MIT
"""Boards: ``boards/<name>/board.toml`` and ``pins.csv``, read strictly into frozen dataclasses.

A board file says how a board is wired and what it needs; it knows nothing of sensors (`communode.profiles`)
nor of builds. Every mistake is a `CommunodeError` with the file and the key, raised when the board is loaded.

Pins are GPIO numbers. ``pins.csv`` (``name,GPIOn``, as MicroPython's own boards have it) names them for
people; the roles that ``board.toml`` fills must agree with it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from communode.errors import CommunodeError
from communode.resources import boards_folder
from communode.soc import SOCS, Soc
from communode.toml_table import Table, read_toml

CONSOLES = ("uart_bridge", "usb_serial_jtag", "native_usb")
RADIO_CHIPS = ("sx1262", "sx1276")
BUS_KINDS = ("i2c", "uart", "onewire", "i2s", "ulp")


@dataclass(frozen=True)
class Image:
    """The official MicroPython image of a board, pinned by its SHA-256, and where copies are found."""

    version: str
    sha256: str
    file: str
    url: str
    wheel: str
    member: str


@dataclass(frozen=True)
class Radio:
    """Wiring of the LoRa transceiver; None where the chip or the board has no such line."""

    chip: str
    spi: int
    sck: int
    mosi: int
    miso: int
    nss: int
    reset: int
    busy: int | None
    dio0: int | None
    dio1: int | None
    tcxo_mv: int  # 0: a crystal
    tcxo_delay_us: int
    dio2_rf_switch: bool
    tx_enable: int | None
    rx_enable: int | None
    max_power_dbm: int  # conducted, what the board may be set to
    antenna_gain_dbi: float
    feeder_loss_db: float


@dataclass(frozen=True)
class Bus:
    """One sensor bus: pins by role (``sda scl``, ``tx rx``, ``sck ws sd`` or ``pin``)."""

    name: str
    kind: str
    pins: dict[str, int]
    frequency_hz: int | None


@dataclass(frozen=True)
class Battery:
    """Battery voltage = voltage at the ADC ``pin`` times ``ratio_permille`` / 1000, divider enabled."""

    pin: int
    ratio_permille: int
    enable_pin: int | None
    enable_level: int


@dataclass(frozen=True)
class PowerGate:
    """A switched supply: on while ``pin`` is at ``on_level``."""

    name: str
    pin: int
    on_level: int


@dataclass(frozen=True)
class Current:
    """A current of the board in one state, with where the figure comes from."""

    ua: int
    source: str


@dataclass(frozen=True)
class Board:
    """One board, complete and validated."""

    name: str
    title: str
    soc: Soc
    flash_size_mb: int
    psram_size_mb: int
    console: str
    cpu_frequency_hz: int
    image: Image
    radio: Radio
    buses: dict[str, Bus]
    battery: Battery | None
    power: dict[str, PowerGate]
    wake_pins: tuple[int, ...]
    currents: dict[str, Current]

    @property
    def chip(self) -> str:
        """The chip's name as esptool writes it without dashes, say ``esp32s3``."""
        return self.soc.name

    @property
    def arch(self) -> str:
        """The instruction set for mpy-cross."""
        return self.soc.arch

    @property
    def flash_size(self) -> int:
        """Flash size in bytes."""
        return self.flash_size_mb << 20

    def roles(self) -> dict[str, int]:
        """GPIO by role, in the names of ``pins.csv`` (``LORA_SCK``, ``I2C0_SDA``, ``BATTERY`` ...)."""
        return {name: pin for name, pin, _ in _wired(self)}


def board_names() -> list[str]:
    """All boards, sorted."""
    return sorted(path.parent.name for path in boards_folder().glob("*/board.toml"))


@cache
def load_board(name: str) -> Board:
    """The board called ``name``. Raises ``board.*`` or ``toml.*`` (exit status 2)."""
    if name not in board_names():
        raise CommunodeError("board.unknown", usage=True, board=name, known=", ".join(board_names()))
    return read_board(boards_folder() / name)


def read_board(folder: Path) -> Board:
    """Read and check ``folder/board.toml`` and ``folder/pins.csv``."""
    path = folder / "board.toml"
    table = read_toml(path)
    soc = SOCS[table.choice("chip", tuple(SOCS))]
    board = Board(
        name=table.choice("name", (folder.name,)),
        title=table.text("title"),
        soc=soc,
        flash_size_mb=table.integer("flash_size_mb", 4, 16),
        psram_size_mb=table.integer("psram_size_mb", 0, 32),
        console=table.choice("console", CONSOLES),
        cpu_frequency_hz=table.integer("cpu_frequency_hz", 10_000_000, 240_000_000),
        image=_image(table.table("image")),
        radio=_radio(table.table("radio"), soc),
        buses={name: _bus(name, bus, soc) for name, bus in table.tables("buses")},
        battery=_battery(table.table("battery"), soc) if "battery" in table else None,
        power={name: _gate(name, gate, soc) for name, gate in table.tables("power")},
        wake_pins=tuple(table.integers("wake_pins", soc.wake, f"{soc.title}: wake from deep sleep")),
        currents={name: _current(item) for name, item in table.tables("currents")},
    )
    table.choice("arch", (soc.arch,))
    table.finish()
    for state in ("active", "light_sleep", "deep_sleep"):
        if state not in board.currents:
            raise CommunodeError("toml.missing", usage=True, file=path, key=f"currents.{state}")
    _check_pins(board, path)
    _check_names(board, folder / "pins.csv")
    return board


def _image(table: Table) -> Image:
    image = Image(
        version=table.text("version"),
        sha256=table.text("sha256"),
        file=table.text("file"),
        url=table.text("url"),
        wheel=table.text("wheel"),
        member=table.text("member"),
    )
    if len(image.sha256) != 64 or set(image.sha256) - set("0123456789abcdef"):
        raise table.wrong("sha256", "64 hex digits")
    table.finish()
    return image


def _radio(table: Table, soc: Soc) -> Radio:
    chip = table.choice("chip", RADIO_CHIPS)
    new = chip == "sx1262"
    radio = Radio(
        chip=chip,
        spi=table.integer("spi", 1, 2),
        sck=_output(table, "sck", soc),
        mosi=_output(table, "mosi", soc),
        miso=_pin(table, "miso", soc),
        nss=_output(table, "nss", soc),
        reset=_output(table, "reset", soc),
        busy=_pin(table, "busy", soc) if new else None,
        dio0=None if new else _pin(table, "dio0", soc),
        dio1=_pin(table, "dio1", soc) if new or "dio1" in table else None,
        tcxo_mv=table.integer("tcxo_mv", 0, 3300),
        tcxo_delay_us=table.integer("tcxo_delay_us", 0, 100_000),
        dio2_rf_switch=table.flag("dio2_rf_switch"),
        tx_enable=_output(table, "tx_enable", soc) if "tx_enable" in table else None,
        rx_enable=_output(table, "rx_enable", soc) if "rx_enable" in table else None,
        max_power_dbm=table.integer("max_power_dbm", 0, 22 if new else 20),
        antenna_gain_dbi=table.number("antenna_gain_dbi", -10, 20),
        feeder_loss_db=table.number("feeder_loss_db", 0, 20),
    )
    table.finish()
    return radio


def _bus(name: str, table: Table, soc: Soc) -> Bus:
    kind = table.choice("kind", BUS_KINDS)
    frequency_hz = None
    if kind == "i2c":
        pins = {"sda": _output(table, "sda", soc), "scl": _output(table, "scl", soc)}
        frequency_hz = table.integer("frequency_hz", 1000, 1_000_000)
    elif kind == "uart":
        pins = {"tx": _output(table, "tx", soc), "rx": _pin(table, "rx", soc)}
    elif kind == "i2s":
        pins = {"sck": _output(table, "sck", soc), "ws": _output(table, "ws", soc)}
        pins["sd"] = _pin(table, "sd", soc)
    elif kind == "ulp":
        pins = {"pin": _pin(table, "pin", soc)}
        if pins["pin"] not in soc.ulp:
            raise _pin_error("board.not_ulp", table, "pin", soc)
    else:
        pins = {"pin": _output(table, "pin", soc)}
    table.finish()
    return Bus(name=name, kind=kind, pins=pins, frequency_hz=frequency_hz)


def _battery(table: Table, soc: Soc) -> Battery:
    pin = table.integer("pin", 0, 48)
    if pin not in soc.adc1:
        raise _pin_error("board.not_adc", table, "pin", soc)
    gated = "enable_pin" in table
    battery = Battery(
        pin=pin,
        ratio_permille=table.integer("ratio_permille", 1000, 100_000),
        enable_pin=_output(table, "enable_pin", soc) if gated else None,
        enable_level=table.integer("enable_level", 0, 1) if gated else 0,
    )
    table.finish()
    return battery


def _gate(name: str, table: Table, soc: Soc) -> PowerGate:
    gate = PowerGate(name=name, pin=_output(table, "pin", soc), on_level=table.integer("on_level", 0, 1))
    table.finish()
    return gate


def _current(table: Table) -> Current:
    current = Current(ua=table.integer("ua", 0, 10_000_000), source=table.text("source"))
    table.finish()
    return current


def _pin_error(code: str, table: Table, key: str, soc: Soc) -> CommunodeError:
    pin = table.integer(key, 0, 48)
    where = {"file": table.file, "key": table.path(key)}
    return CommunodeError(code, usage=True, pin=pin, chip=soc.title, **where)


def _pin(table: Table, key: str, soc: Soc) -> int:
    pin = table.integer(key, 0, 48)
    if pin not in soc.pins:
        raise _pin_error("board.no_such_pin", table, key, soc)
    return pin


def _output(table: Table, key: str, soc: Soc) -> int:
    pin = _pin(table, key, soc)
    if pin in soc.input_only:
        raise _pin_error("board.input_only", table, key, soc)
    return pin


def _wired(board: Board) -> list[tuple[str, int, str]]:
    """All ``(role, GPIO, owner)``; the owner is a bus name, or empty for what no profile can leave out."""
    radio = board.radio
    names = ("sck", "mosi", "miso", "nss", "reset", "busy", "dio0", "dio1")
    found = [(f"LORA_{name.upper()}", getattr(radio, name), "") for name in names]
    found += [("LORA_TXEN", radio.tx_enable, ""), ("LORA_RXEN", radio.rx_enable, "")]
    if board.battery:
        found += [("BATTERY", board.battery.pin, ""), ("BATTERY_ENABLE", board.battery.enable_pin, "")]
    found += [(f"{gate.name.upper()}_POWER", gate.pin, "") for gate in board.power.values()]
    for bus in board.buses.values():
        for role, pin in bus.pins.items():
            label = bus.name.upper() if role == "pin" else f"{bus.name.upper()}_{role.upper()}"
            found.append((label, pin, bus.name))
    return [(role, pin, owner) for role, pin, owner in found if pin is not None]


def _check_pins(board: Board, path: Path) -> None:
    """No pin twice; two buses may share one, since a profile that uses both is refused by the build."""
    seen: dict[int, tuple[str, str]] = {}
    for role, pin, owner in _wired(board):
        if pin in seen:
            other, other_owner = seen[pin]
            if not (owner and other_owner and owner != other_owner):
                raise CommunodeError(
                    "board.pin_twice", usage=True, file=path, pin=pin, first=other, second=role
                )
        seen.setdefault(pin, (role, owner))


def read_pins(path: Path) -> dict[str, int]:
    """The GPIO of each name in a ``pins.csv``."""
    pins: dict[str, int] = {}
    try:
        rows = list(csv.reader(path.read_text("utf-8").splitlines()))
    except OSError as error:
        raise CommunodeError(
            "toml.unreadable", usage=True, file=path, reason=error.strerror or error
        ) from None
    for number, row in enumerate(rows, start=1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) != 2 or not row[0] or row[0] in pins or not row[1].removeprefix("GPIO").isdecimal():
            raise CommunodeError("board.pins_line", usage=True, file=path, line=number, text=",".join(row))
        pins[row[0]] = int(row[1].removeprefix("GPIO"))
    return pins


def _check_names(board: Board, path: Path) -> None:
    pins = read_pins(path)
    for role, pin in board.roles().items():
        if pins.get(role) != pin:
            raise CommunodeError("board.pins_differ", usage=True, file=path, role=role, pin=pin)


def describe(board: Board) -> dict[str, Any]:
    """The board as ``communode boards --json`` lists it."""
    return {
        "name": board.name,
        "title": board.title,
        "chip": board.chip,
        "arch": board.arch,
        "flash_size_mb": board.flash_size_mb,
        "psram_size_mb": board.psram_size_mb,
        "console": board.console,
        "radio": board.radio.chip,
        "buses": sorted(board.buses),
        "micropython": board.image.version,
    }
