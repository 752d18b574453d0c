# SPDX-License-Identifier: MIT
"""Fixtures of the chip tests; the benches are in ``sensor_bench.py`` and ``radio_bench.py``."""

from __future__ import annotations

import builtins
from array import array
from collections.abc import Callable

import pytest
from communode.node.dsp import reference
from communode.virtual.world import World
from radio_bench import BenchAir, Time
from sensor_bench import Bench, Still

# Viper's type names are known to MicroPython's compiler alone; the kernel itself is judged in tests/unit, and
# here its twin in plain Python takes its place.
for _name in ("ptr8", "ptr16", "ptr32", "uint"):
    setattr(builtins, _name, int)


@pytest.fixture(autouse=True)
def plain_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The microphone's driver with the plain twin of its kernel."""
    from communode.node.drivers import ics43434

    def weigh(_x: int, _fine: int, words: bytearray, count: int, state: array[int]) -> None:
        reference.weigh_32k(0, 0, array("i", bytes(words)), count, state)

    monkeypatch.setattr(ics43434, "weigh", weigh)


@pytest.fixture
def time() -> Time:
    """The one clock of a radio bench."""
    return Time()


@pytest.fixture
def air() -> BenchAir:
    """The air of a radio bench."""
    return BenchAir()


@pytest.fixture
def bench() -> Bench:
    """A bench in the recorded world."""
    return Bench(World(1).at("bench"))


@pytest.fixture
def still() -> Bench:
    """A bench in a world that stands still at ordinary values."""
    return Bench(
        Still(
            co2_ppm=820.0,
            temperature_c=21.5,
            relative_humidity_pct=41.0,
            pm1_ug_m3=9.0,
            pm25_ug_m3=12.0,
            pm4_ug_m3=15.0,
            pm10_ug_m3=20.0,
            water_temperature_c=8.4,
            water_level_m=1.234,
            water_index_l=0.0,
            bin_fill_pct=40.0,
            bin_distance_mm=980.0,
            tilt_deg=3.0,
            pressure_hpa=1013.2,
            voc_index=100.0,
            nox_index=3.0,
            no2_ppb=40.0,
            ph=8.1,
            orp_mv=410.0,
            conductivity_us_cm=420.0,
            dissolved_oxygen_mg_l=9.8,
            turbidity_ntu=12.0,
            water_distance_mm=2766.0,
            laeq_db=55.0,
        )
    )


@pytest.fixture
def foreign_sleep(monkeypatch: pytest.MonkeyPatch) -> Callable[[Bench], None]:
    """Call with a bench: ``time.sleep`` of a driver that is not ours moves the bench's time."""

    def sleep_on(bench: Bench) -> None:
        monkeypatch.setattr("time.sleep", bench.wait)

    return sleep_on
