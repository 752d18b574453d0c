# SPDX-License-Identifier: MIT
"""The ESP-IDF key-value store (NVS) in a partition of the virtual flash: what ``esp32.NVS`` uses.

Each `set` appends to the log (`nvs_log`) and then marks the old value erased. Not encrypted NVS, and no
handles: a namespace is given by name. The device itself only knows ``i32`` and ``blob``; the other types are
here because host tools write them.

Sources: as `nvs_page`; MicroPython raises ``OSError(-code, name)`` from the errors. A key is unique whatever
its type, as in ESP-IDF from v5.3.
"""

from __future__ import annotations

from collections.abc import Iterator

from communode.virtual.flash import FlashFile
from communode.virtual.nvs_error import (
    INVALID_NAME,
    KEY_TOO_LONG,
    NOT_ENOUGH_SPACE,
    VALUE_TOO_LONG,
    NvsError,
    NvsNotFound,
)
from communode.virtual.nvs_log import MAX_CHUNK, NvsLog
from communode.virtual.nvs_page import (
    BLOB_DATA,
    BLOB_INDEX,
    BLOB_V1,
    CHUNK_ANY,
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
    Item,
    variable_item,
)

_INTEGERS = {"u8": U8, "i8": I8, "u16": U16, "i16": I16, "u32": U32, "i32": I32, "u64": U64, "i64": I64}
_KINDS = {**_INTEGERS, "str": STR, "blob": BLOB_INDEX}
_NAME_OF = {number: name for name, number in _KINDS.items()} | {BLOB_V1: "blob"}

_MAX_STRING = 4000
_OFFSETS = (0x00, 0x80)  # first chunk numbers of a blob, taken in turn, so that old and new never mix


class NvsPartition:
    """The store in ``size`` bytes of ``flash`` from ``offset`` (whole sectors, at least 3).

    Loaded and repaired like ``nvs_flash_init`` does it.

    Raises `NvsError` when no page is free or the format is newer; `boot` then does what the firmware does.
    """

    def __init__(self, flash: FlashFile, offset: int, size: int) -> None:
        if size % PAGE_SIZE or size < 3 * PAGE_SIZE:
            raise ValueError(f"an NVS partition has at least 3 whole sectors, not 0x{size:x} bytes")
        self._log = NvsLog(flash.region(offset, size))
        self._namespaces = {
            item.key: item.field[0] for item in self._log.items() if item.namespace == 0 and item.kind == U8
        }

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
        self._log.append(item, None)
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
        found = self._log.find(index, key, _KINDS[kind])
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
        old = self._log.find_any(index, key)
        if old is not None and old[2] == item and (data is None or old[0].data(old[1], item) == data):
            return
        self._log.append(item, data)
        self._log.discard_older(index, key)

    def erase_key(self, namespace: str, key: str) -> None:
        """Forget a key. `NvsNotFound` when there is none."""
        _check_name(key)
        index = self._namespaces.get(namespace)
        found = None if index is None else self._log.find_any(index, key)
        if index is None or found is None:
            raise NvsNotFound
        page, at, item = found
        page.discard(at)
        if item.kind == BLOB_INDEX:
            self._log.discard_chunks(index, key, item.field[5])

    def commit(self) -> None:
        """Nothing: ESP-IDF writes in `set`, and so does this. Here because callers call it."""

    def entries(self) -> Iterator[tuple[str, str, str]]:
        """Namespace, key and kind of all values."""
        names = {index: name for name, index in self._namespaces.items()}
        for item in self._log.items():
            if item.namespace in names and item.kind != BLOB_DATA:
                yield names[item.namespace], item.key, _NAME_OF[item.kind]

    # Blobs

    def _read_blob(self, namespace: int, key: str) -> bytes:
        found = self._log.find(namespace, key, BLOB_INDEX)
        if found is None:
            return self._read_blob_v1(namespace, key)
        field = found[2].field
        parts = []
        for number in range(field[4]):
            chunk = self._log.find(namespace, key, BLOB_DATA, field[5] + number)
            part = None if chunk is None else chunk[0].data(chunk[1], chunk[2])
            if part is None:
                break
            parts.append(part)
        whole = b"".join(parts)
        if len(parts) != field[4] or len(whole) != int.from_bytes(field[:4], "little"):
            found[0].discard(found[1])
            self._log.discard_chunks(namespace, key, field[5])
            raise NvsNotFound
        return whole

    def _read_blob_v1(self, namespace: int, key: str) -> bytes:
        found = self._log.find(namespace, key, BLOB_V1)
        data = None if found is None else found[0].data(found[1], found[2])
        if data is None:
            raise NvsNotFound
        return data

    def _set_blob(self, namespace: int, key: str, value: bytes) -> None:
        index = self._log.find(namespace, key, BLOB_INDEX)
        first = _OFFSETS[0]
        if index is not None:
            if self._is_blob(namespace, key, value):
                return
            first = _OFFSETS[1] if index[2].field[5] == _OFFSETS[0] else _OFFSETS[0]
        if len(value) > min(self._log.page_count, 127) * MAX_CHUNK:
            raise NvsError(VALUE_TOO_LONG)
        try:
            count = self._log.append_chunks(namespace, key, value, first)
        except NvsError:
            self._log.discard_chunks(namespace, key, first)
            raise
        field = len(value).to_bytes(4, "little") + bytes((count, first)) + b"\xff\xff"
        self._log.append(Item(namespace, BLOB_INDEX, 1, CHUNK_ANY, key, field), None)
        self._log.discard_older(namespace, key)

    def _is_blob(self, namespace: int, key: str, value: bytes) -> bool:
        try:
            return self._read_blob(namespace, key) == value
        except NvsError:
            return False


def _item_of(namespace: int, key: str, number: int, value: int | str | bytes) -> tuple[Item, bytes | None]:
    if number == STR:
        data = str(value).encode() + b"\0"
        if len(data) > _MAX_STRING:
            raise NvsError(VALUE_TOO_LONG)
        return variable_item(namespace, STR, CHUNK_ANY, key, data), data
    field = int(value).to_bytes(number & 0x0F, "little", signed=bool(number & 0x10)).ljust(8, b"\xff")
    return Item(namespace, number, 1, CHUNK_ANY, key, field), None


def _check_name(name: str) -> None:
    if not name or not name.isascii():
        raise NvsError(INVALID_NAME)
    if len(name) > 15:
        raise NvsError(KEY_TOO_LONG)
