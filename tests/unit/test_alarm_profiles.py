# SPDX-License-Identifier: MIT
"""Alarms in profiles: the shipped ones are sound, each mistake is refused in words, names go both ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from communode.alarms import codes_of, name_alarm, scale_of, severity_of
from communode.errors import CommunodeError
from communode.node.app.alarms import Alarms
from communode.node.schema.alarms import ABOVE, FLOOD, LEAK, MAX_ALARMS, SENSOR_FAULT, TAMPER, rows_fault
from communode.node.schema.quantities import CO2, QUANTITIES, WATER_LEVEL, WATER_VOLUME
from communode.profiles import load_profile, profile_names

PROFILE = """
id = 7
interval_s = 600
[[sensor]]
driver = "scd4x"
bus = "i2c0"
quantities = ["co2", "air_temperature"]
[[sensor]]
driver = "battery"
bus = "adc"
quantities = ["battery"]
[[alarm]]
kind = "above"
quantity = "co2"
threshold = 1500
hysteresis = 200
hold_off_s = 900
"""


def write(folder: Path, text: str) -> Path:
    (folder / "school.toml").write_text(text, "utf-8")
    return folder


def test_shipped_alarms_are_sound_on_the_node_and_fit_its_memory() -> None:
    for name in profile_names():
        profile = load_profile(name)
        frozen = profile.as_dict()
        codes = tuple(code for sensor in frozen["sensors"] for code in sensor["quantities"])
        assert rows_fault(frozen["alarms"], codes) == ""
        assert len(Alarms(frozen["alarms"]).to_bytes(0)) <= 128


@pytest.mark.parametrize("name", ["air", "water", "bin"])
def test_a_shipped_hold_off_is_no_multiple_of_the_interval(name: str) -> None:
    # Samplings come with jitter: at a multiple, chance would decide whether it takes one more.
    profile = load_profile(name)
    assert profile.alarms
    assert all(alarm.hold_off_s % profile.interval_s > 60 for alarm in profile.alarms if alarm.hold_off_s)


def test_a_row_is_written_in_units_and_frozen_in_base_units(tmp_path: Path) -> None:
    more = '[[alarm]]\nkind = "below"\nquantity = "battery"\nthreshold = 3.4\nhysteresis = 0.1\n'
    profile = load_profile("school", write(tmp_path, PROFILE + more))
    assert profile.as_dict()["alarms"] == ((3, 1, 1500, 200, 900), (14, 2, 3400, 100, 0))
    assert [alarm.name for alarm in profile.alarms] == ["above.co2", "below.battery"]


def test_a_profile_without_alarms_has_none(tmp_path: Path) -> None:
    profile = load_profile("school", write(tmp_path, PROFILE.split("[[alarm]]")[0]))
    assert profile.as_dict()["alarms"] == ()


def test_a_tamper_contact_needs_no_quantity(tmp_path: Path) -> None:
    profile = load_profile("school", write(tmp_path, PROFILE + '[[alarm]]\nkind = "tamper"\n'))
    assert profile.as_dict()["alarms"][1] == (0, TAMPER, 0, 0, 0)


@pytest.mark.parametrize(
    ("old", "new", "code", "named"),
    [
        ('kind = "above"', 'kind = "over"', "value_wrong", "alarm[0].kind"),
        ('kind = "above"', "kind = [1]", "value_wrong", "alarm[0].kind"),
        ('kind = "above"', "", "key_missing", "alarm[0].kind"),
        ('quantity = "co2"', "", "key_missing", "alarm[0].quantity"),
        ('quantity = "co2"', 'quantity = "c02"', "value_wrong", "co2, air_temperature, battery"),
        ('quantity = "co2"', "quantity = [3]", "value_wrong", "alarm[0].quantity"),
        ('quantity = "co2"', 'quantity = "pm25"', "value_wrong", "alarm[0].quantity"),
        ('kind = "above"', 'kind = "leak"', "value_wrong", "alarm[0].quantity"),
        ("threshold = 1500", "threshold = -1", "value_wrong", "0..32764 ppm"),
        ("threshold = 1500", 'threshold = "much"', "value_wrong", "alarm[0].threshold"),
        ("threshold = 1500", "threshold = true", "value_wrong", "alarm[0].threshold"),
        ("threshold = 1500", "threshold = nan", "value_wrong", "alarm[0].threshold"),
        ("threshold = 1500", "threshold = inf", "value_wrong", "alarm[0].threshold"),
        ("hysteresis = 200", "hysteresis = 1501", "value_wrong", "0..1500 ppm"),
        ("hold_off_s = 900", "hold_off_s = 43201", "value_wrong", "0..43200"),
        ("hold_off_s = 900", "hold_s = 900", "key_unknown", "alarm[0].hold_s"),
        ("hold_off_s = 900", "[[alarm]]\nkind = 'above'\nquantity = 'co2'", "alarm_twice", "above.co2"),
        ("[[alarm]]", "[alarm]", "value_wrong", "[[alarm]]"),
    ],
)
def test_each_mistake_names_the_file_and_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, code: str, named: str
) -> None:
    monkeypatch.setenv("COMMUNODE_LANG", "en")
    assert old in PROFILE
    with pytest.raises(CommunodeError) as caught:
        load_profile("school", write(tmp_path, PROFILE.replace(old, new)))
    assert caught.value.code == f"profile.{code}"
    assert "school.toml" in str(caught.value)
    assert named in str(caught.value)


def table(kind: str, quantity: str, threshold: int) -> str:
    return f'[[alarm]]\nkind = "{kind}"\nquantity = "{quantity}"\nthreshold = {threshold}\n'


def test_a_rate_is_measured_over_a_minute_at_least(tmp_path: Path) -> None:
    rate = table("rise", "co2", 100) + "hold_off_s = "
    load_profile("school", write(tmp_path, PROFILE + rate + "60"))
    with pytest.raises(CommunodeError, match=r"60\.\.43200"):
        load_profile("school", write(tmp_path, PROFILE + rate + "59"))


def test_more_alarms_than_a_node_remembers_are_refused(tmp_path: Path) -> None:
    more = [table("sensor_fault", name, 0) for name in ("co2", "air_temperature", "battery")]
    more += [table("below", name, 2) for name in ("co2", "air_temperature", "battery")]
    more += [table("above", name, 2) for name in ("air_temperature", "battery")]
    profile = load_profile("school", write(tmp_path, PROFILE + "".join(more[1:])))
    assert len(profile.alarms) == MAX_ALARMS
    with pytest.raises(CommunodeError) as caught:
        load_profile("school", write(tmp_path, PROFILE + "".join(more)))
    assert caught.value.code == "profile.alarms_many"
    assert caught.value.values["count"] == MAX_ALARMS + 1


@pytest.mark.parametrize(("kind", "quantity"), [(ABOVE, CO2), (TAMPER, 0), (12, 3), (ABOVE, 120), (15, 255)])
def test_a_name_says_the_codes_and_the_codes_the_name(kind: int, quantity: int) -> None:
    assert codes_of(name_alarm(kind, quantity)) == (kind, quantity)


@pytest.mark.parametrize("name", ["", "over.co2", "above.c02", "kind999.co2", "kindx", "above.co2.x"])
def test_what_is_no_alarm_has_no_codes(name: str) -> None:
    with pytest.raises(KeyError):
        codes_of(name)


def test_values_have_the_unit_of_what_the_alarm_watches() -> None:
    assert scale_of(ABOVE, CO2) == ("ppm", 1)
    assert scale_of(FLOOD, WATER_LEVEL) == ("m/h", 1000)
    assert scale_of(LEAK, WATER_VOLUME) == ("L/h", 1)
    assert scale_of(TAMPER, 0) == ("", 1)
    assert scale_of(SENSOR_FAULT, CO2) == ("quality", 1)
    assert scale_of(ABOVE, 127) == ("", 1)
    assert 127 not in QUANTITIES


def test_what_calls_somebody_out_and_what_is_not_known_is_critical() -> None:
    assert [severity_of(name) for name in ("fire.air_temperature", "tamper", "kind12", "above.co2")] == [
        "critical",
        "critical",
        "critical",
        "warning",
    ]
