# SPDX-License-Identifier: MIT
"""Piecewise linear functions of time that repeat: the one form in which the world holds its series.

Not a data frame and no interpolation but the linear one. Time is integer microseconds.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass


class Polyline:
    """Values between points by linear interpolation, before the first and after the last point constant.

    Two points with the same time make a step; at that time itself the later point holds.
    """

    def __init__(self, points: Iterable[tuple[int, float]]) -> None:
        self._times = array("q")
        self._values = array("d")
        for time_us, value in points:
            if self._times and time_us < self._times[-1]:
                raise ValueError("points must be in the order of time")
            self._times.append(time_us)
            self._values.append(value)
        if not self._times:
            raise ValueError("a polyline needs a point")

    def points(self) -> list[tuple[int, float]]:
        """All points."""
        return list(zip(self._times, self._values, strict=True))

    def value(self, time_us: int) -> float:
        """The value at ``time_us``."""
        after = bisect_right(self._times, time_us)
        if after == 0:
            return self._values[0]
        if after == len(self._times):
            return self._values[-1]
        begin, end = self._times[after - 1], self._times[after]
        low, high = self._values[after - 1], self._values[after]
        return low + (high - low) * (time_us - begin) / (end - begin)

    def extremes(self, begin_us: int, end_us: int) -> tuple[float, float]:
        """Least and greatest value in ``[begin_us, end_us]``, both sides of a step included."""
        # The first point at or after the begin: a step exactly there counts with both of its sides.
        first = bisect_right(self._times, begin_us - 1)
        last = bisect_right(self._times, end_us)
        seen = [self.value(begin_us), self.value(end_us), *self._values[first:last]]
        return min(seen), max(seen)

    def map(self, function: Callable[[float], float]) -> Polyline:
        """The polyline with ``function`` (monotone, else it is only right at the points) over its values."""
        return Polyline((time_us, function(value)) for time_us, value in self.points())


@dataclass(frozen=True)
class Circle:
    """A polyline repeated each ``period_us``; a register's reading goes on by ``growth`` each time."""

    line: Polyline
    period_us: int
    growth: float = 0.0

    def value(self, time_us: int) -> float:
        """The value at ``time_us``, which may be negative."""
        lap, within = divmod(time_us, self.period_us)
        return self.line.value(within) + lap * self.growth

    def extremes(self, begin_us: int, end_us: int) -> tuple[float, float]:
        """Least and greatest value in ``[begin_us, end_us]``."""
        lows, highs = [], []
        for lap in range(begin_us // self.period_us, end_us // self.period_us + 1):
            start = lap * self.period_us
            # The last microsecond of a lap stands for its left limit.
            last = min(end_us - start, self.period_us - 1)
            low, high = self.line.extremes(max(begin_us - start, 0), last)
            lows.append(low + lap * self.growth)
            highs.append(high + lap * self.growth)
        return min(lows), max(highs)

    def moving_days(self, day_us: int) -> list[int]:
        """The days of one period (0, 1, ...) in which the value changes at all."""
        days = range(self.period_us // day_us)
        spans = [self.line.extremes(day * day_us, (day + 1) * day_us - 1) for day in days]
        return [day for day, (low, high) in zip(days, spans, strict=True) if high > low]
