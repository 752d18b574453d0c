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


def test_the_shipped_profiles_are_sound_and_report_the_battery() -> None:
    profiles = [load_profile(name) for name in profile_names()]
    ids = {profile.name: profile.id for profile in profiles}
    assert ids | {"air": 1, "water": 2, "bin": 3} == ids  # what is in the field keeps its number
    assert len(set(ids.values())) == len(ids)
    assert all(profile.quantities[-1] == "battery" for profile in profiles)


def test_every_driver_is_in_a_shipped_profile_or_says_why_not() -> None:
    used = {sensor.driver for name in profile_names() for sensor in load_profile(name).sensors}
    # To a02yyuw, ezo_ph, ezo_ec, ads1115, a02yyuw_level.
    alternatives = {"hrxl", "analogue_ph", "analogue_ec", "ads1115_mean", "a02yyuw_level_air"}
    assert set(DRIVERS) - used == alternatives


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
    assert all(name in caught.value.remedy for name in ("air", "bin", "water"))


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
        ('power = "sensors"', "stale_after = 1", "value_wrong", "sensor[0].stale_after"),
        ('power = "sensors"', "stale_after = 256", "value_wrong", "sensor[0].stale_after"),
        ("interval_s = 600", "interval_s = 600\nleaning_deg = 40", "value_wrong", "leaning_deg"),  # no tilt
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


WATER = """
id = 7
interval_s = 600
[[sensor]]
driver = "ds18b20"
bus = "onewire0"
quantities = ["water_temperature"]
[[sensor]]
driver = "ezo_ph"
bus = "i2c0"
quantities = ["ph", "ph_raw"]
[[sensor.calibration]]
quantity = "ph"
kind = "two_point"
points = [[4.12, 4.01], [6.95, 7.00]]
day = 2026-03-02
by = "J.M."
[[sensor]]
driver = "battery"
bus = "adc"
quantities = ["battery"]
"""


def test_a_calibrated_sensor_offers_its_raw_value_and_the_node_gets_the_bytes(tmp_path: Path) -> None:
    from communode.node.sampling.calibration import from_bytes

    (tmp_path / "pond.toml").write_text(WATER, "utf-8")
    frozen = load_profile("pond", tmp_path).as_dict()
    (data,) = frozen["calibrations"]
    assert from_bytes(data).corrected(6950) == 7000
    assert frozen["sensors"][1]["quantities"] == (19, 19 | 0x80)
    assert eval(repr(frozen), {"__builtins__": {}}) == frozen


SEN5X = """driver = "sen5x"
bus = "i2c0"
quantities = ["voc_index"]
"""
ADS1115 = """driver = "ads1115"
bus = "i2c0"
quantities = ["water_level"]
[[sensor]]
driver = "analogue_ec"
bus = "i2c0"
quantities = ["conductivity"]
"""


@pytest.mark.parametrize(
    ("old", "new", "code", "named"),
    [
        ("[6.95, 7.00]", "[4.13, 7.00]", "calibration.points_close", "calibration[0]"),
        ("[6.95, 7.00]", "[6.95, 5.00]", "calibration.slope_ph", "85 %"),
        ('quantity = "ph"', 'quantity = "co2"', "profile.value_wrong", "calibration[0].quantity"),
        (WATER[WATER.index("[[sensor.cal"):WATER.index('[[sensor]]\ndriver = "battery"')], "",
         "profile.value_wrong", "ph_raw"),
        ('[[sensor]]\ndriver = "ds18b20"\nbus = "onewire0"\nquantities = ["water_temperature"]\n', "",
         "profile.needs_missing", "water_temperature"),
        ('driver = "ds18b20"\nbus = "onewire0"\nquantities = ["water_temperature"]\n',
         'driver = "ds18b20"\nbus = "onewire0"\nquantities = ["water_temperature"]\n[[sensor]]\n' + SEN5X,
         "profile.setting_needed", "gases"),
        ('driver = "ds18b20"\nbus = "onewire0"\nquantities = ["water_temperature"]\n',
         'driver = "ds18b20"\nbus = "onewire0"\nquantities = ["water_temperature"]\n[[sensor]]\n' + ADS1115,
         "profile.address_twice", "0x48"),
        ('driver = "battery"', 'driver = "scd4x"\nbus = "i2c0"\nquantities = ["co2"]\npower = "sensors"\n'
         '[[sensor]]\ndriver = "battery"', "profile.must_stay_on", "scd4x"),
        ('driver = "battery"', 'driver = "vl53l1x"\nbus = "i2c0"\nquantities = ["fill_level"]\n'
         '[[sensor]]\ndriver = "battery"', "profile.setting_needed", "empty_mm"),
    ],
)  # fmt: skip
def test_sensors_that_cannot_work_so_are_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, code: str, named: str
) -> None:
    monkeypatch.setenv("COMMUNODE_LANG", "en")
    assert old in WATER
    (tmp_path / "pond.toml").write_text(WATER.replace(old, new), "utf-8")
    with pytest.raises(CommunodeError) as caught:
        load_profile("pond", tmp_path)
    assert caught.value.code == code
    assert named in str(caught.value) + caught.value.remedy


def test_sensors_that_compute_with_others_make_the_interval_longer(tmp_path: Path) -> None:
    text = (profiles_folder() / "water_quality.toml").read_text("utf-8")
    (tmp_path / "wq.toml").write_text(text.replace("interval_s = 900", "interval_s = 11"), "utf-8")
    with pytest.raises(CommunodeError, match="14 s"):  # 2.5 s, and 11 s for a probe after it
        load_profile("wq", tmp_path)


def test_the_node_is_told_of_rules_that_its_profile_needs_and_of_no_other(tmp_path: Path) -> None:
    (tmp_path / "soil.toml").write_text(GOOD.replace("power =", "stale_after = 0\npower ="), "utf-8")
    plain = load_profile("soil", tmp_path)
    assert plain.rules == ()
    assert not {"repetition", "leaning", "leaning_deg", "leaves"} & plain.as_dict().keys()
    tilt = '[[sensor]]\ndriver = "lis3dh"\nbus = "i2c0"\nquantities = ["tilt"]\n'
    (tmp_path / "soil.toml").write_text("leaning_deg = 45" + GOOD + tilt, "utf-8")
    whole = load_profile("soil", tmp_path)
    assert whole.rules == ("leaning", "repetition")
    assert whole.as_dict()["leaning"] == 450
    assert whole.as_dict()["repetition"] == ((144, (11,), (11, 12)),)
    assert "leaning_deg" not in whole.as_dict()


def test_what_two_sensors_measure_is_left_to_the_one_that_the_profile_names() -> None:
    by_driver = {sensor["driver"]: sensor for sensor in load_profile("air_outdoor").as_dict()["sensors"]}
    assert by_driver["bme280"]["leaves"] == (1, 2)
    assert "leaves" not in by_driver["sht4x"]
