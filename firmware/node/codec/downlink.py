# SPDX-License-Identifier: MIT
# Acknowledgement of records (downlink, FPort 3): which are missing. Pure. SPEC.md, "Acknowledgement".
#
# 0x01, generation u16, base u24 (all ids below are stored), top u24 (the newest missing id: all above that
# the server heard of are stored), then pairs of bytes, from `top` downwards: so many are stored, so many
# missing. Runs, because outages and lost frames make runs: a week without gateway fits in beside the day's
# losses.

from micropython import const

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    Runs = list[tuple[int, int]]  # (newest id, how many, going down), newest first

F_PORT = const(3)
ACKNOWLEDGE = const(0x01)
MAX_PAIRS = const(15)  # 39 bytes: fits at EU868 DR0 (51) beside the MAC answers that may come along
_HEAD = const(9)


def encode_acknowledgement(generation: int, base: int, runs: "Runs") -> bytes:
    """All below `base` are stored, `runs` are missing, newest first; those that do not fit are left out.

    Without runs, `base` is the id after the newest one.
    """
    top = runs[0][0] if runs else base - 1
    pairs = bytearray()
    at = top
    for newest, count in runs:
        skip = at - newest
        at = newest - count
        while skip > 255:
            pairs += b"\xff\x00"
            skip -= 255
        while count > 0:
            part = min(count, 255)
            pairs += bytes((skip, part))
            count -= part
            skip = 0
    head = bytes((ACKNOWLEDGE,)) + generation.to_bytes(2, "little")
    return head + base.to_bytes(3, "little") + top.to_bytes(3, "little") + bytes(pairs[: 2 * MAX_PAIRS])


def decode_acknowledgement(payload: bytes) -> "tuple[int, int, int, Runs]":
    """(generation, base, top, runs). Raises ValueError for anything else."""
    if len(payload) < _HEAD or payload[0] != ACKNOWLEDGE:
        raise ValueError("not an acknowledgement")
    if len(payload) % 2 == 0 or len(payload) > _HEAD + 2 * MAX_PAIRS:
        raise ValueError("acknowledgement of the wrong length")
    base = int.from_bytes(payload[3:6], "little")
    top = int.from_bytes(payload[6:9], "little")
    runs: Runs = []
    at = top
    for index in range(_HEAD, len(payload), 2):
        skip, count = payload[index], payload[index + 1]
        at -= skip
        if count:
            if runs and not skip:
                runs[-1] = (runs[-1][0], runs[-1][1] + count)
            else:
                runs.append((at, count))
            at -= count
    if at < base - 1:
        raise ValueError("missing records below the base")
    return int.from_bytes(payload[1:3], "little"), base, top, runs
