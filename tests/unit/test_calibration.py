# SPDX-License-Identifier: MIT
"""Calibrations: exact at their points, kept with raw, refused when impossible, the same on host and node."""

from __future__ import annotations

import struct
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from communode.calibrations import read_calibration
from communode.errors import CommunodeError
from communode.node.sampling.calibration import (
    EPA_2021,
    POLYNOMIAL,
    TWO_POINT,
    Calibration,
    apply,
    epa_2021,
    from_bytes,
    refusal,
)
from communode.node.sampling.sample import take_sample
from communode.node.schema.quantities import (
    CLAMPED,
    CO2,
    GOOD,
    OUT_OF_CALIBRATION,
    PH,
    PM25,
    RAW,
    RELATIVE_HUMIDITY,
    TILT,
    TURBIDITY,
)
from hypothesis import given
from hypothesis import strategies as st

TODAY = date(2026, 11, 21)
TWO = {
    "quantity": "ph",
    "kind": "two_point",
    "points": [[4.12, 4.01], [6.95, 7.00]],
    "day": date(2026, 3, 2),
    "by": "J.M.",
}
POLY = {
    "quantity": "turbidity",
    "kind": "polynomial",
    "centre": 500.0,
    "span": 500.0,
    "coefficients": [480.0, 510.0, 12.0],
    "day": date(2026, 3, 2),
    "by": "J.M.",
}


def read(**changes: Any) -> Calibration:
    entry = (POLY if changes.get("kind") == "polynomial" else TWO) | changes
    return from_bytes(read_calibration(Path("p.toml"), "sensor[0].calibration[0]", entry, TODAY))


def test_two_points_are_met_exactly_and_survive_the_flash() -> None:
    made = read(valid_days=180)
    assert (made.corrected(4120), made.corrected(6950)) == (4010, 7000)
    assert made.corrected(5535) == 5505
    assert (made.who, made.valid_days, made.slope_permille()) == ("J.M.", 180, 1056)
    assert date.fromordinal(date(2000, 1, 1).toordinal() + made.day) == date(2026, 3, 2)


@given(st.integers(0, 10_000))
def test_a_polynomial_is_that_of_floating_point_within_a_step(raw: int) -> None:
    u = (raw - 5000) / 5000
    expected = 4800 + 5100 * u + 120 * u * u
    made = Calibration(TURBIDITY, POLYNOMIAL, (5000, 5000, 4800, 5100, 120), 1, "x")
    assert made.corrected(raw) == pytest.approx(expected, abs=2)


@pytest.mark.parametrize(
    ("pm", "humidity"), [(0, 50), (5, 40), (29.9, 60), (40, 30), (120, 80), (235, 20), (300, 50), (500, 90)]
)
def test_the_epa_correction_is_that_of_its_pieces(pm: float, humidity: int) -> None:
    def pieces(p: float) -> float:
        damp = -0.0862 * humidity
        low, middle = 0.524 * p + damp + 5.75, 0.786 * p + damp + 5.75
        high = 2.966 + 0.69 * p + 8.84e-4 * p * p
        if p < 30:
            return low
        if p < 50:
            w = p / 20 - 1.5
            return (0.786 * w + 0.524 * (1 - w)) * p + damp + 5.75
        if p < 210:
            return middle
        if p < 260:
            w = p / 50 - 4.2
            return middle * (1 - w) + high * w
        return high

    expected = max(0.0, pieces(pm)) if pm else 0.0
    assert epa_2021(round(pm * 10), humidity * 1000) / 10 == pytest.approx(expected, abs=0.11)


def test_raw_and_corrected_are_both_kept() -> None:
    readings = {PH: (6950, GOOD), CO2: (800, GOOD)}
    apply([read()], readings)
    assert readings == {PH: (7000, GOOD), PH | RAW: (6950, GOOD), CO2: (800, GOOD)}
    missing: dict[int, tuple[int | None, int]] = {PH: (None, 6)}
    apply([read()], missing)
    assert missing == {PH: (None, 6)}


def test_a_calibration_that_ran_out_or_is_stretched_too_far_says_so() -> None:
    made = read(valid_days=30)
    for day, raw, quality in (
        (made.day + 29, 7000, GOOD),
        (made.day + 30, 7000, OUT_OF_CALIBRATION),
        (None, 7000, GOOD),
        (None, 12_500, OUT_OF_CALIBRATION),
    ):
        readings: dict[int, tuple[int | None, int]] = {PH: (raw, GOOD)}
        apply([made], readings, day)
        assert readings[PH][1] == quality
        assert readings[PH | RAW] == (raw, GOOD)
    clamped: dict[int, tuple[int | None, int]] = {PH: (13_999, CLAMPED)}
    apply([made], clamped, made.day + 99)
    assert clamped[PH][1] == CLAMPED  # the first reason stays


def test_the_humidity_of_the_same_reading_enters_or_the_value_stays_uncorrected() -> None:
    made = Calibration(PM25, EPA_2021, (), 1, "x")
    readings: dict[int, tuple[int | None, int]] = {PM25: (200, GOOD), RELATIVE_HUMIDITY: (50_000, GOOD)}
    apply([made], readings)
    assert readings[PM25] == (epa_2021(200, 50_000), GOOD)
    dry: dict[int, tuple[int | None, int]] = {PM25: (200, GOOD)}
    apply([made], dry)
    assert dry == {PM25: (200, OUT_OF_CALIBRATION), PM25 | RAW: (200, GOOD)}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"points": [[4.12, 4.01], [4.12, 7.00]]}, "calibration.points_close"),
        ({"points": [[4.01, 4.12], [7.00, 70.0]]}, "calibration.reference_range"),
        ({"points": [[4.0, 4.0], [7.0, 5.5]]}, "calibration.slope_ph"),
        ({"points": [[4.0, 7.0], [7.0, 4.0]]}, "calibration.slope_ph"),
        ({"points": [[4.0, 4.0]]}, "profile.value_wrong"),
        ({"points": [[4.0, "x"], [7, 7]]}, "profile.value_wrong"),
        ({"day": date(2026, 11, 22)}, "profile.value_wrong"),
        ({"day": "2026-03-02"}, "profile.value_wrong"),
        ({"by": ""}, "profile.value_wrong"),
        ({"by": "somebody else"}, "profile.value_wrong"),
        ({"valid_days": -1}, "profile.value_wrong"),
        ({"kind": "cubic"}, "profile.value_wrong"),
        ({"slope": 1}, "profile.key_unknown"),
        ({"quantity": "tilt"}, "calibration.not_calibrated"),
        ({"quantity": "co2", "points": [[400, 400], [1000, 9000]]}, "calibration.slope"),
        ({"kind": "polynomial", "coefficients": [480.0, -510.0]}, "calibration.not_rising"),
        ({"kind": "polynomial", "coefficients": []}, "calibration.polynomial"),
        ({"kind": "polynomial", "span": 0.0}, "calibration.polynomial"),
        ({"kind": "polynomial", "coefficients": [900_000.0, 510.0]}, "calibration.reference_range"),
    ],
)
def test_an_impossible_calibration_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], code: str
) -> None:
    monkeypatch.setenv("COMMUNODE_LANG", "en")
    with pytest.raises(CommunodeError) as caught:
        read(**changes)
    assert caught.value.code == code
    assert "p.toml" in str(caught.value)
    assert "calibration[0]" in str(caught.value)


def test_the_node_refuses_what_the_host_would() -> None:
    assert refusal(Calibration(TILT, TWO_POINT, (0, 0, 900, 900), 1, "x")) == "not_calibrated"
    assert refusal(Calibration(PH, TWO_POINT, (4000, 4000, 7000, 7000), 1, "")) == "unsigned"


@given(st.binary(max_size=40))
def test_no_bytes_make_the_node_raise_anything_else(data: bytes) -> None:
    try:
        from_bytes(data)
    except (ValueError, UnicodeDecodeError):
        pass
    except struct.error:  # pragma: no cover
        pytest.fail("struct.error reached the caller")


class Sensor:
    def __init__(self, name: str, ready_ms: int, log: list[str]) -> None:
        self.name, self.ready_ms, self.log = name, ready_ms, log

    def start(self) -> int:
        self.log.append(f"start {self.name}")
        return self.ready_ms

    def read(self) -> Any:
        self.log.append(f"read {self.name}")
        return ((PH, 6950, GOOD),) if self.name == "ph" else ((CO2, 800, GOOD),)

    def stop(self) -> None:
        self.log.append(f"stop {self.name}")


class Needy(Sensor):
    def use(self, readings: dict[int, tuple[int | None, int]]) -> None:
        self.log.append(f"use {sorted(readings)}")

    def read(self) -> Any:
        self.log.append("read needy")
        return 500 if self.log.count("read needy") == 1 else super().read()


def test_a_sensor_that_computes_with_others_is_read_last_and_may_ask_again() -> None:
    log: list[str] = []
    now = [0]

    def sleep_ms(duration: int) -> None:
        now[0] += duration

    needy = Needy("ph", 10, log)
    slow = Sensor("slow", 2000, log)
    readings = take_sample([needy, slow], lambda: now[0], lambda a, b: a - b, sleep_ms, [read()])
    assert log == [
        *("start ph", "start slow", "read slow", "stop slow"),
        *(f"use [{CO2}]", "read needy", f"use [{CO2}]", "read needy", "read ph", "stop ph"),
    ]
    assert now[0] == 2501
    assert readings == {CO2: (800, GOOD), PH: (7000, GOOD), PH | RAW: (6950, GOOD)}


def test_a_sensor_that_asks_for_ever_is_given_up() -> None:
    class Endless(Sensor):
        def read(self) -> Any:
            self.log.append("read")
            return 1

    log: list[str] = []
    assert take_sample([Endless("x", 0, log)], lambda: 0, lambda a, b: a - b, lambda ms: None) == {}
    assert log.count("read") == 3
    assert log[-1] == "stop x"
