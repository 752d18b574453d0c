# SPDX-License-Identifier: MIT
# The duty-cycle ledger: how much each sub-band was used in the last hour, and when it is free again. Pure.
#
# Not here: time on air itself (radio/airtime.py) and which frequency lies in which sub-band (region/).
#
# An hour is kept as 13 buckets of 5 minutes, in units of 8 ms, booked where a transmission ENDS. A bucket
# leaves the sum only when all of it is more than an hour old, hence 13: no sliding hour, wherever it starts,
# can hold more than the budget. The price is caution: airtime comes back up to 5 minutes late. Twelve buckets
# are 24 s more than an hour, so that this holds by true time too when the clock runs 5000 ppm fast (18 s).
#
# The time is the session's (session.py): it includes sleep and stands still while the node has no power.
# What was booked since the last write to flash is remembered (`spent`), through deep sleep too: flash is
# charged an allowance in advance, so that a power cut can only make the ledger too strict.
# Source: ETSI EN 300 220-2 (duty cycle: sum over any observation period of one hour).

from array import array

from micropython import const

_COLUMNS = const(13)
_BUCKET_MS = const(302000)
_UNIT_US = const(8000)
# A plan is executed a little after it was made; its end is booked this much later, which is only stricter.
_START_MARGIN_MS = const(2000)


class Ledger:
    """Airtime per sub-band; ``budgets_ms`` is what each may use in an hour."""

    def __init__(self, budgets_ms: "tuple[int, ...]") -> None:
        self._budgets = [ms * 1000 // _UNIT_US for ms in budgets_ms]
        self._cells = array("H", bytes(2 * _COLUMNS * len(budgets_ms)))
        self._spent = array("H", bytes(2 * len(budgets_ms)))
        self._bucket = 0

    def _advance(self, time_ms: int) -> None:
        bucket = time_ms // _BUCKET_MS
        for fresh in range(max(self._bucket + 1, bucket - _COLUMNS + 1), bucket + 1):
            for cell in range(fresh % _COLUMNS, len(self._cells), _COLUMNS):
                self._cells[cell] = 0
        self._bucket = max(bucket, self._bucket)

    def wait_ms(self, band: int, airtime_us: int, time_ms: int) -> int:
        """How long until ``airtime_us`` more fits into the band; 0 is now, -1 is never."""
        self._advance(time_ms)
        room = self._budgets[band] + airtime_us // -_UNIT_US
        if room < 0:
            return -1
        base = band * _COLUMNS
        used = sum(self._cells[base : base + _COLUMNS])
        bucket = self._bucket
        while used > room:  # at most 13 steps: then every bucket is empty
            bucket += 1
            used -= self._cells[base + bucket % _COLUMNS]
        return max(0, bucket * _BUCKET_MS - time_ms) if bucket > self._bucket else 0

    def book(self, band: int, airtime_us: int, time_ms: int) -> bool:
        """Count a transmission that starts now. True when flash must be written before it may start."""
        self._advance(time_ms + airtime_us // 1000 + _START_MARGIN_MS)
        units = -(airtime_us // -_UNIT_US)
        self._cells[band * _COLUMNS + self._bucket % _COLUMNS] += units
        self._spent[band] += units
        return self._spent[band] > self._budgets[band] >> 4

    def committed(self) -> None:
        """Flash now holds what `to_bytes` gave with ``ahead``: the allowance is whole again."""
        for band in range(len(self._spent)):
            self._spent[band] = 0

    def to_bytes(self, ahead: bool) -> bytes:
        """Serialise; with ``ahead`` each band is charged a sixteenth of its budget that may yet be spent."""
        cells = array("H", self._cells)
        if ahead:
            for band, budget in enumerate(self._budgets):
                cells[band * _COLUMNS + self._bucket % _COLUMNS] += budget >> 4
        return self._bucket.to_bytes(4, "little") + bytes(cells) + bytes(self._spent)

    def load(self, data: bytes) -> None:
        """Take over what `to_bytes` gave; of another size (another region) it is left out."""
        end = 4 + 2 * len(self._cells)
        if len(data) == end + 2 * len(self._spent):
            self._bucket = int.from_bytes(data[:4], "little")
            self._cells = array("H", data[4:end])
            self._spent = array("H", data[end:])

    def used_us(self, band: int, time_ms: int) -> int:
        """Airtime that counts against the band now."""
        self._advance(time_ms)
        return _UNIT_US * sum(self._cells[band * _COLUMNS : (band + 1) * _COLUMNS])
