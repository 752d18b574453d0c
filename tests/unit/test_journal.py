# SPDX-License-Identifier: MIT
"""The journal: slots as SPEC.md has them, the ring, the way back to a record, hints, what a start costs.

Power cuts have their own campaigns in tests/powerloss.
"""

from __future__ import annotations

import binascii
import random
import struct

import pytest
from communode.node.storage.journal import MAX_PARTS, PART, SLOT, Journal
from raw_flash import SECTOR, RawFlash

SLOTS = SECTOR // SLOT


def slot(record_id: int, generation: int, index: int, count: int, payload: bytes) -> bytes:
    """A slot by hand, from SPEC.md."""
    body = record_id.to_bytes(3, "little") + generation.to_bytes(2, "little") + bytes([index << 4 | count])
    body += payload.ljust(22, b"\0")
    return body + binascii.crc32(body).to_bytes(4, "little")


def test_a_record_lies_in_flash_as_the_spec_says() -> None:
    flash = RawFlash(3)
    journal = Journal(flash, 0xABCD)
    record = bytes(range(1, 31))
    assert journal.append(record) == 0
    expected = slot(0, 0xABCD, 0, 2, bytes([30]) + record[:21]) + slot(0, 0xABCD, 1, 2, record[21:])
    assert flash.cells[:64] == expected
    assert set(flash.cells[64:]) == {0xFF}


def test_a_hand_made_journal_is_read() -> None:
    cells = bytearray(b"\xff" * 3 * SECTOR)
    cells[SECTOR : SECTOR + 32] = slot(0x012345, 0xFEDC, 0, 1, b"\x03abc")
    journal = Journal(RawFlash(3, bytes(cells)), 1)
    assert (journal.generation, journal.next_id) == (0xFEDC, 0x012346)
    assert journal.read(0x012345) == b"abc"
    assert journal.append(b"next") == 0x012346
    assert journal.read(0x012345) == b"abc"


@pytest.mark.parametrize("length", [0, 1, PART - 1, PART, 2 * PART - 1, 2 * PART, 255])
def test_every_length_comes_back(length: int) -> None:
    journal = Journal(RawFlash(3), 1)
    record = bytes(index & 0xFF for index in range(length))
    assert journal.read(journal.append(record)) == record


def test_a_record_that_is_too_long_is_refused_before_anything_is_written() -> None:
    flash = RawFlash(3)
    journal = Journal(flash, 1)
    for length in (256, PART * MAX_PARTS):
        with pytest.raises(ValueError, match=r"record too long|range"):
            journal.append(bytes(length))
    assert flash.cells == b"\xff" * flash.size
    assert journal.next_id == 0


def test_the_ring_keeps_its_capacity_and_loses_the_oldest_sector_at_once() -> None:
    flash = RawFlash(4)
    journal = Journal(flash, 1)
    for number in range(10 * SLOTS + 5):
        journal.append(number.to_bytes(2, "little"))
    kept = [number for number in range(journal.next_id) if journal.read(number) is not None]
    assert kept == list(range(journal.oldest_id, journal.next_id))
    assert len(kept) == journal.capacity + 5
    assert all(journal.read(number) == number.to_bytes(2, "little") for number in kept)
    assert flash.erased == [sector % 4 for sector in range(11)]


def test_the_oldest_id_is_right_at_every_step_of_the_ring() -> None:
    journal = Journal(RawFlash(3), 1)
    assert journal.oldest_id == 0
    for number in range(5 * SLOTS):
        journal.append(b"x" * (number % 40))
        oldest = journal.oldest_id
        assert journal.read(oldest) is not None
        assert oldest == 0 or journal.read(oldest - 1) is None


@pytest.mark.parametrize("seed", range(4))
def test_any_record_is_found_among_records_of_many_lengths(seed: int) -> None:
    rng = random.Random(seed)
    flash = RawFlash(4)
    journal = Journal(flash, 1)
    written: dict[int, bytes] = {}
    for _ in range(900):
        record = rng.randbytes(rng.choice((3, 20, 30, 60, 100, 200)))
        written[journal.append(record)] = record
        if rng.random() < 0.01:  # a power loss now and then: the next record opens a sector
            journal = Journal(flash, 99)
    oldest = journal.oldest_id
    assert oldest > 0
    for record_id in range(oldest, journal.next_id):
        assert journal.read(record_id) == written[record_id]
    assert all(journal.read(record_id) is None for record_id in (0, oldest - 1, journal.next_id))


def test_the_way_back_is_short_among_records_of_one_slot() -> None:
    flash = RawFlash(64)
    journal = Journal(flash, 1)
    for _ in range(5000):
        journal.append(b"x")
    flash.reads = 0
    assert journal.read(17) == b"x"
    assert flash.reads <= 3


def test_the_way_back_is_short_among_records_of_several_slots() -> None:
    flash = RawFlash(128)
    journal = Journal(flash, 1)
    for _ in range(5000):
        journal.append(b"x" * 40)
    flash.reads = 0
    assert journal.read(1000) is not None
    assert flash.reads < 25  # halves what is left each time


def test_the_generation_is_that_of_the_records_and_the_given_one_for_an_empty_journal() -> None:
    flash = RawFlash(3)
    assert Journal(flash, 0x1234).generation == 0x1234
    Journal(flash, 0x1234).append(b"x")
    assert Journal(flash, 0x5678).generation == 0x1234


def test_records_of_another_generation_are_not_ours() -> None:
    cells = bytearray(b"\xff" * 3 * SECTOR)
    cells[:32] = slot(4, 1, 0, 1, b"\x01a")
    cells[SECTOR : SECTOR + 32] = slot(5, 2, 0, 1, b"\x01b")
    journal = Journal(RawFlash(3, bytes(cells)), 9)
    assert journal.generation == 2
    assert journal.read(5) == b"b"
    assert journal.read(4) is None
    assert journal.oldest_id == 5


def test_after_a_deep_sleep_writing_goes_on_behind_the_last_record() -> None:
    flash = RawFlash(3)
    journal = Journal(flash, 7)
    for number in range(5):
        journal.append(bytes([number]))
        flash.reads = 0
        journal = Journal(flash, 8, journal.position)
        assert flash.reads == 1
    assert flash.erased == [0]
    assert [journal.read(number) for number in range(5)] == [bytes([number]) for number in range(5)]
    assert journal.generation == 7


def test_after_a_power_loss_writing_goes_on_in_a_new_sector() -> None:
    flash = RawFlash(3)
    Journal(flash, 7).append(b"a")
    journal = Journal(flash, 8)
    assert journal.append(b"b") == 1
    assert flash.erased == [0, 1]
    assert (journal.read(0), journal.read(1)) == (b"a", b"b")


def test_a_hint_from_before_the_last_record_is_not_believed() -> None:
    flash = RawFlash(3)
    journal = Journal(flash, 7)
    journal.append(b"a")
    stale = journal.position
    journal.append(b"b")
    journal = Journal(flash, 8, stale)
    assert journal.append(b"c") == 2
    assert [journal.read(number) for number in range(3)] == [b"a", b"b", b"c"]


def test_a_hint_at_a_sectors_end_holds_though_an_old_record_lies_there() -> None:
    flash = RawFlash(2)
    journal = Journal(flash, 7)
    for _ in range(2 * SLOTS):
        journal.append(b"x")
    journal = Journal(flash, 8, journal.position)
    assert journal.append(b"y") == 2 * SLOTS
    assert flash.erased == [0, 1, 0]


@pytest.mark.parametrize("records", [0, 1, 127, 128, 1000])
def test_a_cold_start_reads_one_slot_a_sector_and_one_sector(records: int) -> None:
    flash = RawFlash(32)
    journal = Journal(flash, 7)
    for _ in range(records):
        journal.append(b"x" * 15)
    flash.reads = 0
    assert Journal(flash, 8).next_id == records
    assert flash.reads <= 32 + SLOTS


def test_a_torn_record_uses_up_its_id_and_no_other() -> None:
    flash = RawFlash(3)
    journal = Journal(flash, 7)
    for number in range(4):
        journal.append(bytes([number]) * 30)  # two slots each
    flash.cells[7 * SLOT : 8 * SLOT] = b"\xff" * SLOT  # the power went between the parts of record 3
    journal = Journal(flash, 8)
    assert journal.append(b"next") == 4
    found = [journal.read(number) for number in range(5)]
    assert found == [bytes([0]) * 30, bytes([1]) * 30, bytes([2]) * 30, None, b"next"]


def test_a_damaged_part_takes_its_record_and_no_other() -> None:
    flash = RawFlash(3)
    journal = Journal(flash, 7)
    for number in range(6):
        journal.append(bytes([number]) * 30)  # two slots each
    flash.cells[(2 * 3 + 1) * SLOT + 9] ^= 1  # second part of record 3
    found = [journal.read(number) for number in range(6)]
    assert found == [None if number == 3 else bytes([number]) * 30 for number in range(6)]


def test_a_slot_is_not_taken_for_valid_by_its_crc_alone() -> None:
    body = struct.pack("<IBB", 5, 0, 0x10) + bytes(22)  # no parts at all
    cells = body + binascii.crc32(body).to_bytes(4, "little")
    assert Journal(RawFlash(2, cells.ljust(2 * SECTOR, b"\xff")), 7).next_id == 0
