# SPDX-License-Identifier: MIT
"""Leaks, floods, fires, fallen bins: each rule fires when it should, and its state survives a sleep."""

from __future__ import annotations

from communode.node.sampling import rules

HOUR, DAY = 3600, 86_400


def run_meter(watch: rules.LeakWatch, flow_l_h: dict[int, int], days: int, every_s: int = 900) -> list[int]:
    """Feed a meter whose flow depends on the hour; return the alarms at each midnight."""
    litres, alarms, found = 0.0, 0, []
    for time_s in range(0, days * DAY + every_s + 1, every_s):
        alarms = watch.feed(time_s, int(litres))
        litres += flow_l_h.get(time_s % DAY // HOUR, flow_l_h.get(-1, 0)) * every_s / HOUR
        watch.restore(watch.state())  # as over a deep sleep
        if time_s > DAY and time_s % DAY == every_s:
            found.append(alarms)
    return found


def test_a_household_without_a_leak_raises_nothing() -> None:
    usage = {6: 80, 7: 120, 12: 60, 19: 100, 20: 40}
    assert run_meter(rules.LeakWatch(), usage, 4) == [0, 0, 0, 0]


def test_a_running_toilet_never_falls_silent_and_flows_at_night() -> None:
    found = run_meter(rules.LeakWatch(), {-1: 6, 7: 120}, 3)
    assert found == [rules.NIGHT_FLOW | rules.NO_SILENCE] * 3


def test_the_alarms_of_a_day_end_with_a_day_without_a_leak() -> None:
    watch = rules.LeakWatch()
    run_meter(watch, {-1: 6}, 2)
    assert watch.alarms
    litres = watch.state()[2]
    for time_s in range(2 * DAY + 1800, 4 * DAY + 1800, 900):
        watch.feed(time_s, litres)
    assert watch.alarms == 0


def test_a_burst_fires_at_once_and_ends_with_it() -> None:
    watch = rules.LeakWatch(burst_l_h=3000)
    assert watch.feed(0, 0) == 0
    assert watch.feed(600, 400) == 0
    assert watch.feed(1200, 400 + 600) == rules.BURST
    assert watch.feed(1800, 1001) == 0


def test_a_counter_that_restarts_is_no_burst_and_no_silence() -> None:
    watch = rules.LeakWatch()
    watch.feed(0, 900_000)
    assert watch.feed(600, 3) == 0
    assert watch.feed(1200, 4) == 0


def test_a_flood_fires_on_its_rate_and_a_wave_does_not() -> None:
    watch = rules.RiseWatch(rise_mm_h=200, over_s=1800)
    level, found = 500, []
    for n in range(24):
        level += 0 if n < 12 else 40  # 240 mm/h from the twelfth reading on
        found.append(watch.feed(n * 600, level + (150 if n == 5 else 0)))
        watch.restore(watch.state())
    assert found.index(True) in (5, 14)
    assert not any(found[8:12])
    assert all(found[15:])


def test_a_flood_that_slows_down_ends_below_half_the_rate() -> None:
    watch = rules.RiseWatch(rise_mm_h=200, over_s=1800)
    level = 0
    rates = [300] * 8 + [150] * 8 + [60] * 8
    found = []
    for n, rate in enumerate(rates):
        level += rate // 6
        found.append(watch.feed(n * 600, level))
    assert found[7]
    assert found[15]  # 150 mm/h is above half
    assert not found[23]
    assert watch.rate_mm_h() == 60


def test_a_clock_that_was_set_back_does_not_raise_a_flood() -> None:
    watch = rules.RiseWatch()
    watch.feed(100_000, 500)
    assert not watch.feed(50, 3000)
    assert watch.rate_mm_h() is None


def test_fire_is_heat_or_fast_warming() -> None:
    watch = rules.BinWatch()
    assert watch.feed(0, 21_000, 20) == 0
    assert watch.feed(600, 32_000, 20) == 0  # the sun: 11 degrees in ten minutes
    assert watch.feed(660, 38_000, 20) == rules.FIRE
    assert watch.feed(1200, 61_000, 20) == rules.FIRE
    assert rules.BinWatch().feed(0, None, None) == 0


def test_a_bin_that_is_emptied_is_tipped_and_one_that_lies_is_fallen() -> None:
    watch = rules.BinWatch()
    found = []
    for n, tilt in enumerate((20, 1100, 20, 900, 905, 910, 30)):
        found.append(watch.feed(n * 600, 20_000, tilt))
        watch.restore(watch.state())
    assert found == [0, rules.TIPPED, 0, rules.TIPPED, rules.FALLEN, rules.FALLEN, 0]
