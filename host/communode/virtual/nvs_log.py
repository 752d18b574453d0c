# SPDX-License-Identifier: MIT
"""The items of an ESP-IDF NVS partition: a log over pages, the newest last.

When a page is full the next one is started, and the page with the most waste is copied together and erased.
One page always stays free for that. What the items mean, values and namespaces, is in `nvs`; a page in
`nvs_page`, with the sources.
"""

from __future__ import annotations

from collections.abc import Iterator

from communode.virtual.flash import FlashRegion
from communode.virtual.nvs_error import NEW_VERSION_FOUND, NO_FREE_PAGES, NOT_ENOUGH_SPACE, NvsError
from communode.virtual.nvs_page import (
    ACTIVE,
    BLOB_DATA,
    BLOB_INDEX,
    CHUNK_ANY,
    CORRUPT,
    EMPTY,
    ENTRY_COUNT,
    ENTRY_SIZE,
    FREEING,
    FULL,
    PAGE_SIZE,
    VERSION_2,
    Item,
    Page,
    variable_item,
)

MAX_CHUNK = (ENTRY_COUNT - 1) * ENTRY_SIZE


class NvsLog:
    """The log in ``region``, loaded and repaired like ``nvs_flash_init`` does it.

    Raises `NvsError` when no page is free or the format is newer.
    """

    def __init__(self, region: FlashRegion) -> None:
        self.region = region
        self._pages: list[Page] = []  # in use, oldest first; the last one takes new items
        self._free: list[Page] = []
        self._sequence = 0
        self._load()

    def items(self) -> Iterator[Item]:
        """All items in use, oldest first."""
        for page in self._pages:
            for _, item in page.items():
                yield item

    @property
    def page_count(self) -> int:
        """Pages that items may fill: all but the free one."""
        return len(self._pages) + len(self._free) - 1

    # What is in it

    def find(
        self, namespace: int, key: str, kind: int, chunk: int = CHUNK_ANY
    ) -> tuple[Page, int, Item] | None:
        """Page, index and item of a key of a kind (and a chunk of a blob)."""
        for page in self._pages:
            for at, item in page.items():
                if (item.namespace, item.key, item.kind, item.chunk) == (namespace, key, kind, chunk):
                    return page, at, item
        return None

    def find_any(self, namespace: int, key: str) -> tuple[Page, int, Item] | None:
        """The entry that stands for a key: its value, or the index of its blob."""
        for page in self._pages:
            for at, item in page.items():
                if (item.namespace, item.key) == (namespace, key) and item.kind != BLOB_DATA:
                    return page, at, item
        return None

    def append(self, item: Item, data: bytes | None) -> None:
        """Add an item at the end, in a new page if need be."""
        page = self._pages[-1]
        size = None if data is None else len(data)
        if not page.fits(size):
            page = self._next_page()
            if not page.fits(size):
                raise NvsError(NOT_ENOUGH_SPACE)
        page.append(item, data)

    def discard_older(self, namespace: int, key: str) -> None:
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
                self.discard_chunks(namespace, key, item.field[5])

    def discard_chunks(self, namespace: int, key: str, first_chunk: int) -> None:
        """Erase the chunks of a blob that are numbered from ``first_chunk`` on."""
        for page in self._pages:
            for at, item in list(page.items()):
                same = (item.namespace, item.key, item.kind) == (namespace, key, BLOB_DATA)
                if same and item.chunk & 0x80 == first_chunk:
                    page.discard(at)

    def append_chunks(self, namespace: int, key: str, value: bytes, first: int) -> int:
        """Add a blob in as many pages as it needs, chunks from ``first`` on; return their number.

        A page with little room is closed rather than given a tiny first chunk; one that a chunk fills
        is closed at once, so that the index always finds room.
        """
        count = 0
        left = value
        while True:
            page = self._pages[-1]
            if count == 0 and (page.room < len(value) or page.room == 0) and page.room < MAX_CHUNK // 10:
                before = page.room
                if self._next_page().room == before:
                    raise NvsError(NOT_ENOUGH_SPACE)
                continue
            room = page.room
            if room == 0:
                raise NvsError(NOT_ENOUGH_SPACE)
            part, left = left[:room], left[room:]
            page.append(variable_item(namespace, BLOB_DATA, first + count, key, part), part)
            count += 1
            if left or room - len(part) < ENTRY_SIZE:
                self._next_page()
            if not left:
                return count

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
