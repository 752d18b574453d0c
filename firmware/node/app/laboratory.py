# SPDX-License-Identifier: MIT
# The node in a certification laboratory: it joins, sends at the period that the test harness orders, and
# follows TS009 on port 224, until it is told to leave that mode. No sensors, no records, no deep sleep.
#
#   if node.profile.get("certification"):
#       live(node, feed)
#
# Only a profile made for the laboratory says so: whoever holds the AppSKey of a node in this mode can switch
# its duty cycle off. Not here: the commands themselves (lorawan/certification.py).
# Source: TS009-1.1.0; every activation begins with a join, also after a reset (chapter 4).

from micropython import const

from ..lorawan.certification import Certification

_SLICE_MS = const(4000)  # the watchdog is fed at least so often


def live(node, feed=None) -> None:  # type: ignore[no-untyped-def]
    """Until DutFPort224DisableReq; ``feed`` of the watchdog, where there is one."""
    state = node.open_state(-1)
    runner = node.make_runner(state)
    clock = node.clock
    dut = Certification(runner.mac, _numbers(node.version))
    dut.action = "join"
    while dut.action != "disable":
        if dut.action == "reset":
            node.reset()
        begun_ms = clock.now_ms()
        if dut.action == "join":
            outcome = runner.join()
            print("join", outcome.code, "wait_ms=%d" % outcome.wait_ms)
            if outcome.code == "joined":
                dut.action = ""
            pause_ms = outcome.wait_ms
        else:
            outcome = _exchange(runner, dut)
            pause_ms = max(outcome.wait_ms, dut.period_ms - (clock.now_ms() - begun_ms))
        while pause_ms > 0:
            if feed is not None:
                feed()
            clock.sleep_ms(min(pause_ms, _SLICE_MS))
            pause_ms -= _SLICE_MS


def _exchange(runner, dut: Certification):  # type: ignore[no-untyped-def]
    """One uplink of the test mode, and what it brought."""
    f_port, payload, confirmed = dut.next_uplink()
    outcome = runner.send(f_port, payload, confirmed)
    print("send", outcome.code, "late_us=%d..%d" % (runner.late_min_us, runner.late_max_us))
    dut.take(outcome.downlinks, outcome.acked)
    return outcome


def _numbers(version: str) -> "tuple[int, int, int, int]":
    """``1.2.3`` as DutVersionsAns wants it; of ``1.2.3rc1`` what comes first."""
    numbers = [int(part) if part.isdigit() else 0 for part in version.split(".")[:4]]
    numbers += [0] * (4 - len(numbers))
    return numbers[0] & 0xFF, numbers[1] & 0xFF, numbers[2] & 0xFF, numbers[3] & 0xFF
