# SPDX-License-Identifier: MIT
"""One page (one flash sector) of an ESP-IDF NVS partition, format version 2.

Writes in the order of the original, entry first and its state bits after, so that a power failure
leaves what it would leave on a real chip, and mends on loading what the original mends. Knows
nothing of other pages, namespaces or blobs: that is `nvs`.

Sources: "NVS = Non-Volatile Storage Library, Internals" of the ESP-IDF Programming Guide v5.4 (page,
entry, states, CRC), and the behaviour of ESP-IDF v5.x components/nvs_flash (order of writes, repair).
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterator
from typing import NamedTuple

from communode.virtual.flash import FlashRegion

PAGE_SIZE = 4096
ENTRY_SIZE = 32
ENTRY_COUNT = 126
CHUNK_ANY = 0xFF
VERSION_2 = 0xFE  # counts down from 0xFF, which is version 1

# Page states: each is the one before with one more bit cleared, so that none needs an erase.
EMPTY = 0xFFFFFFFF
ACTIVE = 0xFFFFFFFE
FULL = 0xFFFFFFFC
FREEING = 0xFFFFFFF8
CORRUPT = 0x00000000

# Entry states, two bits each.
UNUSED = 0b11
WRITTEN = 0b10
ERASED = 0b00

U8, U16, U32, U64 = 0x01, 0x02, 0x04, 0x08
I8, I16, I32, I64 = 0x11, 0x12, 0x14, 0x18
STR = 0x21
BLOB_V1 = 0x41  # read and replaced, never written
BLOB_DATA = 0x42
BLOB_INDEX = 0x48
VARIABLE = (STR, BLOB_V1, BLOB_DATA)  # a length and a checksum, then the data in entries of their own

_HEADER = struct.Struct("<IIB19sI")
_BITMAP_OFFSET = 32
_ENTRIES_OFFSET = 64


def crc32(data: bytes) -> int:
    """The checksum of NVS: the ROM's CRC-32 with 0xFFFFFFFF as the start, which inverts it once more."""
    return binascii.crc32(data, 0xFFFFFFFF)


class Item(NamedTuple):
    """The first entry of a key and value."""

    namespace: int
    kind: int
    span: int
    chunk: int
    key: str
    field: bytes  # 8 bytes: the value itself, or size and checksum, or size, chunk count and first chunk

    def same_key(self, other: Item) -> bool:
        """Whether both stand for the same thing (of two such, the later one counts)."""
        return (self.namespace, self.key, self.chunk) == (other.namespace, other.key, other.chunk)

    def pack(self) -> bytes:
        """The 32 bytes in flash."""
        head = bytes((self.namespace, self.kind, self.span, self.chunk))
        tail = self.key.encode("ascii").ljust(16, b"\0") + self.field
        return head + crc32(head + tail).to_bytes(4, "little") + tail


def unpack(entry: bytes) -> Item | None:
    """The item in 32 bytes of flash; None when the checksum is wrong."""
    if crc32(entry[:4] + entry[8:]) != int.from_bytes(entry[4:8], "little"):
        return None
    key = entry[8:24].split(b"\0")[0].decode("ascii", "replace")
    return Item(entry[0], entry[1], entry[2], entry[3], key, entry[24:32])


def variable_item(namespace: int, kind: int, chunk: int, key: str, data: bytes) -> Item:
    """The first entry of a value that lies in entries of its own."""
    span = 1 + -(-len(data) // ENTRY_SIZE)
    field = len(data).to_bytes(2, "little") + b"\xff\xff" + crc32(data).to_bytes(4, "little")
    return Item(namespace, kind, span, chunk, key, field)


class Page:
    """Sector ``sector`` of ``region``, loaded and repaired."""

    def __init__(self, region: FlashRegion, sector: int) -> None:
        self.region = region
        self.base = sector * PAGE_SIZE
        self.state = CORRUPT
        self.sequence = 0
        self.version = VERSION_2
        self.next_free = 0
        self._bitmap = bytearray(b"\xff" * ENTRY_SIZE)
        self._load()

    @property
    def used(self) -> int:
        """Entries in use."""
        return sum(self.entry_state(i) == WRITTEN for i in range(ENTRY_COUNT))

    @property
    def room(self) -> int:
        """Bytes that a variable-length item could carry here beside its first entry."""
        if self.state == EMPTY:
            return (ENTRY_COUNT - 1) * ENTRY_SIZE
        return 0 if self.state != ACTIVE else max(0, (ENTRY_COUNT - self.next_free - 1) * ENTRY_SIZE)

    def entry_state(self, index: int) -> int:
        """`UNUSED`, `WRITTEN` or `ERASED`."""
        return self._bitmap[index >> 2] >> (index & 3) * 2 & 3

    def items(self) -> Iterator[tuple[int, Item]]:
        """All items in use with the index of their first entry; damaged ones are skipped."""
        index = 0
        while index < ENTRY_COUNT and self.state in (ACTIVE, FULL, FREEING):
            item = unpack(self._entry(index)) if self.entry_state(index) == WRITTEN else None
            if item is not None:
                yield index, item
            index += item.span if item is not None and item.kind in VARIABLE else 1

    def data(self, index: int, item: Item) -> bytes | None:
        """The data of the variable-length item at ``index``; None when its checksum is wrong."""
        size = int.from_bytes(item.field[:2], "little")
        raw = self.region.read(self._address(index + 1), (item.span - 1) * ENTRY_SIZE)[:size]
        return raw if crc32(raw) == int.from_bytes(item.field[4:], "little") else None

    def raw(self, index: int, item: Item) -> bytes:
        """All entries of an item as they are."""
        return self.region.read(self._address(index), item.span * ENTRY_SIZE)

    def fits(self, data_size: int | None) -> bool:
        """Whether a value of ``data_size`` bytes (None: one that fits in its entry) can be added."""
        span = 1 if data_size is None else 1 + -(-data_size // ENTRY_SIZE)
        return self.state == EMPTY or (self.state == ACTIVE and self.next_free + span <= ENTRY_COUNT)

    def start(self) -> None:
        """Make an empty page the active one, with the sequence number set before."""
        body = self.sequence.to_bytes(4, "little") + bytes((self.version,)) + b"\xff" * 19
        header = ACTIVE.to_bytes(4, "little") + body + crc32(body).to_bytes(4, "little")
        self.region.program(self.base, header)
        self.state = ACTIVE

    def append(self, item: Item, data: bytes | None = None) -> None:
        """Add an item that `fits`; ``data`` follows it for the variable-length kinds."""
        if self.state == EMPTY:
            self.start()
        self._append_entry(item.pack())
        whole = 0 if data is None else len(data) // ENTRY_SIZE * ENTRY_SIZE
        if data is not None and whole:
            self.region.program(self._address(self.next_free), data[:whole])
            first, self.next_free = self.next_free, self.next_free + whole // ENTRY_SIZE
            self._set_states(first, self.next_free, WRITTEN)
        if data is not None and data[whole:]:
            self._append_entry(data[whole:].ljust(ENTRY_SIZE, b"\xff"))

    def append_raw(self, entries: bytes) -> None:
        """Add the entries of an item that comes from a page about to be erased."""
        if self.state == EMPTY:
            self.start()
        for at in range(0, len(entries), ENTRY_SIZE):
            self._append_entry(entries[at : at + ENTRY_SIZE])

    def discard(self, index: int) -> None:
        """Mark an item as erased, all its entries, the last first."""
        item = unpack(self._entry(index)) if self.entry_state(index) == WRITTEN else None
        self._give_up(index, item.span if item is not None else 1)

    def _give_up(self, index: int, span: int) -> None:
        """Erase the entries of an item, those that it never came to write as well."""
        end = min(index + max(span, 1), ENTRY_COUNT)
        self._set_states(index, end, ERASED)
        self.next_free = max(self.next_free, end)

    def become(self, state: int) -> None:
        """Go on to `FULL` or `FREEING`."""
        self.region.program(self.base, state.to_bytes(4, "little"))
        self.state = state

    def erase(self) -> None:
        """Make the page empty."""
        self.region.erase(self.base, PAGE_SIZE)
        self.state = EMPTY
        self.version = VERSION_2
        self.next_free = 0
        self._bitmap = bytearray(b"\xff" * ENTRY_SIZE)

    def _address(self, index: int) -> int:
        return self.base + _ENTRIES_OFFSET + index * ENTRY_SIZE

    def _entry(self, index: int) -> bytes:
        return self.region.read(self._address(index), ENTRY_SIZE)

    def _append_entry(self, entry: bytes) -> None:
        index = self.next_free
        self.region.program(self._address(index), entry)
        self.next_free += 1
        self._set_states(index, index + 1, WRITTEN)

    def _set_states(self, begin: int, end: int, state: int) -> None:
        """Change the states of a range; whole words are written, the last word first."""
        for index in range(begin, end):
            shift = (index & 3) * 2
            self._bitmap[index >> 2] = self._bitmap[index >> 2] & ~(3 << shift) | state << shift
        for word in range((end - 1) // 16, begin // 16 - 1, -1):
            at = word * 4
            self.region.program(self.base + _BITMAP_OFFSET + at, bytes(self._bitmap[at : at + 4]))

    def _load(self) -> None:
        page = self.region.read(self.base, PAGE_SIZE)
        self.state, self.sequence, self.version, _, crc = _HEADER.unpack_from(page)
        if self.state == EMPTY:
            if page.count(b"\xff") != PAGE_SIZE:
                self.state = CORRUPT
            self.version = VERSION_2
        elif self.state not in (ACTIVE, FULL, FREEING) or crc != crc32(page[4:28]):
            self.state = CORRUPT
        else:
            self._bitmap = bytearray(page[_BITMAP_OFFSET:_ENTRIES_OFFSET])
            self.next_free = ENTRY_COUNT
            if self.state == ACTIVE:
                self._find_next_free(page)
            self._drop_damaged()

    def _find_next_free(self, page: bytes) -> None:
        """The first entry that nothing follows.

        The original stops at the first entry that is unused and erased, which may lie inside the data
        of an item whose states were half written when the power failed; then it writes over what
        follows. Here such entries are given up too.
        """
        blank = b"\xff" * ENTRY_SIZE
        last = ENTRY_COUNT
        while last:
            at = _ENTRIES_OFFSET + (last - 1) * ENTRY_SIZE
            if self.entry_state(last - 1) != UNUSED or page[at : at + ENTRY_SIZE] != blank:
                break
            last -= 1
        self.next_free = last
        for index in range(last):
            if self.entry_state(index) == UNUSED:
                self._set_states(index, index + 1, ERASED)

    def _drop_damaged(self) -> None:
        """Erase items that were not written to their end, and the older one of two of the same key."""
        seen: list[tuple[int, Item]] = []
        index = 0
        while index < self.next_free:
            if self.entry_state(index) != WRITTEN:
                index += 1
                continue
            item = unpack(self._entry(index))
            span = item.span if item is not None and item.kind in VARIABLE else 1
            states = {self.entry_state(i) for i in range(index, min(index + span, ENTRY_COUNT))}
            if item is None or states != {WRITTEN} or not 0 < index + span <= ENTRY_COUNT:
                self._give_up(index, span)
            else:
                for older, other in seen:
                    if other.same_key(item) and self.entry_state(older) == WRITTEN:
                        self.discard(older)
                seen.append((index, item))
            index += max(span, 1)
