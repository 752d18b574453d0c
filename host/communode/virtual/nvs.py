# SPDX-License-Identifier: MIT
"""The ESP-IDF key-value store (NVS) in a partition of the virtual flash: what ``esp32.NVS`` uses.

Each `set` appends and then marks the old value erased; when a page is full the next one is started,
and the page with the most waste is copied together and erased. One page always stays free for that.
Not encrypted NVS, and no handles: a namespace is given by name. The device itself only knows ``i32``
and ``blob``; the other types are here because host tools write them.

Sources: as `nvs_page`; numbers of errors from ESP-IDF v5.x nvs.h (MicroPython raises
``OSError(-code, name)`` from them). A key is unique whatever its type, as in ESP-IDF from v5.3.
"""

from __future__ import annotations

from collections.abc import Iterator

from communode.virtual.flash import FlashFile
from communode.virtual.nvs_page import (
    ACTIVE,
    BLOB_DATA,
    BLOB_INDEX,
    BLOB_V1,
    CHUNK_ANY,
    CORRUPT,
    EMPTY,
    ENTRY_COUNT,
    ENTRY_SIZE,
    FREEING,
    FULL,
    I8,
    I16,
    I32,
    I64,
    PAGE_SIZE,
    STR,
    U8,
    U16,
    U32,
    U64,
    VERSION_2,
    Item,
    Page,
    crc32,
)

NOT_FOUND = 0x1102
NOT_ENOUGH_SPACE = 0x1105
INVALID_NAME = 0x1106
KEY_TOO_LONG = 0x1109
NO_FREE_PAGES = 0x110D
VALUE_TOO_LONG = 0x110E
NEW_VERSION_FOUND = 0x1110

_NAMES = {
    NOT_FOUND: "ESP_ERR_NVS_NOT_FOUND",
    NOT_ENOUGH_SPACE: "ESP_ERR_NVS_NOT_ENOUGH_SPACE",
    INVALID_NAME: "ESP_ERR_NVS_INVALID_NAME",
    KEY_TOO_LONG: "ESP_ERR_NVS_KEY_TOO_LONG",
    NO_FREE_PAGES: "ESP_ERR_NVS_NO_FREE_PAGES",
    VALUE_TOO_LONG: "ESP_ERR_NVS_VALUE_TOO_LONG",
    NEW_VERSION_FOUND: "ESP_ERR_NVS_NEW_VERSION_FOUND",
}

_INTEGERS = {"u8": U8, "i8": I8, "u16": U16, "i16": I16, "u32": U32, "i32": I32, "u64": U64, "i64": I64}
_KINDS = {**_INTEGERS, "str": STR, "blob": BLOB_INDEX}
_NAME_OF = {number: name for name, number in _KINDS.items()} | {BLOB_V1: "blob"}

_MAX_STRING = 4000
_MAX_CHUNK = (ENTRY_COUNT - 1) * ENTRY_SIZE
_OFFSETS = (0x00, 0x80)  # first chunk numbers of a blob, taken in turn, so that old and new never mix


class NvsError(Exception):
    """What the ESP-IDF call would have returned: ``code`` (positive) and ``name``."""

    def __init__(self, code: int) -> None:
        super().__init__(_NAMES[code])
        self.code = code
        self.name = _NAMES[code]


class NvsNotFound(NvsError, KeyError):
    """No such namespace or key, or one of another type."""

    def __init__(self) -> None:
        super().__init__(NOT_FOUND)


class NvsPartition:
    """The store in ``size`` bytes of ``flash`` from ``offset`` (whole sectors, at least 3).

    Loaded and repaired like ``nvs_flash_init`` does it.

    Raises `NvsError` when no page is free or the format is newer; `boot` then does what the firmware does.
    """

    def __init__(self, flash: FlashFile, offset: int, size: int) -> None:
        if size % PAGE_SIZE or size < 3 * PAGE_SIZE:
            raise ValueError(f"an NVS partition has at least 3 whole sectors, not 0x{size:x} bytes")
        self.region = flash.region(offset, size)
        self._pages: list[Page] = []  # in use, oldest first; the last one takes new items
        self._free: list[Page] = []
        self._sequence = 0
        self._namespaces: dict[str, int] = {}
        self._load()

    @classmethod
    def boot(cls, flash: FlashFile, offset: int, size: int) -> NvsPartition:
        """Load as MicroPython's ESP32 port does at boot: what cannot be used is erased."""
        try:
            return cls(flash, offset, size)
        except NvsError:
            flash.erase(offset, size)
            return cls(flash, offset, size)

    def open_namespace(self, namespace: str) -> int:
        """Index of a namespace, created if need be, as ``nvs_open`` for reading and writing does."""
        _check_name(namespace)
        found = self._namespaces.get(namespace)
        if found is not None:
            return found
        index = next((i for i in range(1, 255) if i not in self._namespaces.values()), None)
        if index is None:
            raise NvsError(NOT_ENOUGH_SPACE)
        item, _ = _item_of(0, namespace, U8, index)
        self._append(item, None)
        self._namespaces[namespace] = index
        return index

    def get(self, namespace: str, key: str, kind: str) -> int | str | bytes:
        """The value of ``key`` as ``kind`` (u8 ... i64, str, blob).

        `NvsNotFound` when there is none, or one of another type.
        """
        _check_name(key)
        index = self._namespaces.get(namespace)
        if index is None:
            raise NvsNotFound
        if kind == "blob":
            return self._read_blob(index, key)
        found = self._find(index, key, _KINDS[kind])
        if found is None:
            raise NvsNotFound
        page, at, item = found
        if kind in _INTEGERS:
            return int.from_bytes(item.field[: item.kind & 0x0F], "little", signed=kind[0] == "i")
        data = page.data(at, item)
        if data is None:
            page.discard(at)
            raise NvsNotFound
        return data.split(b"\0")[0].decode()

    def set(self, namespace: str, key: str, kind: str, value: int | str | bytes) -> None:
        """Store a value; the same value again writes nothing. OverflowError for an integer out of range."""
        _check_name(key)
        index = self.open_namespace(namespace)
        if kind == "blob":
            if isinstance(value, int):
                raise TypeError("a blob is made of bytes")
            self._set_blob(index, key, value.encode() if isinstance(value, str) else bytes(value))
            return
        number = _KINDS[kind]
        item, data = _item_of(index, key, number, value)
        old = self._find_any(index, key)
        if old is not None and old[2] == item and (data is None or old[0].data(old[1], item) == data):
            return
        self._append(item, data)
        self._discard_older(index, key)

    def erase_key(self, namespace: str, key: str) -> None:
        """Forget a key. `NvsNotFound` when there is none."""
        _check_name(key)
        index = self._namespaces.get(namespace)
        found = None if index is None else self._find_any(index, key)
        if index is None or found is None:
            raise NvsNotFound
        page, at, item = found
        page.discard(at)
        if item.kind == BLOB_INDEX:
            self._discard_chunks(index, key, item.field[5])

    def commit(self) -> None:
        """Nothing: ESP-IDF writes in `set`, and so does this. Here because callers call it."""

    def entries(self) -> Iterator[tuple[str, str, str]]:
        """Namespace, key and kind of all values."""
        names = {index: name for name, index in self._namespaces.items()}
        for page in self._pages:
            for _, item in page.items():
                if item.namespace in names and item.kind != BLOB_DATA:
                    yield names[item.namespace], item.key, _NAME_OF[item.kind]

    # Loading

    def _load(self) -> None:
        pages = [Page(self.region, sector) for sector in range(self.region.size // PAGE_SIZE)]
        used = [page for page in pages if page.state not in (EMPTY, CORRUPT)]
        if any(page.version < VERSION_2 for page in used):
            raise NvsError(NEW_VERSION_FOUND)
        self._pages = sorted(used, key=lambda page: page.sequence)
        self._free = [page for page in pages if page not in used]
        if not self._pages:
            self._activate()
            return
        self._sequence = self._pages[-1].sequence + 1
        self._drop_older_duplicate()
        self._finish_freeing()
        if not self._free:
            raise NvsError(NO_FREE_PAGES)
        for page in self._pages:
            for _, item in page.items():
                if item.namespace == 0 and item.kind == U8:
                    self._namespaces[item.key] = item.field[0]
        self._drop_orphans()

    def _drop_older_duplicate(self) -> None:
        """The power may have failed after a new value was written and before the old one was erased."""
        newest = list(self._pages[-1].items())
        if not newest:
            return
        last = newest[-1][1]
        for page in self._pages[:-1]:
            for at, item in list(page.items()):
                if page.state != FREEING and item.same_key(last):
                    page.discard(at)
                    return

    def _finish_freeing(self) -> None:
        """The power may have failed while a page was being copied: start that again."""
        freeing = next((page for page in self._pages if page.state == FREEING), None)
        if freeing is None:
            return
        target = self._pages[-1]
        if target.state == ACTIVE:
            target.erase()
            self._pages.remove(target)
            self._free.append(target)
        self._copy_and_erase(freeing)

    def _drop_orphans(self) -> None:
        """Chunks of blobs whose index was never written, or was erased before them."""
        known = {
            (item.namespace, item.key, item.field[5] + number)
            for page in self._pages
            for _, item in page.items()
            if item.kind == BLOB_INDEX
            for number in range(item.field[4])
        }
        for page in self._pages:
            for at, item in list(page.items()):
                if item.kind == BLOB_DATA and (item.namespace, item.key, item.chunk) not in known:
                    page.discard(at)

    # Pages

    def _activate(self) -> Page:
        if not self._free:
            raise NvsError(NOT_ENOUGH_SPACE)
        page = self._free.pop(0)
        if page.state == CORRUPT:
            page.erase()
        page.sequence = self._sequence
        self._sequence += 1
        self._pages.append(page)
        return page

    def _next_page(self) -> Page:
        """Close the current page and open another, freeing the most wasteful one if only one is left."""
        current = self._pages[-1]
        if current.state == ACTIVE:
            current.become(FULL)
        if len(self._free) >= 2:
            return self._activate()
        waste = max(self._pages, key=lambda page: ENTRY_COUNT - page.used)
        if waste.used == ENTRY_COUNT:
            raise NvsError(NOT_ENOUGH_SPACE)
        waste.become(FREEING)
        return self._copy_and_erase(waste)

    def _copy_and_erase(self, old: Page) -> Page:
        new = self._activate()
        for at, item in old.items():
            new.append_raw(old.raw(at, item))
        old.erase()
        self._pages.remove(old)
        self._free.append(old)
        return new

    # Items

    def _find(
        self, namespace: int, key: str, kind: int, chunk: int = CHUNK_ANY
    ) -> tuple[Page, int, Item] | None:
        for page in self._pages:
            for at, item in page.items():
                if (item.namespace, item.key, item.kind, item.chunk) == (namespace, key, kind, chunk):
                    return page, at, item
        return None

    def _find_any(self, namespace: int, key: str) -> tuple[Page, int, Item] | None:
        """The entry that stands for a key: its value, or the index of its blob."""
        for page in self._pages:
            for at, item in page.items():
                if (item.namespace, item.key) == (namespace, key) and item.kind != BLOB_DATA:
                    return page, at, item
        return None

    def _append(self, item: Item, data: bytes | None) -> None:
        page = self._pages[-1]
        size = None if data is None else len(data)
        if not page.fits(size):
            page = self._next_page()
            if not page.fits(size):
                raise NvsError(NOT_ENOUGH_SPACE)
        page.append(item, data)

    def _discard_older(self, namespace: int, key: str) -> None:
        """Erase all that stood for a key but the newest entry, which is the last in the log."""
        found = [
            (page, at, item)
            for page in self._pages
            for at, item in page.items()
            if (item.namespace, item.key) == (namespace, key) and item.kind != BLOB_DATA
        ]
        for page, at, item in found[:-1]:
            page.discard(at)
            if item.kind == BLOB_INDEX:
                self._discard_chunks(namespace, key, item.field[5])

    def _discard_chunks(self, namespace: int, key: str, first_chunk: int) -> None:
        for page in self._pages:
            for at, item in list(page.items()):
                same = (item.namespace, item.key, item.kind) == (namespace, key, BLOB_DATA)
                if same and item.chunk & 0x80 == first_chunk:
                    page.discard(at)

    # Blobs

    def _read_blob(self, namespace: int, key: str) -> bytes:
        found = self._find(namespace, key, BLOB_INDEX)
        if found is None:
            return self._read_blob_v1(namespace, key)
        field = found[2].field
        parts = []
        for number in range(field[4]):
            chunk = self._find(namespace, key, BLOB_DATA, field[5] + number)
            part = None if chunk is None else chunk[0].data(chunk[1], chunk[2])
            if part is None:
                break
            parts.append(part)
        whole = b"".join(parts)
        if len(parts) != field[4] or len(whole) != int.from_bytes(field[:4], "little"):
            found[0].discard(found[1])
            self._discard_chunks(namespace, key, field[5])
            raise NvsNotFound
        return whole

    def _read_blob_v1(self, namespace: int, key: str) -> bytes:
        found = self._find(namespace, key, BLOB_V1)
        data = None if found is None else found[0].data(found[1], found[2])
        if data is None:
            raise NvsNotFound
        return data

    def _set_blob(self, namespace: int, key: str, value: bytes) -> None:
        index = self._find(namespace, key, BLOB_INDEX)
        first = _OFFSETS[0]
        if index is not None:
            if self._is_blob(namespace, key, value):
                return
            first = _OFFSETS[1] if index[2].field[5] == _OFFSETS[0] else _OFFSETS[0]
        if len(value) > min(len(self._pages) + len(self._free) - 1, 127) * _MAX_CHUNK:
            raise NvsError(VALUE_TOO_LONG)
        try:
            count = self._write_chunks(namespace, key, value, first)
        except NvsError:
            self._discard_chunks(namespace, key, first)
            raise
        field = len(value).to_bytes(4, "little") + bytes((count, first)) + b"\xff\xff"
        self._append(Item(namespace, BLOB_INDEX, 1, CHUNK_ANY, key, field), None)
        self._discard_older(namespace, key)

    def _is_blob(self, namespace: int, key: str, value: bytes) -> bool:
        try:
            return self._read_blob(namespace, key) == value
        except NvsError:
            return False

    def _write_chunks(self, namespace: int, key: str, value: bytes, first: int) -> int:
        """Write a blob in as many pages as it needs; return the number of chunks.

        A page with little room is closed rather than given a tiny first chunk; one that a chunk fills
        is closed at once, so that the index always finds room.
        """
        count = 0
        left = value
        while True:
            page = self._pages[-1]
            if count == 0 and (page.room < len(value) or page.room == 0) and page.room < _MAX_CHUNK // 10:
                before = page.room
                if self._next_page().room == before:
                    raise NvsError(NOT_ENOUGH_SPACE)
                continue
            room = page.room
            if room == 0:
                raise NvsError(NOT_ENOUGH_SPACE)
            part, left = left[:room], left[room:]
            page.append(_variable(namespace, BLOB_DATA, first + count, key, part), part)
            count += 1
            if left or room - len(part) < ENTRY_SIZE:
                self._next_page()
            if not left:
                return count


def _item_of(namespace: int, key: str, number: int, value: int | str | bytes) -> tuple[Item, bytes | None]:
    if number == STR:
        data = str(value).encode() + b"\0"
        if len(data) > _MAX_STRING:
            raise NvsError(VALUE_TOO_LONG)
        return _variable(namespace, STR, CHUNK_ANY, key, data), data
    field = int(value).to_bytes(number & 0x0F, "little", signed=bool(number & 0x10)).ljust(8, b"\xff")
    return Item(namespace, number, 1, CHUNK_ANY, key, field), None


def _variable(namespace: int, kind: int, chunk: int, key: str, data: bytes) -> Item:
    span = 1 + -(-len(data) // ENTRY_SIZE)
    field = len(data).to_bytes(2, "little") + b"\xff\xff" + crc32(data).to_bytes(4, "little")
    return Item(namespace, kind, span, chunk, key, field)


def _check_name(name: str) -> None:
    if not name or not name.isascii():
        raise NvsError(INVALID_NAME)
    if len(name) > 15:
        raise NvsError(KEY_TOO_LONG)
