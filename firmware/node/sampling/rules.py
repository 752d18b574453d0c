# SPDX-License-Identifier: MIT
# What a run of readings means: leaks, floods, fires, fallen bins. Pure.
#
# Each rule is a small object that is fed with readings and answers whether it fires; its whole state is a
# tuple of integers (`state`, `restore`) that fits into RTC memory. Times are seconds, values base units.
# Leak rules: minimum night flow (IWA, Farley 2001), longest silence (Adeunis, Sensing Labs), burst.

from micropython import const

_DAY_S = const(86_400)
_NIGHT_BEGIN_S = const(7_200)  # 02:00 local
_NIGHT_END_S = const(14_400)  # 04:00
_NONE = const(-1)

NIGHT_FLOW = const(1)
NO_SILENCE = const(2)
BURST = const(4)


class LeakWatch:
    """Three leak rules over the register of a water meter (litres, any start; a step back restarts).

    night_l_h: least flow between 02:00 and 04:00 that is a leak; silence_s: so long nothing must flow once a
    day; burst_l_h: flow that is a broken pipe at once. 0 switches a rule off.
    """

    def __init__(self, night_l_h: int = 2, silence_s: int = 3600, burst_l_h: int = 3000) -> None:
        self._night_l_h = night_l_h
        self._silence_s = silence_s
        self._burst_l_h = burst_l_h
        self.restore((_NONE, 0, _NONE, 0, 0, _NONE, 0))

    def restore(self, state: "tuple[int, ...]") -> None:
        """Go on from what `state` gave."""
        self._day, self._time, self._litres, self._moved, self._longest, self._least, self.alarms = state

    def state(self) -> "tuple[int, ...]":
        """Everything that must outlive a sleep."""
        return self._day, self._time, self._litres, self._moved, self._longest, self._least, self.alarms

    def feed(self, local_s: int, litres: int) -> int:
        """Take a reading at a local time; return the alarms that stand (NIGHT_FLOW, NO_SILENCE, BURST)."""
        if self._litres == _NONE or litres < self._litres or local_s <= self._time:
            self._begin(local_s, litres)
            return self.alarms
        passed_s = local_s - self._time
        flow_l_h = (litres - self._litres) * 3600 // passed_s
        if self._burst_l_h and flow_l_h >= self._burst_l_h:
            self.alarms |= BURST
        else:
            self.alarms &= ~BURST
        if litres > self._litres:
            # Nothing is known of when in the interval it flowed: the silence ended at its begin.
            self._longest = max(self._longest, self._time - self._moved)
            self._moved = local_s
        self._night(local_s, flow_l_h)
        if local_s // _DAY_S != self._day:
            self._end_day(local_s)
        self._time, self._litres = local_s, litres
        return self.alarms

    def _begin(self, local_s: int, litres: int) -> None:
        self._day, self._time, self._litres = local_s // _DAY_S, local_s, litres
        self._moved, self._longest, self._least = local_s, 0, _NONE

    def _night(self, local_s: int, flow_l_h: int) -> None:
        of_day = local_s % _DAY_S
        if _NIGHT_BEGIN_S < of_day <= _NIGHT_END_S and (self._time % _DAY_S) >= _NIGHT_BEGIN_S:
            self._least = flow_l_h if self._least == _NONE else min(self._least, flow_l_h)

    def _end_day(self, local_s: int) -> None:
        self._longest = max(self._longest, local_s - self._moved)
        self.alarms &= ~(NIGHT_FLOW | NO_SILENCE)
        if self._night_l_h and self._least >= self._night_l_h:
            self.alarms |= NIGHT_FLOW
        if self._silence_s and self._longest < self._silence_s:
            self.alarms |= NO_SILENCE
        self._day, self._longest, self._least = local_s // _DAY_S, 0, _NONE
        # A silence that reaches over midnight counts for both days.


class RiseWatch:
    """Rate of rise of a water level (mm): fires from `rise_mm_h` on, ends below half of that.

    The rate is taken over at least `over_s`, so that waves and a single wrong echo do not make a flood.
    """

    def __init__(self, rise_mm_h: int = 200, over_s: int = 1800, keep: int = 8) -> None:
        self._rise_mm_h = rise_mm_h
        self._over_s = over_s
        self._keep = keep
        self._points: list[tuple[int, int]] = []
        self.alarm = False

    def restore(self, state: "tuple[int, ...]") -> None:
        """Go on from what `state` gave."""
        self.alarm = bool(state[0])
        self._points = [(state[n], state[n + 1]) for n in range(1, len(state), 2)]

    def state(self) -> "tuple[int, ...]":
        """Everything that must outlive a sleep."""
        flat = [int(self.alarm)]
        for point in self._points:
            flat += point
        return tuple(flat)

    def rate_mm_h(self) -> "int | None":
        """Rise per hour over the shortest stretch of at least `over_s`; None before there is one."""
        if not self._points:
            return None
        now_s, level = self._points[-1]
        for then_s, before in reversed(self._points):
            if now_s - then_s >= self._over_s:
                return (level - before) * 3600 // (now_s - then_s)
        return None

    def feed(self, time_s: int, level_mm: int) -> bool:
        """Take a level; return whether the alarm stands. A clock that was set back begins anew."""
        if self._points and time_s <= self._points[-1][0]:
            self._points = []
        self._points = self._points[1 - self._keep :] + [(time_s, level_mm)]
        rate = self.rate_mm_h()
        if rate is not None:
            self.alarm = rate >= (self._rise_mm_h // 2 if self.alarm else self._rise_mm_h)
        return self.alarm


FIRE = const(1)
FALLEN = const(2)
TIPPED = const(4)


class BinWatch:
    """Fire, fall and emptying of a bin.

    Fire: from `fire_mdegc` on, or a rise of `rise_mdegc_min` a minute. Fallen: tilted beyond `fallen_ddeg`
    (0.1 degree) in two readings in a row; in one, it was TIPPED, as when it is emptied.
    """

    def __init__(self, fire_mdegc: int = 60_000, rise_mdegc_min: int = 5_000, fallen_ddeg: int = 600) -> None:
        self._fire_mdegc = fire_mdegc
        self._rise_mdegc_min = rise_mdegc_min
        self._fallen_ddeg = fallen_ddeg
        self.restore((0, _NONE, 0))

    def restore(self, state: "tuple[int, ...]") -> None:
        """Go on from what `state` gave."""
        self._tilted, self._time, self._celsius = state

    def state(self) -> "tuple[int, ...]":
        """Everything that must outlive a sleep."""
        return self._tilted, self._time, self._celsius

    def feed(self, time_s: int, temperature: "int | None", tilt: "int | None") -> int:
        """Take a temperature (0.001 degC) and a tilt (0.1 degree), None where there is none."""
        alarms = 0
        if temperature is not None:
            if temperature >= self._fire_mdegc:
                alarms |= FIRE
            passed_s = time_s - self._time if self._time != _NONE else 0
            rise = (temperature - self._celsius) * 60
            if passed_s > 0 and rise >= self._rise_mdegc_min * max(passed_s, 60):
                alarms |= FIRE
            self._time, self._celsius = time_s, temperature
        if tilt is not None:
            if tilt < self._fallen_ddeg:
                self._tilted = 0
            else:
                alarms |= FALLEN if self._tilted else TIPPED
                self._tilted = 1
        return alarms
