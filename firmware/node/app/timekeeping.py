# SPDX-License-Identifier: MIT
# What time it is, and how sure the node is of it. Pure.
#
# Node time (ms since power-on) only runs forward; the network's time is an offset to it, found by
# DeviceTimeReq.
# Between two synchronisations the RC oscillator's rate in deep sleep is the error; it is estimated from each
# pair of synchronisations and corrected, and what remains is the uncertainty of a record's stamp. A new time
# that is years away is taken as it is: it moves stamps, never node time, so it refunds no airtime and repeats
# no sampling.

from micropython import const

from ..codec.record import UNSYNCED, pack_record, uncertainty_code

GPS_TO_2000_S = const(630720013)  # 2000-01-01 UTC in GPS seconds: 13 leap seconds had passed
LEAP_SINCE_2000_S = const(5)  # 18 leap seconds since 2017 (IERS Bulletin C)
RESYNC_MS = const(21600000)
_UNKNOWN_PPM = const(1000)  # bound of the RC oscillator after the port's calibration
_KNOWN_PPM = const(100)  # what is left of it after correction, by day and night
_MOST_PPM = const(20000)  # a larger drift is a jump of the network's time
_TOP_MS = (1 << 32) * 1000  # a record's time has 32 bits: until 2136
_WORTH_MS = const(3600000)  # a shorter span says nothing about drift


class Timekeeper:
    """Works on the fields offset_ms, synced_ms, drift_ppm of `memory`."""

    def __init__(self, memory: "object") -> None:
        self.memory = memory

    @property
    def known(self) -> bool:
        """Whether the node has ever been told the time since power-on."""
        return self.memory.offset_ms != 0

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time to ask the network again."""
        return not self.known or now_ms - self.memory.synced_ms > RESYNC_MS

    def synchronise(self, gps_s: int, fraction: int, at_ms: int) -> bool:
        """The network's time at node time `at_ms`: GPS seconds and 1/256 s (TS001 5.11).

        True when it is further from the node's than drift explains: one of the two has jumped.
        """
        jumped = False
        since_2000_ms = (gps_s - GPS_TO_2000_S - LEAP_SINCE_2000_S) * 1000 + fraction * 1000 // 256
        memory = self.memory
        if not 0 < since_2000_ms < _TOP_MS:
            return True  # no record could be stamped with it
        if self.known and at_ms - memory.synced_ms >= _WORTH_MS:
            error_ms = since_2000_ms - at_ms - memory.offset_ms
            drift_ppm = error_ms * 1000000 // (at_ms - memory.synced_ms)
            jumped = not -_MOST_PPM < drift_ppm < _MOST_PPM
            if not jumped:
                memory.drift_ppm = drift_ppm
        memory.offset_ms = since_2000_ms - at_ms
        memory.synced_ms = at_ms
        return jumped

    def at(self, node_ms: int) -> int:
        """Milliseconds since 2000 at node time `node_ms`."""
        memory = self.memory
        since_ms = node_ms - memory.synced_ms
        return node_ms + memory.offset_ms + since_ms * memory.drift_ppm // 1000000

    def uncertainty_s(self, node_ms: int) -> int:
        """Seconds that `at` may be wrong."""
        memory = self.memory
        ppm = _KNOWN_PPM + abs(memory.drift_ppm) // 4 if memory.drift_ppm else _UNKNOWN_PPM
        return 1 + abs(node_ms - memory.synced_ms) // 1000 * ppm // 1000000

    def stamp(self, node_ms: int) -> tuple:
        """(seconds, flags) for a record taken at `node_ms`: codec/record.py."""
        if not self.known:
            return node_ms // 1000, UNSYNCED
        return self.at(node_ms) // 1000, uncertainty_code(self.uncertainty_s(node_ms))

    def restamp(self, record: bytes) -> bytes:
        """A record of this power-on that was taken before the time was known gets it now."""
        node_ms = int.from_bytes(record[:4], "little") * 1000
        flags = uncertainty_code(1 + self.uncertainty_s(node_ms))
        return pack_record(self.at(node_ms) // 1000, flags, record[5:])
