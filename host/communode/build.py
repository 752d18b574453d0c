# SPDX-License-Identifier: MIT
"""Build: one board, one profile -> the code regions of a node's flash, and a manifest that names them.

The regions are bootloader, partition table and MicroPython from the official image, and ``vfs`` with our
code. A build holds no identity: that is `communode.provision`. Identical input gives identical bytes: files
are sorted, nothing carries a time.

A virtual body is the same board compiled for x64, since native code in .mpy files is bound to its
instruction set. That is the only difference, and the manifest says it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from communode import __version__, resources
from communode.argument_names import shorten_arguments
from communode.boards import Board
from communode.errors import CommunodeError
from communode.folding import fold_constants
from communode.images import find_image, image_length, set_flash_size
from communode.node_files import MPY_CROSS, check_compiler, compile_module, radio_driver, select
from communode.partitions import TABLE_OFFSET, Partition, table_for, table_to_bytes
from communode.profiles import Profile
from communode.ulp_program import counter_program

BODIES = ("device", "virtual")
VIRTUAL_ARCH = "x64"
MANIFEST = "manifest.json"
FACTORY_OFFSET = 0x10000


@dataclass(frozen=True)
class Region:
    """Bytes and where in flash they go."""

    name: str
    offset: int
    data: bytes

    @property
    def file(self) -> str:
        """The file name in a build folder."""
        return f"{self.name}.bin"

    def describe(self) -> dict[str, Any]:
        """The region as the manifest lists it."""
        return {
            "name": self.name,
            "offset": self.offset,
            "file": self.file,
            "size": len(self.data),
            "sha256": hashlib.sha256(self.data).hexdigest(),
        }


@dataclass(frozen=True)
class Build:
    """A complete build: the manifest and the regions it describes."""

    manifest: dict[str, Any]
    regions: tuple[Region, ...]

    def region(self, name: str) -> Region:
        """The region called ``name``."""
        return next(region for region in self.regions if region.name == name)

    def partition(self, name: str) -> Partition:
        """The partition called ``name``."""
        return next(Partition(**item) for item in self.manifest["partitions"] if item["name"] == name)

    def write(self, folder: Path) -> None:
        """Write all files into ``folder``; the manifest last, so that a manifest means a complete build."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        for region in self.regions:
            (folder / region.file).write_bytes(region.data)
        (folder / MANIFEST).write_text(json.dumps(self.manifest, indent=2) + "\n", "utf-8")


def build(
    board: Board,
    profile: Profile,
    *,
    body: str = "device",
    region: str = "eu868",
    micropython: Path | None = None,
) -> Build:
    """Build the node ``board`` + ``profile``. Raises ``board.*``, ``image.*`` or ``build.*``."""
    check_compiler()
    check_fit(board, profile)
    arch = board.arch if body == "device" else VIRTUAL_ARCH
    official = find_image(board.image, micropython)
    partitions = table_for(board.flash_size)
    regions = (
        *_official_regions(board, official, partitions),
        Region("vfs", _named(partitions, "vfs").offset, _file_system(board, profile, region, arch)),
    )
    manifest = {
        "schema": 1,
        "board": board.name,
        "chip": board.chip,
        "arch": arch,
        "body": body,
        "profile": profile.name,
        "region": region,
        "version": __version__,
        "micropython": {"version": board.image.version, "sha256": board.image.sha256},
        "mpy_cross": MPY_CROSS,
        "flash_size": board.flash_size,
        "partitions": [vars(item) for item in partitions],
        "regions": [item.describe() for item in regions],
    }
    return Build(manifest, regions)


def read_build(folder: Path) -> Build:
    """Read a build folder; every file must be there, whole, and have the hash that the manifest says."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
        described = [(item, (folder / Path(item["file"]).name)) for item in manifest["regions"]]
        regions = []
        for item, file in described:
            data = file.read_bytes()
            region = Region(item["name"], item["offset"], data)
            if len(data) != item["size"]:
                raise CommunodeError(
                    "build.truncated", usage=True, file=file, size=len(data), expected=item["size"]
                )
            if region.describe() != item:
                raise CommunodeError("build.damaged", usage=True, file=file)
            regions.append(region)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommunodeError("build.unreadable", usage=True, file=error.filename, reason=reason) from None
    except (ValueError, KeyError, TypeError) as error:
        raise CommunodeError("build.unreadable", usage=True, file=path, reason=repr(error)) from None
    return Build(manifest, tuple(regions))


def check_fit(board: Board, profile: Profile) -> None:
    """``board.bus_missing`` or ``board.buses_share_pin`` unless the board can carry the profile's sensors."""
    used: dict[int, str] = {}
    for name in profile.buses:
        if name == "adc":
            continue
        if name not in board.buses:
            known = ", ".join(sorted(board.buses))
            if name.startswith("ulp"):
                raise CommunodeError(
                    "board.no_ulp", usage=True, profile=profile.name, board=board.name, chip=board.soc.title
                )
            raise CommunodeError(
                "board.bus_missing", usage=True, profile=profile.name, bus=name, board=board.name, known=known
            )
        for pin in board.buses[name].pins.values():
            if pin in used:
                raise CommunodeError(
                    "board.buses_share_pin",
                    usage=True,
                    profile=profile.name,
                    first=used[pin],
                    second=name,
                    pin=pin,
                    board=board.name,
                )
            used[pin] = name


def _named(partitions: tuple[Partition, ...], name: str) -> Partition:
    return next(item for item in partitions if item.name == name)


def _official_regions(board: Board, official: bytes, partitions: tuple[Partition, ...]) -> tuple[Region, ...]:
    """Bootloader (fitted to the flash), our table, MicroPython. What lies at nvs in the image is left out."""
    start = board.soc.bootloader_offset
    factory = official[FACTORY_OFFSET - start :]
    try:
        bootloader = official[: image_length(official)]
        image_length(factory)
    except ValueError as error:
        raise CommunodeError("image.malformed", file=board.image.file, reason=str(error)) from None
    if len(bootloader) > TABLE_OFFSET - start or len(factory) > _named(partitions, "factory").size:
        raise CommunodeError("image.malformed", file=board.image.file, reason="a region is too long")
    return (
        Region("bootloader", start, set_flash_size(bootloader, board.flash_size_mb)),
        Region("partition-table", TABLE_OFFSET, table_to_bytes(partitions)),
        Region("factory", FACTORY_OFFSET, factory),
    )


def _file_system(board: Board, profile: Profile, region: str, arch: str) -> bytes:
    """The LittleFS image of ``vfs``: boot.py and main.py as sources, everything else compiled."""
    from littlefs import LittleFS, LittleFSError

    partition = _named(table_for(board.flash_size), "vfs")
    # Parameters of MicroPython's esp32 port. Disk version 2.0 is mounted by every firmware; MicroPython moves
    # it to 2.1 at the first write, which here never comes.
    image = LittleFS(
        block_size=4096,
        block_count=partition.size // 4096,
        read_size=32,
        prog_size=32,
        lookahead_size=32,
        cache_size=128,
        disk_version=0x20000,
    )
    try:
        for path, data in sorted(image_files(board, profile, region, arch).items()):
            with image.open(path, "wb") as stream:
                stream.write(data)
    except LittleFSError as error:
        raise CommunodeError("build.too_big", size=partition.size, reason=str(error)) from None
    return bytes(image.context.buffer)


def image_files(board: Board, profile: Profile, region: str, arch: str) -> dict[str, bytes]:
    """The files of the image: boot.py and main.py as sources, the pack and what mounts it."""
    files = app_files(board, profile, region, arch)
    packed = {name: data for name, data in files.items() if "/" in name or name == "hardware.mpy"}
    kept = {name: data for name, data in files.items() if name not in packed}
    return kept | {"node.pack": pack_files(packed)}


def pack_files(files: dict[str, bytes]) -> bytes:
    """One importable file of many, as ``firmware/pack.py`` reads it."""
    index, data = bytearray(), bytearray()
    for path in sorted(files):
        content = files[path]
        index += b"\n" + path.encode() + b"\0" + len(data).to_bytes(3, "little")
        index += len(content).to_bytes(2, "little")
        data += content
    index += b"\n"
    return b"NPK1" + len(index).to_bytes(4, "little") + bytes(index) + bytes(data)


def app_files(board: Board, profile: Profile, region: str, arch: str) -> dict[str, bytes]:
    """All files of the application one by one, as a developer deploys them: path -> bytes."""
    folder = resources.firmware_folder()
    files = {name: (folder / name).read_bytes() for name in ("boot.py", "main.py")}
    sources = node_sources(board, profile, region)
    for path, source in shorten_arguments(fold_constants(sources)).items():
        files[f"node/{path[:-3]}.mpy"] = compile_module(source, f"node/{path}", arch)
    files["pack.mpy"] = compile_module((folder / "pack.py").read_bytes(), "pack.py", arch)
    hardware = hardware_source(board, profile, region).encode()
    files["hardware.mpy"] = compile_module(hardware, "hardware.py", arch)
    return files


def node_sources(board: Board, profile: Profile, region: str) -> dict[str, bytes]:
    """The modules of ``node`` that this node needs, as they are written: path below ``node`` -> text."""
    wanted = {radio_driver(board.radio.chip), f"lorawan/region/{region}.py"}
    wanted |= {f"drivers/{driver}.py" for driver in profile.drivers}
    wanted |= {f"sampling/{rule}.py" for rule in profile.rules}
    root = resources.node_folder()
    return {path: (root / path).read_bytes() for path in select(root, wanted)}


def hardware_source(board: Board, profile: Profile, region: str) -> str:
    """The generated module ``hardware``: what this node is, as literals, so that the node parses nothing."""
    return (
        f"# Generated by communode {__version__}: what this node is.\n"
        f"VERSION = {__version__!r}\n"
        f"REGION = {region!r}\n"
        f"BOARD = {board_literal(board, profile)!r}\n"
        f"PROFILE = {profile_literal(board, profile)!r}\n"
    )


def board_literal(board: Board, profile: Profile) -> dict[str, Any]:
    """``BOARD`` of the module ``hardware``; pins are GPIO numbers, None where there is no such line.

    An input of the ULP is there only for a profile that counts at it: what others do not use costs them no RAM.

    ``{"name", "cpu_frequency_hz", "radio": {fields of boards.Radio}, "buses": {name: {"kind", pins by role,
    "frequency_hz" for i2c}}, "battery": {fields of boards.Battery} or None, "power": {name: {"pin",
    "on_level"}}, "wake_pins": (...), "currents": {name: microampere}}``
    """
    buses: dict[str, dict[str, Any]] = {}
    for bus in board.buses.values():
        if bus.kind == "ulp" and bus.name not in profile.buses:
            continue
        buses[bus.name] = {"kind": bus.kind, **bus.pins}
        if bus.frequency_hz:
            buses[bus.name]["frequency_hz"] = bus.frequency_hz
    return {
        "name": board.name,
        "cpu_frequency_hz": board.cpu_frequency_hz,
        "radio": dict(vars(board.radio)),
        "buses": buses,
        "battery": dict(vars(board.battery)) if board.battery else None,
        "power": {gate.name: {"pin": gate.pin, "on_level": gate.on_level} for gate in board.power.values()},
        "wake_pins": board.wake_pins,
        "currents": {name: current.ua for name, current in board.currents.items()},
    }


def profile_literal(board: Board, profile: Profile) -> dict[str, Any]:
    """``PROFILE``: the profile for this board.

    A gate stands only where the board has it (elsewhere sensors are always on), and a sensor at the ULP gets the
    program that counts at its pin.
    """
    literal = profile.as_dict()
    for sensor in literal["sensors"]:
        if sensor["power"] not in board.power:
            sensor["power"] = None
        bus = board.buses.get(sensor["bus"])
        if bus is not None and bus.kind == "ulp":
            sensor["settings"]["program"] = counter_program(board.chip, bus.pins["pin"])
    return literal
