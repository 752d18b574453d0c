# SPDX-License-Identifier: MIT
"""Local time on the node against the time-zone database of the host."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from communode.node.app.daylight import local_s

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def _expected(utc_s: int, zone: ZoneInfo) -> int:
    offset = (EPOCH + timedelta(seconds=utc_s)).astimezone(zone).utcoffset()
    assert offset is not None
    return utc_s + int(offset.total_seconds())


def test_local_time_is_that_of_paris_at_every_change_and_between() -> None:
    zone = ZoneInfo("Europe/Paris")
    for day in range(37 * 365):  # the database knows the rule until 2037
        for hour in (0, 1, 2, 12):
            for second in (-1, 0):
                utc_s = day * 86_400 + hour * 3600 + second
                if utc_s >= 0:
                    assert local_s(utc_s) == _expected(utc_s, zone), EPOCH + timedelta(seconds=utc_s)


@pytest.mark.parametrize(("name", "offset_s"), [("Europe/Athens", 7200), ("Europe/Lisbon", 0)])
def test_other_zones_of_the_union_change_in_the_same_instant(name: str, offset_s: int) -> None:
    zone = ZoneInfo(name)
    for week in range(52 * 20):
        utc_s = 800_000_000 + week * 604_800 // 7
        assert local_s(utc_s, offset_s) == _expected(utc_s, zone)


def test_overseas_there_is_no_summer_time() -> None:
    zone = ZoneInfo("Indian/Reunion")
    for month in range(24):
        utc_s = 820_000_000 + month * 2_600_000
        assert local_s(utc_s, 14_400, False) == _expected(utc_s, zone)
