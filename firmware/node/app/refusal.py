# SPDX-License-Identifier: MIT
# What of its plan a node cannot keep. Pure. Imported once a start, and forgotten again.
#
# The host refuses the same when it builds (communode.profiles, communode.build); this is for what comes later:
# another board under the image, a description written by hand.

from ..schema.events import PLAN_REFUSED


def judge(cycle) -> None:  # type: ignore[no-untyped-def]
    """Say what of its plan this node cannot keep; the rest goes on."""
    node, reporter = cycle.node, cycle.reporter
    for quantity, reason in refusals(node.profile, node.board["buses"], reporter.setting("interval_s")):
        print("refused:", reason)
        reporter.note(PLAN_REFUSED, quantity)


def refusals(profile: dict, buses: dict, interval_s: int) -> list:
    """(quantity, why in a few words) of each part that is refused; quantity 0 is the plan's interval.

    `profile` is as the build froze it, `buses` are the board's, `interval_s` is in force. A refused sensor has no
    values, a refused calibration is not applied, a refused interval is the shortest that the sensors allow.
    """
    found = []
    for sensor in profile["sensors"]:
        if sensor["bus"] != "adc" and sensor["bus"] not in buses:
            found.append((sensor["quantities"][0], "no bus %s for %s" % (sensor["bus"], sensor["driver"])))
    floor_s = profile.get("floor_s", 0)
    if interval_s < floor_s:
        found.append((0, "interval of %d s below %d s" % (interval_s, floor_s)))
    for data in profile.get("calibrations", ()):
        from ..sampling.calibration import from_bytes  # most nodes have none, and its code stays in flash

        try:
            from_bytes(data)
        except ValueError as error:
            found.append((data[0] if data else 0, "calibration: %s" % error))
    return found
