# SPDX-License-Identifier: MIT
# When the next sampling is due. Pure.


def next_due_ms(last_due_ms: int, now_ms: int, interval_ms: int) -> int:
    """The next multiple of the interval from `last_due_ms` on that lies ahead: a late node skips."""
    passed = max(0, now_ms - last_due_ms)
    return last_due_ms + (passed // interval_ms + 1) * interval_ms
