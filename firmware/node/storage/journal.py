# SPDX-License-Identifier: MIT
# The journal: every record the node has taken, in a raw flash ring of 32-byte slots. Pure.
#
# Not here: what a record means (codec/), which records the server has (storage/delivery.py).
#
# slot: record id u24, generation u16, part u8 (index << 4 | count), 22 payload bytes, CRC-32 of all before.
# A record of n slots is there when all n are valid: it is atomic. Programming goes up, sector by sector; the
# sector that is entered is erased, so the oldest 128 slots go at once, and nothing else does. After a power
# loss the first record goes to a new sector, because what follows the newest record may be torn and a blank
# check proves nothing (flash encryption). SPEC.md, "The journal region".

import struct

from micropython import const

from .crc import crc32

TYPE_CHECKING = const(0)  # the compiler drops the block below; mypy takes the name for true

if TYPE_CHECKING:
    Position = tuple[int, int, int]  # generation, next id, next slot
    Found = tuple[int, int, int]  # record id, generation, part

    class Region:
        """Handed in: raw flash of ``size`` bytes in sectors of 4096; offsets and lengths in bytes.

        ``read`` fills the buffer; ``program`` needs erased flash and stays inside a sector; ``erase`` lifts
        the sector at the offset. Each raises OSError when the flash fails.
        """

        size: int

        def read(self, offset: int, buffer: bytearray) -> None: ...
        def program(self, offset: int, data: "bytes | bytearray") -> None: ...
        def erase(self, offset: int) -> None: ...


SLOT = const(32)
PART = const(22)
_SECTOR = const(4096)
_SLOTS = const(128)  # slots a sector
MAX_PARTS = const(15)


class Journal:
    """Records over `region`, at least two sectors."""

    def __init__(self, region: "Region", generation: int, hint: "Position | None" = None) -> None:
        """`hint` is `position` of before a deep sleep. `generation` names a journal that starts empty."""
        self._region = region
        self._sectors = region.size // _SECTOR
        self._buffer = bytearray(SLOT)
        self.generation = generation
        self.next_id = 0
        self._slot = 0  # where the next record goes; a multiple of 128 = the sector must be erased first
        if hint is not None:
            self.generation, self.next_id, self._slot = hint
            found = self._read(self._slot)
            if found is None or found[0] < self.next_id:
                return
            self.next_id = self._slot = 0  # a record was taken after the hint: it would be overwritten
        self._scan()

    @property
    def position(self) -> "Position":
        """Generation, next id and next slot: keep it over deep sleep, never over a power loss."""
        return self.generation, self.next_id, self._slot

    def _read(self, slot: int) -> "Found | None":
        """Id, generation, part of a valid slot (its bytes stay in the buffer), else None."""
        buffer = self._buffer
        self._region.read(slot * SLOT, buffer)
        head, high, part = struct.unpack_from("<IBB", buffer)
        if not 0 < part & 0x0F <= MAX_PARTS or struct.unpack_from("<I", buffer, 28)[0] != crc32(buffer[:28]):
            return None
        return head & 0xFFFFFF, head >> 24 | high << 8, part

    def _scan(self) -> None:
        # A cold start. The first slot of a sector tells its age (a torn first record makes it look empty, and
        # nothing was ever written behind it); the newest sector is then read to its last valid slot.
        newest = -1
        sector = -1
        for index in range(self._sectors):
            found = self._read(index * _SLOTS)
            if found is not None and found[0] > newest:
                newest, sector = found[0], index
        if sector < 0:
            return
        for slot in range(sector * _SLOTS, (sector + 1) * _SLOTS):
            found = self._read(slot)
            if found is None:
                break
            newest, self.generation = found[0], found[1]
        self.next_id = newest + 1
        self._slot = (sector + 1) % self._sectors * _SLOTS

    @property
    def capacity(self) -> int:
        """Slots that are surely kept, the sector being written apart."""
        return (self._sectors - 1) * _SLOTS

    @property
    def oldest_id(self) -> int:
        """Id of the oldest record in the ring; `next_id` when it is empty. Reads at most a slot a sector."""
        first = (self._slot + _SLOTS - 1) // _SLOTS  # past the sector being written
        for step in range(self._sectors):
            found = self._read((first + step) % self._sectors * _SLOTS)
            if found is not None and found[1] == self.generation:
                return found[0]
        return self.next_id

    def append(self, payload: bytes) -> int:
        """Store one record; return its id. It is there when this returns, or not at all."""
        count = (len(payload) + 1 + PART - 1) // PART
        if count > MAX_PARTS:
            raise ValueError("record too long")
        body = bytes((len(payload),)) + payload
        room = _SLOTS - self._slot % _SLOTS
        if count > room:  # a record never leaves its sector
            self._slot = (self._slot + room) % (self._sectors * _SLOTS)
        if self._slot % _SLOTS == 0:
            self._region.erase(self._slot * SLOT)
        image = bytearray(count * SLOT)
        for index in range(count):
            part = body[index * PART : (index + 1) * PART]
            at = index * SLOT
            head = self.next_id | (self.generation & 0xFF) << 24
            struct.pack_into("<IBB", image, at, head, self.generation >> 8, index << 4 | count)
            image[at + 6 : at + 6 + len(part)] = part
            struct.pack_into("<I", image, at + 28, crc32(image[at : at + 28]))
        self._region.program(self._slot * SLOT, image)
        self._slot = (self._slot + count) % (self._sectors * _SLOTS)
        self.next_id += 1
        return self.next_id - 1

    def read(self, record_id: int) -> "bytes | None":
        """The record's bytes, or None when the ring no longer holds it.

        Walks back from the newest in jumps: a record takes at least one slot, so a jump of as many slots as
        ids are missing never goes too far.
        """
        slots = self._sectors * _SLOTS
        slot = self._slot
        walked = 0
        jump = 1
        while True:
            walked += jump
            if walked > slots:
                return None
            slot = (slot - jump) % slots
            found = self._read(slot)
            jump = 1
            if found is None:
                continue
            if found[0] < record_id or found[1] != self.generation:
                return None
            if found[0] == record_id:
                return self._collect(slot - (found[2] >> 4), found[2] & 0x0F, record_id)
            jump = found[0] - record_id

    def _collect(self, first: int, count: int, record_id: int) -> "bytes | None":
        if first < 0:
            return None
        body = b""
        for index in range(count):
            found = self._read(first + index)
            if found is None or found[0] != record_id or found[2] != (index << 4 | count):
                return None
            body += bytes(self._buffer[6:28])
        return body[1 : 1 + body[0]]
