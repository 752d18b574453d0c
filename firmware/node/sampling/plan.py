# SPDX-License-Identifier: MIT
# When the next sampling is due, and whether a plan can be kept at all. Pure.

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Container, Sequence


def next_due_ms(last_due_ms: int, now_ms: int, interval_ms: int) -> int:
    """The next multiple of the interval from `last_due_ms` on that lies ahead: a late node skips."""
    passed = max(0, now_ms - last_due_ms)
    return last_due_ms + (passed // interval_ms + 1) * interval_ms


def refusal(
    sensors: "Sequence[tuple[str, str]]",
    buses: "Container[str]",
    interval_s: int,
    floor_s: int,
    calibrations: "Sequence[bytes]" = (),
) -> "str | None":
    """Why a plan cannot be kept on this node, in a few words, or None.

    `sensors` are pairs of driver and bus, `buses` those of the board, `floor_s` the time that the slowest
    sensors need. The host refuses the same when it builds (communode.profiles); this is for what comes later.
    """
    for driver, bus in sensors:
        if bus != "adc" and bus not in buses:
            return "no bus {} for {}".format(bus, driver)
    if interval_s < floor_s:
        return "interval below {} s".format(floor_s)
    for data in calibrations:
        from .calibration import from_bytes

        try:
            from_bytes(data)
        except ValueError as error:
            return "calibration: {}".format(error)
    return None
