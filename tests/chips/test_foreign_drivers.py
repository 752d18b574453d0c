# SPDX-License-Identifier: MIT
"""Drivers that nobody here wrote read the models: a model is not its own judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sensor_bench import Bench, I2c, Transceiver, Uart

pytestmark = pytest.mark.filterwarnings("ignore")


class CircuitI2c:
    """``busio.I2C`` of CircuitPython over the same models."""

    def __init__(self, bench: Bench, *chips: Any) -> None:
        self._i2c = I2c(bench, *chips)

    def try_lock(self) -> bool:
        return True

    def unlock(self) -> None:
        pass

    def writeto(self, address: int, buffer: bytes, *, start: int = 0, end: int | None = None) -> None:
        self._i2c.writeto(address, bytes(buffer[start:end]))

    def readfrom_into(
        self, address: int, buffer: bytearray, *, start: int = 0, end: int | None = None
    ) -> None:
        part = bytearray(len(buffer[start:end]))
        self._i2c.readfrom_into(address, part)
        buffer[start : start + len(part)] = part

    def writeto_then_readfrom(
        self,
        address: int,
        out_buffer: bytes,
        in_buffer: bytearray,
        *,
        out_start: int = 0,
        out_end: int | None = None,
        in_start: int = 0,
        in_end: int | None = None,
    ) -> None:
        self.writeto(address, out_buffer, start=out_start, end=out_end)
        self.readfrom_into(address, in_buffer, start=in_start, end=in_end)


class CircuitUart:
    """``busio.UART`` of CircuitPython with a timeout: reading waits."""

    def __init__(self, bench: Bench, chip: Any) -> None:
        self._bench = bench
        self._uart = Uart(bench, chip)
        self._waiting = b""

    def read(self, count: int) -> bytes | None:
        for _ in range(200):
            if len(self._waiting) >= count:
                break
            self._bench.wait(0.01)
            self._waiting += self._uart.read() or b""
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken or None


@pytest.fixture
def sleeping(still: Bench, foreign_sleep: Callable[[Bench], None]) -> Bench:
    foreign_sleep(still)
    return still


def test_adafruits_sht4x_driver_reads_the_model(sleeping: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    adafruit_sht4x = pytest.importorskip("adafruit_sht4x")
    monkeypatch.setattr(adafruit_sht4x.time, "sleep", sleeping.wait)
    device = adafruit_sht4x.SHT4x(CircuitI2c(sleeping, sleeping.chip("sht4x")))
    assert device.serial_number == 0x0EA5BEEF
    celsius, percent = device.measurements
    assert celsius == pytest.approx(21.5, abs=0.4)
    assert percent == pytest.approx(41, abs=3.5)


def test_sensirions_sen5x_driver_reads_the_model(sleeping: Bench) -> None:
    sen5x = pytest.importorskip("sensirion_i2c_sen5x")
    from sensirion_i2c_driver import I2cConnection

    device = sen5x.Sen5xI2cDevice(I2cConnection(Transceiver(sleeping, sleeping.chip("sen5x"))))
    device.device_reset()
    assert device.get_product_name() == "SEN55"
    assert device.get_fan_auto_cleaning_interval() == 604800
    device.start_measurement()
    sleeping.wait(1.2)
    assert device.read_data_ready()
    values = device.read_measured_values()
    assert not values.nox_index.available
    sleeping.wait(60)
    values = device.read_measured_values()
    assert values.mass_concentration_2p5.physical == pytest.approx(12, abs=5)
    assert values.ambient_temperature.degrees_celsius == pytest.approx(21.5, abs=0.5)
    assert values.ambient_humidity.percent_rh == pytest.approx(41, abs=4.5)
    assert values.voc_index.scaled == pytest.approx(100, abs=5)
    assert values.nox_index.scaled == pytest.approx(3, abs=2)
    device.stop_measurement()
    sleeping.wait(0.3)
    assert not device.read_data_ready()


def test_adafruits_bme280_driver_reads_the_model(sleeping: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    basic = pytest.importorskip("adafruit_bme280.basic")
    monkeypatch.setattr(basic, "sleep", sleeping.wait)
    device = basic.Adafruit_BME280_I2C(CircuitI2c(sleeping, sleeping.chip("bme280")), 0x76)
    assert device.temperature == pytest.approx(21.5, abs=1)
    assert device.pressure == pytest.approx(1013.2, abs=1)
    assert device.relative_humidity == pytest.approx(41, abs=3)


def test_adafruits_pm25_driver_reads_the_model(sleeping: Bench) -> None:
    pytest.importorskip("adafruit_pm25")
    from adafruit_pm25 import PM25

    chip = sleeping.chip("pms5003", powered_for_s=40)
    uart = CircuitUart(sleeping, chip)

    class Over(PM25):  # its own transport imports a board; the parser is what judges
        def _read_into_buffer(self) -> None:
            while (uart.read(1) or b"") != b"\x42":
                pass
            self._buffer[:] = b"\x42" + (uart.read(31) or b"")

    data = Over().read()
    assert data["pm25 env"] == pytest.approx(12, abs=10)
    assert data["pm10 env"] <= data["pm25 env"] <= data["pm100 env"]


@pytest.mark.parametrize(("mode", "budget_ms"), [(1, 50), (2, 100)])
def test_adafruits_vl53l1x_driver_ranges_on_the_model(
    sleeping: Bench, monkeypatch: pytest.MonkeyPatch, mode: int, budget_ms: int
) -> None:
    adafruit_vl53l1x = pytest.importorskip("adafruit_vl53l1x")
    monkeypatch.setattr(adafruit_vl53l1x.time, "sleep", sleeping.wait)
    device = adafruit_vl53l1x.VL53L1X(CircuitI2c(sleeping, sleeping.chip("vl53l1x")))
    device.distance_mode = mode
    device.timing_budget = budget_ms
    device.start_ranging()
    sleeping.wait(0.001)
    assert not device.data_ready
    sleeping.wait(budget_ms / 1000 + 0.005)
    assert device.data_ready
    assert device.distance == pytest.approx(98.0, abs=2.5)
    device.clear_interrupt()
    assert not device.data_ready
