# SPDX-License-Identifier: MIT
# One sampling: start every sensor, wait as long as each needs, read it, switch it off. Pure.
#
# A sensor that fails leaves its quantities without a value; nothing here raises for the sake of one sensor.

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .calibration import Calibration

    class Sensor:
        """What drivers/reading.py describes."""

        def start(self) -> int: ...
        def read(self) -> "tuple[tuple[int, int | None, int], ...] | int": ...
        def stop(self) -> None: ...


_STEPS = 3  # a driver may ask twice to be asked again


def take_sample(
    sensors: "Sequence[Sensor]",
    ticks_ms: "Callable[[], int]",
    ticks_diff: "Callable[[int, int], int]",
    sleep_ms: "Callable[[int], object]",
    calibrations: "Sequence[Calibration]" = (),
    day: "int | None" = None,
) -> "dict[int, tuple[int | None, int]]":
    """{quantity code: (value, quality)} of `sensors`, which follow the contract of drivers/reading.py.

    Sensors run at the same time: they are read in the order in which they become ready, those that use the
    others' readings after these. What a sensor's attribute `leaves` names is another one's to say.
    `calibrations` (calibration.py) are applied at the end; `day` is today, since 2000-01-01, where the node
    knows it.
    """
    begun = ticks_ms()
    queue: list[tuple[int, int, int, Sensor]] = []
    for sensor in sensors:
        ready_ms = sensor.start()
        queue.append((ticks_diff(ticks_ms(), begun) + ready_ms, len(queue), 1, sensor))
    alone_ms = max([0] + [entry[0] for entry in queue if not hasattr(entry[3], "use")])
    queue = [
        (max(ready, alone_ms + 1) if hasattr(s, "use") else ready, n, step, s) for ready, n, step, s in queue
    ]
    readings: dict[int, tuple[int | None, int]] = {}
    while queue:
        queue.sort(key=_order)
        ready_ms, number, step, sensor = queue.pop(0)
        left_ms = ready_ms - ticks_diff(ticks_ms(), begun)
        if left_ms > 0:
            sleep_ms(left_ms)
        if hasattr(sensor, "use"):
            sensor.use(readings)
        answer = sensor.read()
        if isinstance(answer, int):
            if step < _STEPS:
                queue.append((ticks_diff(ticks_ms(), begun) + answer, number, step + 1, sensor))
                continue
            answer = ()
        leaves = getattr(sensor, "leaves", ())
        for code, value, quality in answer:
            if code not in leaves:
                readings[code] = (value, quality)
        sensor.stop()
    if calibrations:
        from .calibration import apply  # most nodes have none, and its code stays in flash

        apply(calibrations, readings, day)
    return readings


def _order(entry: "tuple[int, int, int, Sensor]") -> "tuple[int, int]":
    return entry[0], entry[1]
