# SPDX-License-Identifier: MIT
# What a program needs to use this package on its own: a clock, and a store in files.
#
#   clock = Clock(time)
#   mac = Mac(REGION, lambda key: cryptolib.aes(key, 1), dev_eui, join_eui, app_key)
#   runner = Runner(mac, modem, clock, FileStore("lorawan"), os.urandom)
#
# Not here: boards and their pins. The node's own application has a partition and RTC memory for its state and
# does not use this file.
#
# The store keeps two files and writes the older one: a power cut in the middle leaves the other, on any file
# system. What changes between two writes is kept in RAM only; after a reset the node skips to the reserved
# counters (session.py), so flash is written about once in 32 uplinks and after downlinks.

from binascii import crc32
from struct import pack, unpack_from

from micropython import const

TYPE_CHECKING = const(0)

if TYPE_CHECKING:

    class Time:
        """MicroPython's module."""

        def ticks_us(self) -> int: ...
        def ticks_ms(self) -> int: ...
        def ticks_diff(self, end: int, start: int) -> int: ...
        def ticks_add(self, ticks: int, delta: int) -> int: ...
        def sleep_ms(self, duration_ms: int) -> None: ...
        def sleep_us(self, duration_us: int) -> None: ...


_HEAD = const(8)  # sequence u32, crc32 u32 of sequence and record


class Clock:
    """MicroPython's ``time``, and milliseconds that never wrap if asked at least once in six days."""

    def __init__(self, time: "Time") -> None:
        self.ticks_us = time.ticks_us
        self.ticks_diff = time.ticks_diff
        self.ticks_add = time.ticks_add
        self.sleep_ms = time.sleep_ms
        self.sleep_us = time.sleep_us
        self._ticks_ms = time.ticks_ms
        self._last = time.ticks_ms()
        self._now_ms = 0

    def now_ms(self) -> int:
        """Since this clock was made; light sleep counts where the port's ticks do."""
        ticks = self._ticks_ms()
        self._now_ms += self.ticks_diff(ticks, self._last)
        self._last = ticks
        return self._now_ms


class FileStore:
    """The runner's store in two files, ``path`` + ``.0`` and ``.1``. OSError when they cannot be written."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._cache: bytes | None = None
        self._sequence = 0
        self._slot = 1  # the last one written
        self._record: bytes | None = None
        for slot in (0, 1):
            self._read(slot)

    def _read(self, slot: int) -> None:
        try:
            with open(self._path + ".%d" % slot, "rb") as file:
                data = file.read()
        except OSError:
            return
        if len(data) < _HEAD:
            return
        sequence, crc = unpack_from("<II", data)
        if crc32(data[:4] + data[_HEAD:]) == crc and sequence > self._sequence:
            self._sequence, self._slot, self._record = sequence, slot, data[_HEAD:]

    def load(self) -> "bytes | None":
        """The last record that was written whole."""
        return self._record

    def commit(self, record: bytes) -> None:
        """Write the record; until it is whole the one before it counts."""
        slot = 1 - self._slot
        head = pack("<I", self._sequence + 1)
        with open(self._path + ".%d" % slot, "wb") as file:
            file.write(head + pack("<I", crc32(head + record)) + record)
        self._sequence, self._slot, self._record = self._sequence + 1, slot, record

    def cache_load(self) -> "bytes | None":
        """What `cache_save` was given since the program started."""
        return self._cache

    def cache_save(self, record: bytes) -> None:
        """In RAM."""
        self._cache = record
