# SPDX-License-Identifier: MIT
# One sampling: start every sensor, wait as long as each needs, read it, switch it off. Pure.
#
# A sensor that fails leaves its quantities without a value; nothing here raises for the sake of one sensor.

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable


def take_sample(sensors: list, ticks_ms: "Callable", ticks_diff: "Callable", sleep_ms: "Callable") -> dict:
    """{quantity code: (value, quality)} of `sensors`, which follow the contract of drivers/reading.py.

    Sensors run at the same time: they are read in the order in which they become ready.
    """
    begun = ticks_ms()
    running = []
    for sensor in sensors:
        ready_ms = sensor.start()
        running.append((ticks_diff(ticks_ms(), begun) + ready_ms, len(running), sensor))
    running.sort()
    readings = {}
    for ready_ms, _, sensor in running:
        left_ms = ready_ms - ticks_diff(ticks_ms(), begun)
        if left_ms > 0:
            sleep_ms(left_ms)
        for code, value, quality in sensor.read():
            readings[code] = (value, quality)
        sensor.stop()
    return readings
