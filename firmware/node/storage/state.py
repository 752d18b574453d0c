# SPDX-License-Identifier: MIT
# Small states that must survive: one CRC'd record, one atomic unit, in a raw flash region. Pure.
#
# Not a file system. A record is appended; the newest valid one of its kind counts; a full sector is left
# for the next that holds no newest record of any kind, which is erased first.
# After a power loss the rest of the current sector may be torn, and erased flash need not read 0xFF (flash
# encryption), so nothing is ever judged by being blank: the first write after a cold start opens a new
# sector.
#
# record: magic u16, kind u8, 0 u8, length u16, 0 u16, sequence u32, crc u32 (of all before and the
# payload), payload, padding to 32 bytes. SPEC.md, "The state region".

import struct

from micropython import const

from .crc import crc32

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    from .journal import Region

    Found = tuple[int, int, int]  # sequence, offset, length

_MAGIC = const(0xC0DE)
_HEADER = "<HBBHHI"
_SIZE = const(16)
_SECTOR = const(4096)
_ALIGN = const(32)
MAX_PAYLOAD = const(1024)


class StateLog:
    """Records by kind over `region`, which needs more sectors than there are kinds."""

    def __init__(self, region: "Region", hint: int = -1) -> None:
        """`hint` is `position` of before a deep sleep: flash is as it was left, appending goes on there."""
        self._region = region
        self._sectors = region.size // _SECTOR
        self._found: dict[int, Found] = {}
        self._sequence = 0
        self._sector = 0
        self._end = _SECTOR  # where the next record goes; the sector's end = open a new one
        newest_end = self._scan()
        if hint >= 0 and hint == newest_end:  # else something was written after the hint
            self._end = hint % _SECTOR

    @property
    def position(self) -> int:
        """Where the next record goes: keep it over deep sleep, never over a power loss."""
        return self._sector * _SECTOR + self._end if self._end < _SECTOR else -1

    def _header(self, offset: int) -> "tuple[int, int, int] | None":
        """Kind, sequence and length of a valid record, else None."""
        head = bytearray(_SIZE)
        self._region.read(offset, head)
        magic, kind, _, length, _, sequence = struct.unpack_from(_HEADER, head)
        if magic != _MAGIC or length > MAX_PAYLOAD or offset % _SECTOR + _SIZE + length > _SECTOR:
            return None
        payload = bytearray(length)
        self._region.read(offset + _SIZE, payload)
        if struct.unpack_from("<I", head, 12)[0] != crc32(payload, crc32(head[:12])):
            return None
        return kind, sequence, length

    def _scan(self) -> int:
        """Find the newest record of each kind; return where the newest of all ends, or -1."""
        # A sector's records have rising sequence numbers; a torn one can only be the last of its sector.
        newest_end = -1
        for sector in range(self._sectors):
            offset = sector * _SECTOR
            end = offset + _SECTOR
            while offset + _SIZE <= end:
                found = self._header(offset)
                if found is None:
                    break
                kind, sequence, length = found
                if kind not in self._found or sequence > self._found[kind][0]:
                    self._found[kind] = (sequence, offset, length)
                if sequence > self._sequence:
                    self._sequence = sequence
                    self._sector = sector
                    newest_end = offset + _space(length)
                offset += _space(length)
        return newest_end

    def load(self, kind: int) -> "bytes | None":
        """The newest payload of `kind`, or None."""
        if kind not in self._found:
            return None
        _, offset, length = self._found[kind]
        payload = bytearray(length)
        self._region.read(offset + _SIZE, payload)
        return bytes(payload)

    def commit(self, kind: int, payload: bytes) -> None:
        """Make `payload` the state of `kind`: after a power cut there is the old one or this one, whole."""
        if len(payload) > MAX_PAYLOAD:
            raise ValueError("state too long")
        if self._end + _space(len(payload)) > _SECTOR:
            self._open_sector()
        self._append(kind, payload)

    def _open_sector(self) -> None:
        # Sectors that hold the newest record of some kind are passed over: nothing live is ever erased.
        live = [found[1] // _SECTOR for found in self._found.values()]
        for _ in range(self._sectors):
            self._sector = (self._sector + 1) % self._sectors
            if self._sector not in live:
                break
        self._region.erase(self._sector * _SECTOR)
        self._end = 0

    def _append(self, kind: int, payload: bytes) -> None:
        self._sequence += 1
        length = len(payload)
        record = bytearray(_space(length))
        struct.pack_into(_HEADER, record, 0, _MAGIC, kind, 0, length, 0, self._sequence)
        struct.pack_into("<I", record, 12, crc32(payload, crc32(record[:12])))
        record[_SIZE : _SIZE + length] = payload
        offset = self._sector * _SECTOR + self._end
        self._region.program(offset, record)
        self._found[kind] = (self._sequence, offset, length)
        self._end += len(record)


def _space(length: int) -> int:
    return (_SIZE + length + _ALIGN - 1) // _ALIGN * _ALIGN


class StateCell:
    """One kind of a StateLog as the `store` that the LoRaWAN runner wants."""

    def __init__(self, log: StateLog, kind: int) -> None:
        self._log = log
        self._kind = kind

    def load(self) -> "bytes | None":
        """The last committed bytes."""
        return self._log.load(self._kind)

    def commit(self, payload: bytes) -> None:
        """Replace them atomically."""
        self._log.commit(self._kind, payload)
