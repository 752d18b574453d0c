# SPDX-License-Identifier: MIT
"""The state log: records as SPEC.md has them, the newest of each kind, sectors in turn, hints.

Power cuts have their own campaigns in tests/powerloss.
"""

from __future__ import annotations

import binascii
import struct

import pytest
from communode.node.storage.state import MAX_PAYLOAD, StateCell, StateLog
from raw_flash import SECTOR, RawFlash


def record(kind: int, sequence: int, payload: bytes) -> bytes:
    """A record by hand, from SPEC.md."""
    head = struct.pack("<HBBHHI", 0xC0DE, kind, 0, len(payload), 0, sequence)
    whole = head + struct.pack("<I", binascii.crc32(head + payload)) + payload
    return whole.ljust((len(whole) + 31) // 32 * 32, b"\0")


def test_a_record_lies_in_flash_as_the_spec_says() -> None:
    flash = RawFlash(3)
    log = StateLog(flash)
    log.commit(1, b"first")
    log.commit(2, bytes(range(40)))
    expected = record(1, 1, b"first") + record(2, 2, bytes(range(40)))
    at = flash.erased[0] * SECTOR
    assert flash.cells[at : at + len(expected)] == expected


def test_hand_made_records_are_read_and_the_highest_sequence_counts() -> None:
    cells = record(1, 7, b"old").ljust(SECTOR, b"\xff")
    cells += (record(1, 9, b"new") + record(2, 10, b"other")).ljust(SECTOR, b"\xff")
    cells += record(1, 8, b"between").ljust(SECTOR, b"\xff")
    log = StateLog(RawFlash(3, cells))
    assert (log.load(1), log.load(2), log.load(3)) == (b"new", b"other", None)


@pytest.mark.parametrize("length", [0, 1, 16, 17, MAX_PAYLOAD])
def test_every_length_comes_back_after_a_restart(length: int) -> None:
    flash = RawFlash(3)
    payload = bytes(index & 0xFF for index in range(length))
    StateLog(flash).commit(5, payload)
    assert StateLog(flash).load(5) == payload


def test_a_state_that_is_too_long_is_refused_and_the_old_one_stays() -> None:
    flash = RawFlash(3)
    log = StateLog(flash)
    log.commit(1, b"old")
    with pytest.raises(ValueError, match="state too long"):
        log.commit(1, bytes(MAX_PAYLOAD + 1))
    assert StateLog(flash).load(1) == b"old"


def test_a_kind_that_is_never_written_again_outlives_ten_thousand_commits_of_another() -> None:
    flash = RawFlash(4)
    log = StateLog(flash)
    log.commit(2, b"keep me")
    for number in range(10_000):
        log.commit(1, number.to_bytes(4, "little") * 10)
    again = StateLog(flash)
    assert (again.load(2), again.load(1)) == (b"keep me", (9999).to_bytes(4, "little") * 10)


def test_sectors_wear_evenly_but_for_those_that_hold_something_old() -> None:
    flash = RawFlash(8)
    log = StateLog(flash)
    for _ in range(20_000):
        log.commit(1, bytes(60))
    wear = [flash.erased.count(sector) for sector in range(8)]
    assert max(wear) - min(wear) <= 1


def test_after_a_power_loss_the_next_record_opens_a_new_sector() -> None:
    flash = RawFlash(3)
    StateLog(flash).commit(1, b"a")
    log = StateLog(flash)
    assert log.position == -1
    log.commit(1, b"b")
    assert len(flash.erased) == 2
    assert flash.erased[0] != flash.erased[1]


def test_after_a_deep_sleep_the_next_record_goes_behind_the_last_one() -> None:
    flash = RawFlash(3)
    log = StateLog(flash)
    for number in range(20):
        log.commit(1, bytes([number]))
        log = StateLog(flash, log.position)
    assert len(flash.erased) == 1
    assert log.load(1) == bytes([19])


def test_a_hint_from_before_the_last_record_is_not_believed() -> None:
    flash = RawFlash(3)
    log = StateLog(flash)
    log.commit(1, b"a")
    stale = log.position
    log.commit(1, b"b")
    log = StateLog(flash, stale)
    log.commit(1, b"c")
    assert len(flash.erased) == 2
    assert StateLog(flash).load(1) == b"c"


def test_a_hint_into_blank_flash_is_not_believed() -> None:
    flash = RawFlash(3)
    log = StateLog(flash, 64)
    log.commit(1, b"a")
    assert len(flash.erased) == 1
    assert StateLog(flash).load(1) == b"a"


@pytest.mark.parametrize("offset", [0, 2, 4, 8, 12, 16, 20])
def test_a_flipped_bit_brings_back_the_state_before(offset: int) -> None:
    cells = bytearray((record(1, 1, b"before") + record(1, 2, b"after")).ljust(3 * SECTOR, b"\xff"))
    cells[32 + offset] ^= 0x04
    assert StateLog(RawFlash(3, bytes(cells))).load(1) == b"before"


def test_a_length_that_leads_out_of_the_sector_is_not_followed() -> None:
    full = b"".join(record(2, number, b"") for number in range(SECTOR // 32 - 1))
    reaching = record(1, 500, b"x" * 40)  # its second half lies in the next sector, whole
    assert StateLog(RawFlash(2, (full + reaching).ljust(2 * SECTOR, b"\xff"))).load(1) is None


def test_a_cell_is_one_kind_of_the_log() -> None:
    log = StateLog(RawFlash(3))
    cell = StateCell(log, 4)
    assert cell.load() is None
    cell.commit(b"state")
    assert (cell.load(), log.load(4)) == (b"state", b"state")
