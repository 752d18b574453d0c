# SPDX-License-Identifier: MIT
"""LIS3DH: angles, each fault, strictness, and a driver that is not ours."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from communode.node.drivers import lis3dh
from communode.node.schema.quantities import ABSENT, FAULT, GOOD, TILT
from communode.virtual.chips import tolerance
from communode.virtual.chips.chip import Violation
from sensor_bench import Bench, I2c, SmBus


def test_the_integer_angle_is_right_to_a_tenth_of_a_degree() -> None:
    for tenths in range(1801):
        radians = math.radians(tenths / 10)
        across, along = round(4000 * math.sin(radians)), round(4000 * math.cos(radians))
        assert abs(lis3dh.angle(across, along) - tenths) <= 1.5


def test_the_integer_root_is_exact() -> None:
    for n in [*range(2000), 48_000_000, 2**31 - 1]:
        assert lis3dh.square_root(n) == math.isqrt(n)


@pytest.mark.parametrize("up", range(6))
@pytest.mark.parametrize("degrees", [0.0, 3.0, 30.0, 45.0, 89.0, 120.0, 180.0])
def test_tilt_is_within_the_stated_error_for_each_mounting(still: Bench, up: int, degrees: float) -> None:
    still.world.values["tilt_deg"] = degrees
    sensor = lis3dh.Sensor(I2c(still, still.chip("lis3dh", up=up)), still.sleep_ms, up=up)
    value, quality = still.cycle(sensor)[TILT]
    assert quality == GOOD
    assert abs(value / 10 - degrees) <= tolerance("tilt", degrees)


def test_it_is_powered_down_after_each_reading(still: Bench) -> None:
    chip = still.chip("lis3dh")
    i2c = I2c(still, chip)
    still.cycle(lis3dh.Sensor(i2c, still.sleep_ms))
    assert i2c.readfrom_mem(0x18, 0x20, 1)[0] >> 4 == 0


def test_absent_silent_foreign_and_never_ready_chips_end_as_qualities(still: Bench) -> None:
    assert still.cycle(lis3dh.Sensor(I2c(still), still.sleep_ms)) == {TILT: (None, ABSENT)}
    chip = still.chip("lis3dh")
    sensor = lis3dh.Sensor(I2c(still, chip), still.sleep_ms)
    still.wait(sensor.start() / 1000)
    chip.faults = {"nack"}
    assert sensor.read() == ((TILT, None, FAULT),)
    sensor.stop()
    chip.faults = {"warming_up"}
    assert still.cycle(sensor) == {TILT: (None, FAULT)}
    chip.faults = set()
    chip._registers[0x0F] = 0x32
    assert still.cycle(sensor) == {TILT: (None, FAULT)}
    chip._registers[0x0F] = 0x33
    assert still.cycle(sensor)[TILT][1] == GOOD


def test_a_sample_before_the_turn_on_time_is_not_taken(still: Bench) -> None:
    sensor = lis3dh.Sensor(I2c(still, still.chip("lis3dh")), still.sleep_ms)
    sensor.start()
    assert sensor.read()[0][2] == FAULT
    assert sum(still.slept_ms) < 60


def test_acceleration_that_is_not_gravity_is_a_fault(still: Bench) -> None:
    chip = still.chip("lis3dh")
    chip._offset_mg = [900.0, 0.0, 900.0]  # being thrown into the lorry
    assert still.cycle(lis3dh.Sensor(I2c(still, chip), still.sleep_ms)) == {TILT: (None, FAULT)}


def test_reserved_and_read_only_registers_are_violations(still: Bench) -> None:
    i2c = I2c(still, still.chip("lis3dh"))
    for register, reason in ((0x0F, "read-only"), (0x10, "reserved"), (0x27, "read-only")):
        with pytest.raises(Violation, match=reason):
            i2c.writeto_mem(0x18, register, b"\x00")
    i2c.writeto_mem(0x18, 0x20, b"\x5f")
    with pytest.raises(Violation, match="low power and high resolution"):
        i2c.writeto_mem(0x18, 0x23, b"\x08")


def test_without_the_increment_bit_the_same_register_comes_again(still: Bench) -> None:
    i2c = I2c(still, still.chip("lis3dh"))
    assert i2c.readfrom_mem(0x18, 0x0F, 3) == b"\x33\x33\x33"


@pytest.mark.filterwarnings("ignore")
def test_a_driver_that_is_not_ours_reads_the_model(
    still: Bench, foreign_sleep: Callable[[Bench], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = pytest.importorskip("lis3dh.lis3dh")
    foreign_sleep(still)
    still.world.values["tilt_deg"] = 30.0
    chip = still.chip("lis3dh")
    monkeypatch.setattr(foreign, "SMBus", lambda port: SmBus(still, chip))
    registers = foreign.device.CTRL_REG1
    device = foreign.LIS3DH(1, foreign.device.CTRL_REG4.SCALE_2G, registers.ODR_100Hz)
    device.enable_axes(registers.Xen | registers.Yen | registers.Zen)
    assert device.read_data_ready_register() == device.ERROR
    still.wait(0.25)
    assert device.read_data_ready_register() == device.NO_ERROR
    x, y, z = device.read_all_axes()
    assert z == pytest.approx(1000 * math.cos(math.radians(30)), abs=40)
    assert math.hypot(x, y) == pytest.approx(500, abs=50)
