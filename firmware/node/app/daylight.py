# SPDX-License-Identifier: MIT
# Local time from UTC: an offset, and summer time by the rule of the European Union. Pure.
#
# Nights are local: a leak is judged between two and four o'clock where the people sleep. Not here: the time
# zones of the world. A profile says `utc_offset_s` and `summer_time`; without them it is France's.
# Source: Directive 2000/84/EC, articles 2 and 3: from the last Sunday of March to the last Sunday of October,
# both at 01:00 UTC.

from micropython import const

_DAY_S = const(86400)
_HOUR_S = const(3600)
_FOUR_YEARS = const(1461)  # days; right from 2000 to 2099
_MARCH_31 = const(90)  # day of a common year, 1 January being 1
_OCTOBER_31 = const(304)


def local_s(utc_s: int, offset_s: int = 3600, summer_time: bool = True) -> int:
    """Local seconds since 2000 of UTC seconds since 2000; offset without summer time, in s."""
    if summer_time and _is_summer(utc_s):
        offset_s += _HOUR_S
    return utc_s + offset_s


def _is_summer(utc_s: int) -> bool:
    day = utc_s // _DAY_S
    of_four = day % _FOUR_YEARS
    leap = 1 if of_four < 366 else 0
    of_year = of_four if leap else (of_four - 366) % 365
    first = day - of_year  # 1 January
    begin, end = [_last_sunday(first + last + leap - 1) for last in (_MARCH_31, _OCTOBER_31)]
    return begin * _DAY_S + _HOUR_S <= utc_s < end * _DAY_S + _HOUR_S


def _last_sunday(day: int) -> int:
    """The Sunday on or before a day; 2 January 2000 (day 1) was one."""
    return day - (day - 1) % 7
