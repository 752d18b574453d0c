# SPDX-License-Identifier: MIT
"""The world: recorded series as functions of time, the same for the same seed."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from communode.errors import CommunodeError
from communode.virtual import recordings
from communode.virtual.polyline import Circle, Polyline
from communode.virtual.recordings import COLLECTION_US, DAY_US
from communode.virtual.world import SERIES, World

HOUR_US = 3_600_000_000


def test_a_polyline_interpolates_and_steps_to_the_later_point() -> None:
    line = Polyline([(0, 0.0), (10, 100.0), (10, 20.0), (20, 40.0)])
    assert [line.value(t) for t in (-5, 0, 5, 9, 10, 15, 20, 99)] == [0, 0, 50, 90, 20, 30, 40, 40]
    assert line.extremes(9, 10) == (20.0, 100.0)
    assert line.extremes(10, 15) == (20.0, 100.0)
    assert line.extremes(11, 12) == (22.0, 24.0)
    with pytest.raises(ValueError, match="order"):
        Polyline([(1, 0.0), (0, 0.0)])


def test_a_circle_repeats_and_a_register_goes_on() -> None:
    line = Polyline([(0, 1.0), (10, 6.0)])
    assert Circle(line, 10).value(-1) == Circle(line, 10).value(9) == 5.5
    register = Circle(line, 10, growth=5.0)
    assert [register.value(t) for t in (0, 9, 10, 25)] == [1.0, 5.5, 6.0, 13.5]
    assert register.extremes(5, 25) == (3.5, 13.5)


@pytest.mark.parametrize("name", SERIES)
def test_each_series_is_the_same_for_the_same_seed_and_within_its_range_of_values(name: str) -> None:
    moments = [n * 617_000_003 for n in range(1500)]
    one, two = World(5).at("quay"), World(5).at("quay")
    assert [one.value(name, t) for t in moments] == [two.value(name, t) for t in moments]
    rng = random.Random(1)
    for _ in range(300):
        begin = rng.randrange(60 * DAY_US)
        end = begin + rng.randrange(2 * HOUR_US)
        low, high = one.value_range(name, begin, end)
        samples = [one.value(name, rng.randint(begin, end)) for _ in range(5)]
        assert all(low - 1e-9 <= value <= high + 1e-9 for value in samples)


def test_places_and_seeds_measure_different_days() -> None:
    def levels(world: World) -> list[float]:
        return [world.value("co2_ppm", hour * HOUR_US) for hour in range(24)]

    assert len({tuple(levels(World(seed).at(place))) for seed in (1, 2) for place in "abcdef"}) > 3


def test_a_recorded_value_comes_back_at_its_own_moment() -> None:
    points = recordings.columns("river.csv")["water_level_m"]
    world = World(3).at("quay")
    series = world._series("water_level_m")
    first = -(-points[0][0] // DAY_US) * DAY_US
    for time_us, value in points[200:400]:
        world_time = time_us - first - series.shift_us
        assert world.value("water_level_m", world_time) == pytest.approx(value)


def test_the_time_of_day_of_the_recording_is_that_of_the_calendar() -> None:
    morning = World(4, start_utc=datetime(2026, 3, 2, 8, tzinfo=UTC)).at("hall")
    midnight = World(4, start_utc=datetime(2026, 3, 2, 0, tzinfo=UTC)).at("hall")
    assert morning.value("co2_ppm", 0) == midnight.value("co2_ppm", 8 * HOUR_US)


def test_gaps_of_a_recording_are_bridged() -> None:
    points = recordings.columns("bin_fill.csv")["bin_1511190_fill_level_pct"]
    assert max(later[0] - now[0] for now, later in itertools.pairwise(points)) > 9 * DAY_US
    assert 0 <= recordings.bin_fill("bin_1511190_fill_level_pct").value(20 * DAY_US) <= 100


def test_a_water_register_starts_at_zero_and_never_falls() -> None:
    for place in ("a", "b", "c"):
        world = World(1).at(place)
        litres = [world.value("water_index_l", n * HOUR_US) for n in range(24 * 40)]
        assert litres[0] == 0
        assert all(later >= now for now, later in itertools.pairwise(litres))
        assert litres[24] > 1  # the first day is one with water
        assert litres[-1] > 1500  # beyond the 14 days of the recording


def test_particle_sizes_are_in_order() -> None:
    world = World(2)
    for hour in range(24 * 45):
        pm1, pm25, pm4 = (world.value(f"{size}_ug_m3", hour * HOUR_US) for size in ("pm1", "pm25", "pm4"))
        assert 0 < pm1 <= pm25 <= pm4 + 1e-9


def test_a_bin_is_emptied_and_tipped_at_its_collection_and_the_sensor_sees_it() -> None:
    world = World(1).at("bin")
    days = [
        day
        for day in range(40)
        if world.value("bin_fill_pct", day * DAY_US + COLLECTION_US - 60_000_000)
        > world.value("bin_fill_pct", day * DAY_US + COLLECTION_US + 60_000_000) + 5
    ]
    assert len(days) > 5
    for day in days:
        tipped = day * DAY_US + COLLECTION_US - 15_000_000
        assert world.value("tilt_deg", tipped) > 100
        after = day * DAY_US + COLLECTION_US + 60_000_000
        assert world.value("bin_distance_mm", after) > 1490
        assert world.value("tilt_deg", after) < 5


def test_nothing_share_alike_is_shipped() -> None:
    folder = Path(recordings.__file__).with_name("series")
    text = (folder / "README.md").read_text("utf-8")
    for path in folder.glob("*.csv"):
        assert f"`{path.name}`" in text
    assert "BY-SA" not in text


def test_a_world_file_overrides_series_and_names_faults(tmp_path: Path) -> None:
    (tmp_path / "river.csv").write_text(
        "time,level_cm\n2026-01-01T00:00:00Z,100\n2026-01-01T12:00:00Z,\n2026-01-02T00:00:00Z,300\n", "utf-8"
    )
    (tmp_path / "world.toml").write_text(
        "seed = 9\nstart_utc = 2026-03-02T00:00:00Z\n"
        "[series.co2_ppm]\nconstant = 800\n"
        '[series.water_level_m]\nrecorded = "river.csv"\ncolumn = "level_cm"\nscale = 0.01\nhigh = 2.5\n'
        "[series.battery_v]\noffset = -1.0\n"
        '[faults]\nscd4x = "nack"\n',
        "utf-8",
    )
    world = World.load(tmp_path / "world.toml")
    assert world.seed == 9
    assert world.value("co2_ppm", 123) == 800
    assert world.value("water_level_m", 0) == pytest.approx(1.0)
    assert world.value("water_level_m", 6 * HOUR_US) == pytest.approx(1.5)
    assert world.value("water_level_m", 23 * HOUR_US) == 2.5
    assert world.value("battery_v", 0) == pytest.approx(World(9).value("battery_v", 0) - 1)
    assert world.faults == {"scd4x": "nack"}
    assert World.load(tmp_path / "world.toml", seed=4).seed == 4


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("seed = ", "unreadable", "world.toml"),
        ("sead = 1", "key_unknown", "sead"),
        ("seed = true", "value_wrong", "seed"),
        ("start_utc = 2026-03-02T00:00:00", "value_wrong", "start_utc"),
        ("[series.co3_ppm]\nconstant = 1", "key_unknown", "series.co3_ppm"),
        ('[series.co2_ppm]\nconstant = "1"', "value_wrong", "series.co2_ppm.constant"),
        ('[series.co2_ppm]\nrecorded = "none.csv"', "series_unreadable", "none.csv"),
        ('[series.co2_ppm]\nrecorded = "river.csv"\ncolumn = "level"', "value_wrong", "temperature_c"),
        ('[faults]\nscd4x = "tired"', "value_wrong", "wrong_crc"),
        ('[faults]\nscd5x = "nack"', "key_unknown", "faults.scd5x"),
    ],
)
def test_each_mistake_of_a_world_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: str, named: str
) -> None:
    monkeypatch.setenv("COMMUNODE_LANG", "en")
    (tmp_path / "world.toml").write_text(text, "utf-8")
    with pytest.raises(CommunodeError) as caught:
        World.load(tmp_path / "world.toml")
    assert caught.value.code == f"world.{code}"
    assert named in str(caught.value)
