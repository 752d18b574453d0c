# SPDX-License-Identifier: MIT
"""A target that holds the data line: the node frees its bus by clocks, else by the supply, thrice."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
from communode.boards import load_board
from communode.profiles import load_profile
from communode.virtual.wiring import ChipEnvironment, Wiring
from communode.virtual.world import World

BOARD = load_board("virtual")
BUS = {"kind": "i2c", "frequency_hz": 100_000, **BOARD.buses["i2c0"].pins}
GATE = {"pin": BOARD.power["sensors"].pin, "on_level": BOARD.power["sensors"].on_level}


class Radio:
    """Never selected."""

    def pin(self, name: str) -> int:
        return 0

    def set_pin(self, name: str, level: int) -> None:
        pass


class Bench:
    """The wiring of a board with the profile air, and ``machine`` in front of it."""

    def __init__(self, faults: dict[str, str]) -> None:
        self.time_us = 5_000_000
        world = World(1)

        def environment(name: str) -> ChipEnvironment:
            return ChipEnvironment(world, lambda: self.time_us, lambda at, call: None, name)

        self.wiring = Wiring(BOARD, load_profile("air"), environment, Radio(), faults)  # type: ignore[arg-type]
        self.transfers = 0
        self.pulses = 0
        self.scl_held = False  # by a target, until its supply is switched off

    def machine(self) -> types.ModuleType:
        bench, wiring = self, self.wiring

        class Pin:
            OUT, OPEN_DRAIN, IN = 3, 7, 1

            def __init__(self, number: int, mode: int = -1, *, value: int | None = None) -> None:
                self._number = number
                if value is not None:
                    wiring.set_level(number, value)
                    if number == GATE["pin"] and value != GATE["on_level"]:
                        bench.scl_held = False
                if mode != -1:
                    wiring.set_mode(number, mode, 0)

            def value(self, level: int | None = None) -> int:
                if level is None:
                    held = bench.scl_held and self._number == BUS["scl"]
                    return 0 if held else wiring.get_level(self._number)
                bench.pulses += self._number == BUS["scl"] and level == 1
                wiring.set_level(self._number, level)
                return 0

        class I2C:
            def __init__(self, number: int, *, scl: Pin, sda: Pin, freq: int) -> None:
                self._number = number
                wiring.init_i2c(number, freq, bytes((scl._number, sda._number)))

            def writeto(self, address: int, data: bytes) -> int:
                bench.transfers += 1
                if bench.scl_held:  # ESP-IDF gives a clock that is stretched so long
                    bench.time_us += 50_000
                    raise OSError(116)
                done, took_us = wiring.write_i2c(self._number, address, bytes(data))
                bench.time_us += took_us
                if done < 0:
                    raise OSError(-done)
                return done

            def readfrom_into(self, address: int, into: bytearray) -> None:
                bench.transfers += 1
                data, took_us = wiring.read_i2c(self._number, address, len(into))
                bench.time_us += took_us
                if data is None:
                    raise OSError(19)
                into[:] = data

        made = types.ModuleType("machine")
        made.__dict__.update(Pin=Pin, I2C=I2C, ADC=object, SPI=object, UART=object, I2S=object)
        return made


def forget() -> None:
    """The next import of the HAL sees the ``machine`` of its own test."""
    for module in ("bus", "recovery"):
        sys.modules.pop(f"communode.node.hal.{module}", None)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def build(faults: dict[str, str], gate: dict[str, int] | None = None) -> tuple[Bench, Any]:
        bench = Bench(faults)
        monkeypatch.setitem(sys.modules, "machine", bench.machine())
        monkeypatch.setitem(sys.modules, "onewire", types.ModuleType("onewire"))
        clock = types.ModuleType("time")

        def sleep_us(duration: int) -> None:
            bench.time_us += duration

        clock.__dict__.update(sleep_us=sleep_us, sleep_ms=lambda ms: sleep_us(ms * 1000))
        monkeypatch.setitem(sys.modules, "time", clock)
        forget()
        bus = importlib.import_module("communode.node.hal.bus")
        for chip in bench.wiring.chips.values():
            chip.power(True)
        bench.time_us += 2_000_000
        return bench, bus.make_bus(BUS, "i2c0", gate)

    yield build
    forget()


def ask_serial_number(bus: Any) -> None:
    bus.writeto(0x62, b"\x36\x82")


def test_a_sound_bus_is_left_alone(make: Any) -> None:
    bench, bus = make({})
    ask_serial_number(bus)
    with pytest.raises(OSError, match="19"):
        bus.writeto(0x50, b"\x00")
    assert bus.recoveries == 0
    assert bench.pulses == 0


def test_nine_clocks_free_a_target_that_holds_the_line(make: Any) -> None:
    bench, bus = make({"scd4x": "stuck_sda"})
    assert bus.is_stuck()
    ask_serial_number(bus)  # works at the second try, within the call
    assert bus.recoveries == 1
    assert bench.pulses == 9
    assert not bus.is_stuck()
    assert bench.transfers == 2


def test_a_target_that_clocks_do_not_move_loses_its_supply(make: Any) -> None:
    bench, bus = make({"sps30": "held_sda"}, GATE)
    ask_serial_number(bus)
    assert bus.recoveries == 1
    assert not bench.wiring.chips["sps30"].faults


@pytest.mark.parametrize("gate", [GATE, None])
def test_a_clock_that_is_stretched_for_ever_costs_the_supply_and_no_endless_wait(
    make: Any, gate: Any
) -> None:
    bench, bus = make({}, gate)
    bench.scl_held = True
    begin = bench.time_us
    if gate:
        ask_serial_number(bus)
        assert bus.recoveries == 1
    else:
        for _ in range(10):
            with pytest.raises(OSError, match="116"):
                ask_serial_number(bus)
        assert bus.recoveries == 0
    assert bench.time_us - begin < 1_200_000


def test_without_a_gate_it_is_given_up_after_three_recoveries(make: Any) -> None:
    bench, bus = make({"sps30": "held_sda"})
    begin = bench.time_us
    for _ in range(10):
        with pytest.raises(OSError, match="116"):
            bus.writeto(0x62, b"\x36\x82")
    assert bench.pulses == 3 * 9
    assert bus.recoveries == 0
    assert bench.time_us - begin < 1_200_000  # ten timeouts of 50 ms, and little more


def test_both_sensors_of_a_freed_bus_measure(make: Any) -> None:
    from communode.node.drivers import scd4x, sps30
    from communode.node.schema.quantities import ABSENT, FAULT

    bench, bus = make({"scd4x": "stuck_sda"})

    def sleep_ms(duration: int) -> None:
        bench.time_us += duration * 1000

    for module in (sps30, scd4x):
        sensor = module.Sensor(bus, sleep_ms)
        sleep_ms(sensor.start())
        assert not {quality for _, _, quality in sensor.read()} & {ABSENT, FAULT}
        sensor.stop()
    assert bus.recoveries == 1
