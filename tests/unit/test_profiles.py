# SPDX-License-Identifier: MIT
"""Profiles: the shipped ones are sound, and each way to break one is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from communode.errors import CommunodeError
from communode.profiles import DRIVERS, load_profile, profile_names
from communode.resources import profiles_folder

GOOD = """
id = 7
interval_s = 600
[[sensor]]
driver = "a02yyuw"
bus = "uart1"
quantities = ["distance", "fill_level"]
power = "sensors"
[sensor.settings]
empty_mm = 1500
full_mm = 200
[[sensor]]
driver = "battery"
bus = "adc"
quantities = ["battery"]
"""


def test_the_three_shipped_profiles_are_sound_and_report_the_battery() -> None:
    profiles = [load_profile(name) for name in profile_names()]
    assert [(p.name, p.id, p.interval_s) for p in profiles] == [
        ("air", 1, 600),
        ("bin", 3, 600),
        ("water", 2, 600),
    ]
    assert all(profile.quantities[-1] == "battery" for profile in profiles)


def test_what_counts_or_calibrates_in_sleep_has_no_power_gate() -> None:
    gates = {s.driver: s.power for name in profile_names() for s in load_profile(name).sensors}
    assert gates["pcf8593"] is None
    assert gates["scd4x"] is None
    assert gates["sps30"] == "sensors"


def test_the_dict_is_a_literal_that_the_node_can_import() -> None:
    for name in profile_names():
        frozen = load_profile(name).as_dict()
        assert eval(repr(frozen), {"__builtins__": {}}) == frozen


def test_drivers_and_buses_are_named_once_and_sorted() -> None:
    water = load_profile("water")
    assert water.drivers == ("ads1115", "battery", "ds18b20", "pcf8593")
    assert water.buses == ("adc", "i2c0", "onewire0")


def test_an_unknown_profile_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMUNODE_LANG", "en")
    with pytest.raises(CommunodeError) as caught:
        load_profile("soil")
    assert caught.value.code == "profile.unknown"
    assert caught.value.usage
    assert "air, bin, water" in caught.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "code", "named"),
    [
        ("id = 7", "id = 0", "value_wrong", "id"),
        ("id = 7", "id = true", "value_wrong", "id"),
        ("id = 7", "", "key_missing", "id"),
        ("id = 7", "id = 7\nintervall = 3", "key_unknown", "intervall"),
        ("id = 7", "id = ", "unreadable", "soil.toml"),
        ("interval_s = 600", "interval_s = 5", "value_wrong", "interval_s"),
        ('"a02yyuw"', '"a03yyuw"', "driver_unknown", "sensor[0].driver"),
        ('"uart1"', '"i2c0"', "bus_wrong", "sensor[0].bus"),
        ('"distance", "fill_level"', '"co2"', "value_wrong", "sensor[0].quantities"),
        ('"distance", "fill_level"', '"distance", "distance"', "quantity_twice", "distance"),
        ("full_mm = 200", "full_mm = 1500", "value_wrong", "sensor[0].settings.full_mm"),
        ("full_mm = 200", "depth_mm = 1500", "key_unknown", "sensor[0].settings.depth_mm"),
        ('power = "sensors"', "power = 3", "value_wrong", "sensor[0].power"),
        ('driver = "battery"\nbus = "adc"\nquantities = ["battery"]',
         'driver = "lis3dh"\nbus = "i2c0"\nquantities = ["tilt"]', "battery_missing", "battery"),
        ('driver = "battery"\nbus = "adc"\nquantities = ["battery"]',
         'driver = "sps30"\nbus = "i2c0"\nquantities = ["pm1"]', "battery_missing", "battery"),
    ],
)  # fmt: skip
def test_each_mistake_names_the_file_and_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, code: str, named: str
) -> None:
    monkeypatch.setenv("COMMUNODE_LANG", "en")
    assert old in GOOD
    (tmp_path / "soil.toml").write_text(GOOD.replace(old, new), "utf-8")
    with pytest.raises(CommunodeError) as caught:
        load_profile("soil", tmp_path)
    assert caught.value.code == f"profile.{code}"
    assert "soil.toml" in str(caught.value)
    assert named in str(caught.value)


def test_an_interval_shorter_than_the_slowest_sensor_is_refused(tmp_path: Path) -> None:
    text = (profiles_folder() / "air.toml").read_text("utf-8").replace("interval_s = 600", "interval_s = 60")
    (tmp_path / "air.toml").write_text(text, "utf-8")
    with pytest.raises(CommunodeError, match="61") as caught:
        load_profile("air", tmp_path)
    assert caught.value.code == "profile.interval_short"


def test_every_driver_of_the_table_offers_quantities_of_the_schema() -> None:
    from communode.node.schema.quantities import QUANTITIES

    names = {facts[0] for facts in QUANTITIES.values()}
    assert all(set(facts.quantities) <= names for facts in DRIVERS.values())
