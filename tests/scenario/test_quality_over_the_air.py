# SPDX-License-Identifier: MIT
"""Quality rules on virtual boards, as an owner sees them: what is stored, against the world."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from communode.boards import load_board
from communode.build import profile_literal
from communode.ingest import readings
from communode.ingest.status import decode_status
from communode.node.codec.status import F_PORT as STATUS_PORT
from communode.node.schema.quantities import DISTANCE, FILL_LEVEL, PH
from communode.profiles import load_profile
from communode.resources import profiles_folder
from field import HOUR_US, MINUTE_US, Field, FieldNode, Plan

EMPTY_MM, FULL_MM = 1500, 200
Series = dict[str, list[tuple[float | None, str]]]  # quantity: (value, quality) of each record, by id


WELL = """
id = 77
interval_s = 600
[[sensor]]
driver = "ads1115_mean"
bus = "i2c0"
quantities = ["water_level", "water_level_spread", "water_level_count"]
power = "sensors"
[sensor.settings]
full_scale_mm = 20000
samples = 16
[[sensor]]
driver = "battery"
bus = "adc"
quantities = ["battery"]
"""

FORD = """
id = 78
interval_s = 600
[[sensor]]
driver = "a02yyuw_level_air"
bus = "uart1"
quantities = ["water_level", "water_level_raw", "water_level_spread", "water_level_count"]
power = "sensors"
[[sensor]]
driver = "sht4x"
bus = "i2c0"
quantities = ["air_temperature"]
[[sensor]]
driver = "battery"
bus = "adc"
quantities = ["battery"]
"""


@pytest.fixture
def more_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The shipped profiles and two more."""
    shutil.copytree(profiles_folder(), tmp_path / "profiles")
    (tmp_path / "profiles" / "well.toml").write_text(WELL, "utf-8")
    (tmp_path / "profiles" / "ford.toml").write_text(FORD, "utf-8")
    monkeypatch.setattr("communode.profiles.profiles_folder", lambda: tmp_path / "profiles")
    readings._profiles.cache_clear()
    yield
    readings._profiles.cache_clear()


@pytest.fixture
def field(micropython: str, tmp_path: Path) -> Iterator[Field]:
    with Field(tmp_path) as made:
        yield made


def quiet(profile: str, *changes: tuple[str, Any]) -> Plan:
    return Plan(profile=profile, changes=(("alarms", ()), *changes))


def stored(field: Field, node: FieldNode) -> Series:
    found: Series = {}
    for _, _, quantity, value, _, quality, _ in sorted(field.readings.rows(node.dev_eui)):
        found.setdefault(quantity, []).append((value, quality))
    return found


def hold(field: Field, node: FieldNode, **series: float) -> None:
    for name, value in series.items():
        field.override(node, name, value)


# --- leaning -------------------------------------------------------------------------------------------


def test_a_bin_that_lies_on_its_side_has_no_fill_level_until_it_stands_again(field: Field) -> None:
    node = field.add(quiet("bin"))
    hold(field, node, tilt_deg=3.0, bin_distance_mm=850.0)
    field.run(HOUR_US)
    hold(field, node, tilt_deg=80.0, bin_distance_mm=300.0)  # it looks along the pavement
    field.run(2 * HOUR_US)
    hold(field, node, tilt_deg=3.0, bin_distance_mm=850.0)
    field.run(3 * HOUR_US + 11 * MINUTE_US)
    rows = stored(field, node)
    lying = [n for n, (tilt, _) in enumerate(rows["tilt"]) if tilt is not None and tilt > 30]
    assert len(lying) >= 5
    for n, (distance, fill) in enumerate(zip(rows["distance"], rows["fill_level"], strict=True)):
        if n in lying:
            assert distance == fill == (None, "out_of_calibration")
        else:
            assert distance == (pytest.approx(850, abs=13), "good")
            assert fill == (pytest.approx(50, abs=1.5), "good")
    assert len(rows["tilt"]) > lying[-1] + 4


# --- repetition ----------------------------------------------------------------------------------------


def test_a_sensor_that_repeats_itself_is_stale_over_deep_sleep_and_sound_again_after_it(field: Field) -> None:
    node = field.add(quiet("air"))
    field.run(HOUR_US)
    assert len(node.body.boots) > 5  # every sampling is a start of its own
    before = len(stored(field, node)["co2"])
    chip: Any = node.body.wiring.chips["scd4x"]
    chip.faults = {"stuck"}
    field.run(3 * HOUR_US)
    chip.faults = set()
    field.run(4 * HOUR_US + 11 * MINUTE_US)
    rows = stored(field, node)
    co2 = rows["co2"]
    again = next(n for n in range(before + 2, len(co2)) if co2[n][0] != co2[before + 1][0])
    stuck = range(before, again)
    assert len({co2[n][0] for n in stuck}) == 1
    assert len(stuck) >= 11
    for quantity in ("co2", "air_temperature", "relative_humidity"):
        qualities = [quality for _, quality in rows[quantity]]
        assert qualities[before:again] == ["good"] * 5 + ["stale"] * (len(stuck) - 5), quantity
        assert set(qualities[:before] + qualities[again:]) <= {"good", "warming_up"}
    assert {quality for _, quality in rows["pm25"]} == {"good"}


def test_what_is_repeated_counts_on_over_a_reset_and_begins_anew_after_a_power_loss(field: Field) -> None:
    node = field.add(
        quiet("bin", ("repetition", ((6, (DISTANCE,), (DISTANCE, FILL_LEVEL)),))),
        faults={"a02yyuw": "stuck"},
    )
    field.run(35 * MINUTE_US)
    node.body.boot(3, 0)  # by the watchdog
    field.run(75 * MINUTE_US)
    field.power_cycle(node)
    field.run(3 * HOUR_US)
    distance = [quality for _, quality in stored(field, node)["distance"]]
    assert distance[:5] == ["good"] * 5
    assert distance[5] == "stale"
    lost = distance.index("good", 6)
    assert distance[lost : lost + 6] == ["good"] * 5 + ["stale"]


# --- sound ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("celsius", [-15.0, 5.0, 40.0])
def test_an_ultrasonic_distance_is_right_in_frost_and_in_the_sun(field: Field, celsius: float) -> None:
    node = field.add(quiet("bin_outdoor"))
    hold(field, node, tilt_deg=3.0, bin_distance_mm=1240.0, temperature_c=celsius)
    field.run(HOUR_US)
    rows = stored(field, node)
    assert len(rows["distance"]) >= 5
    assert {quality for values in rows.values() for _, quality in values} == {"good"}
    sound = ((celsius + 273.15) / 293.15) ** 0.5
    for distance, raw, fill, spread, count in zip(
        *(rows[f"distance{kind}"] for kind in ("", "_raw")),
        rows["fill_level"],
        *(rows[f"distance_{kind}"] for kind in ("spread", "count")),
        strict=True,
    ):
        assert distance[0] == pytest.approx(1240, abs=8)
        assert raw[0] == pytest.approx(1240 / sound, abs=8)
        assert fill[0] == pytest.approx(20, abs=1)
        assert 0 <= (spread[0] or 0) <= 5
        assert 5 <= (count[0] or 0) <= 15


def test_without_a_thermometer_the_distance_is_marked_and_the_raw_one_kept(field: Field) -> None:
    node = field.add(quiet("bin_outdoor"), faults={"sht4x": "absent"})
    hold(field, node, tilt_deg=3.0, bin_distance_mm=1240.0, temperature_c=-15.0)
    field.run(HOUR_US)
    rows = stored(field, node)
    assert {quality for _, quality in rows["air_temperature"]} == {"absent"}
    assert {quality for _, quality in rows["distance"] + rows["fill_level"]} == {"out_of_calibration"}
    assert {quality for _, quality in rows["distance_raw"]} == {"good"}
    assert rows["distance"][0][0] == rows["distance_raw"][0][0] == pytest.approx(1240 / 0.9384, abs=8)


# --- what cannot be kept -------------------------------------------------------------------------------


def test_a_plan_that_the_board_cannot_keep_is_refused_in_words_and_the_rest_measured(field: Field) -> None:
    literal = profile_literal(load_board("virtual"), load_profile("water"))
    sensors = [dict(sensor) for sensor in literal["sensors"]]
    level = next(sensor for sensor in sensors if sensor["driver"] == "ads1115")
    level["bus"] = "i2c7"
    wrong = bytes([PH, 1]) + bytes(20)
    plan = quiet("water", ("sensors", tuple(sensors)), ("floor_s", 900), ("calibrations", (wrong,)))
    node = field.add(plan)
    field.run(6 * HOUR_US)
    console = node.console()
    for line in (
        "refused: no bus i2c7 for ads1115",
        "refused: interval of 600 s below 900 s",
        "refused: calibration: ",
    ):
        assert console.count(line) == 1  # once a start, not once a waking
    assert all(cause in (1, 4) for _, cause in node.body.boots)  # no panic, no watchdog
    assert node.journal().next_id == pytest.approx(6 * 4, abs=1)
    rows = stored(field, node)
    assert {quality for _, quality in rows["water_level"]} == {"absent"}
    assert {quality for _, quality in rows["water_temperature"]} == {"good"}
    (payload,) = field.payloads(node, STATUS_PORT)
    events = {(event.event, event.detail): event.count for event in decode_status(payload).events}
    refused = {detail: count for (event, detail), count in events.items() if event == "plan_refused"}
    assert refused == {"water_level": 1, "interval_s": 1, "ph": 1}


@pytest.mark.usefixtures("more_profiles")
def test_a_water_level_is_right_in_frost(field: Field) -> None:
    node = field.add(quiet("ford"))
    hold(field, node, water_distance_mm=3200.0, temperature_c=-10.0)
    field.run(HOUR_US)
    rows = stored(field, node)
    assert len(rows["water_level"]) >= 5
    assert {quality for values in rows.values() for _, quality in values} == {"good"}
    for level, raw in zip(rows["water_level"], rows["water_level_raw"], strict=True):
        assert level[0] == pytest.approx(0.8, abs=0.02)
        assert raw[0] == pytest.approx(4 - 3.2 * (293.15 / 263.15) ** 0.5, abs=0.02)  # 18 cm too low


# --- several samples -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("more_profiles")
def test_a_profile_that_asks_for_sixteen_conversions_stores_their_spread_and_number(field: Field) -> None:
    node = field.add(quiet("well"))
    hold(field, node, water_level_m=7.25)
    field.run(2 * HOUR_US)
    rows = stored(field, node)
    assert len(rows["water_level"]) >= 11
    assert {quality for values in rows.values() for _, quality in values} == {"good"}
    for (level, _), (spread, _), (count, _) in zip(
        rows["water_level"], rows["water_level_spread"], rows["water_level_count"], strict=True
    ):
        assert level == pytest.approx(7.25, abs=0.08)
        assert 0.001 <= (spread or 0) <= 0.009  # the probe's noise is 4 mm
        assert 12 <= (count or 0) <= 16


# --- two sensors of one quantity -----------------------------------------------------------------------


def test_a_dead_sensor_does_not_take_what_the_profile_takes_from_another(field: Field) -> None:
    node = field.add(quiet("air_outdoor"), faults={"bme280": "warming_up"})  # it has a thermometer, too
    hold(field, node, temperature_c=7.0, relative_humidity_pct=61.0)
    field.run(HOUR_US)
    rows = stored(field, node)
    assert {quality for _, quality in rows["pressure"]} == {"fault"}
    assert len(rows["air_temperature"]) >= 3
    for (celsius, first), (humidity, second) in zip(
        rows["air_temperature"], rows["relative_humidity"], strict=True
    ):
        assert first == second == "good"
        assert celsius == pytest.approx(7.0, abs=0.3)
        assert humidity == pytest.approx(61.0, abs=2.1)
