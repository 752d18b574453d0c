# SPDX-License-Identifier: MIT
"""The battery's voltage through a divider."""

from __future__ import annotations

import pytest
from communode.node.drivers import battery
from communode.node.schema.quantities import ABSENT, BATTERY, GOOD


class Adc:
    """``machine.ADC`` at a fixed voltage."""

    def __init__(self, microvolts: int | None) -> None:
        self._microvolts = microvolts

    def read_uv(self) -> int:
        if self._microvolts is None:
            raise OSError(5)
        return self._microvolts


def no_sleep(duration_ms: int) -> None:
    raise AssertionError("it does not wait")


@pytest.mark.parametrize(
    ("microvolts", "ratio_permille", "reading"),
    [
        (755_102, 4900, (BATTERY, 3699, GOOD)),
        (2_050_000, 2000, (BATTERY, 4100, GOOD)),
        (20_000, 2000, (BATTERY, None, ABSENT)),
        (None, 2000, (BATTERY, None, ABSENT)),
    ],
)
def test_millivolts_are_the_pins_times_the_ratio(
    microvolts: int | None, ratio_permille: int, reading: tuple[int, int | None, int]
) -> None:
    sensor = battery.Sensor(Adc(microvolts), no_sleep, ratio_permille=ratio_permille)
    assert sensor.start() == 0
    assert sensor.read() == (reading,)
    sensor.stop()
