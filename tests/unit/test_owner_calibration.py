# SPDX-License-Identifier: MIT
"""A calibration that came by command computes on the node what its numbers say."""

from __future__ import annotations

import pytest
from communode.node.app.settings import calibration_of
from communode.node.codec.command import POLYNOMIAL, TWO_POINT
from communode.node.schema.quantities import CALIBRATED, QUANTITIES


@pytest.mark.parametrize("quantity", CALIBRATED)
def test_a_polynomial_in_base_units_is_the_same_about_the_middle_of_the_range(quantity: int) -> None:
    _, _, _, low, step, bits = QUANTITIES[quantity]
    width = step << bits
    c0, c1, c2, c3 = 3.0 + low / 50, 0.97, 0.02 / width, 0.01 / width / width
    calibration = calibration_of(POLYNOMIAL, (quantity, 800_000_000, 7, c0, c1, c2, c3))
    for part in range(17):
        raw = low + width * part // 16
        wanted = c0 + raw * (c1 + raw * (c2 + raw * c3))
        assert calibration.corrected(raw) == pytest.approx(wanted, abs=3 + width / 8000)
        assert calibration.covers(raw)
    assert (calibration.day, calibration.who) == (9259, "7")


def test_two_points_and_a_straight_line_agree() -> None:
    quantity = CALIBRATED[0]
    low, step = QUANTITIES[quantity][3:5]
    first, second = low + 100 * step, low + 300 * step
    by_points = calibration_of(TWO_POINT, (quantity, 1, 0, first, first + step, second, second + step))
    by_line = calibration_of(POLYNOMIAL, (quantity, 1, 0, float(step), 1.0))
    for raw in (first, second, (first + second) // 2):
        assert by_points.corrected(raw) == raw + step
        assert by_line.corrected(raw) == pytest.approx(raw + step, abs=2)
