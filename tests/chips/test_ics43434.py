# SPDX-License-Identifier: MIT
"""The microphone: right levels, statistics of a sound that changes, nothing that could be listened to."""

from __future__ import annotations

import inspect
import sys

import pytest
from communode.node.drivers import ics43434
from communode.node.schema.quantities import ABSENT, CLAMPED, FAULT, GOOD, LA10, LA50, LA90, LAEQ, LAMAX
from sensor_bench import Bench, I2s


@pytest.mark.parametrize("level", [40.0, 94.0])
def test_a_tone_of_1_khz_is_within_a_tenth_of_a_decibel(still: Bench, level: float) -> None:
    still.world.values["laeq_db"] = level  # type: ignore[attr-defined]
    chip = still.chip("ics43434")
    chip._error_db = 0.0
    values = still.cycle(ics43434.Sensor(I2s(still, chip), still.sleep_ms, listen_s=1))
    assert values[LAEQ] == (pytest.approx(level * 10, abs=1), GOOD)
    assert values[LAMAX][0] == pytest.approx(level * 10, abs=1)
    assert values[LA50][0] == pytest.approx(level * 10, abs=3)


def test_a_calibrators_sensitivity_shifts_the_level(still: Bench) -> None:
    chip = still.chip("ics43434")
    chip._error_db = 0.0
    sensor = ics43434.Sensor(I2s(still, chip), still.sleep_ms, listen_s=1, sensitivity_cdb=-2700)
    assert still.cycle(sensor)[LAEQ][0] == pytest.approx(560, abs=1)


def test_a_short_loud_event_is_in_the_maximum_and_the_mean_and_not_in_the_median(still: Bench) -> None:
    chip = still.chip("ics43434")
    chip._error_db = 0.0

    class Street(I2s):
        reads = 0

        def readinto(self, into: bytearray) -> int:
            # 3 blocks settle, then 16 of 125 ms, of five reads each: the last three are a lorry.
            self.reads += 1
            still.world.values["laeq_db"] = 80.0 if self.reads > 5 * 16 else 50.0  # type: ignore[attr-defined]
            return super().readinto(into)

    values = still.cycle(ics43434.Sensor(Street(still, chip), still.sleep_ms, listen_s=2))
    assert values[LAMAX][0] == pytest.approx(800, abs=5)
    assert values[LAEQ][0] == pytest.approx(727, abs=5)  # 80 dB for 3 of 16 blocks: -7.3 dB
    assert values[LA10][0] == pytest.approx(800, abs=5)
    assert values[LA50][0] == pytest.approx(500, abs=5)
    assert values[LA90][0] == pytest.approx(500, abs=5)


@pytest.mark.parametrize(
    ("level", "quality"), [(25.0, CLAMPED), (31.0, GOOD), (115.0, GOOD), (119.0, CLAMPED)]
)
def test_levels_that_the_microphone_cannot_show_say_so(still: Bench, level: float, quality: int) -> None:
    still.world.values["laeq_db"] = level  # type: ignore[attr-defined]
    chip = still.chip("ics43434")
    chip._error_db = 0.0
    values = still.cycle(ics43434.Sensor(I2s(still, chip), still.sleep_ms, listen_s=1))
    assert {q for _, q in values.values()} == {quality}


def test_a_bus_that_gives_too_little_or_fails_is_a_quality(still: Bench) -> None:
    class Short(I2s):
        def readinto(self, into: bytearray) -> int:
            return len(into) // 2

    class Broken(I2s):
        def readinto(self, into: bytearray) -> int:
            raise OSError(5)

    chip = still.chip("ics43434")
    for kind, quality in ((Short, FAULT), (Broken, ABSENT)):
        values = still.cycle(ics43434.Sensor(kind(still, chip), still.sleep_ms, listen_s=1))
        assert {q for _, q in values.values()} == {quality}


def test_no_sample_outlives_a_reading_and_no_name_gives_one(still: Bench) -> None:
    class Wire(I2s):
        buffers: list[bytearray]

        def readinto(self, into: bytearray) -> int:
            self.buffers = [*(b for b in self.buffers if b is not into), into]
            return super().readinto(into)

    wire = Wire(still, still.chip("ics43434"))
    wire.buffers = []
    sensor = ics43434.Sensor(wire, still.sleep_ms, listen_s=1)
    readings = sensor.read()
    (buffer,) = wire.buffers  # one, overwritten each 25 ms
    wire.buffers.clear()
    assert sys.getrefcount(buffer) == 2  # this name and the call's: the driver let it go
    assert all(isinstance(number, int) for reading in readings for number in reading)
    kept = {name: value for name, value in vars(sensor).items() if name != "_i2s"}
    assert all(isinstance(value, (int, float)) for value in kept.values())
    public = {name for name in dir(ics43434.Ics43434) if not name.startswith("_")}
    assert public == {"start", "read", "stop"}
    assert list(inspect.signature(ics43434.Ics43434.read).parameters) == ["self"]
