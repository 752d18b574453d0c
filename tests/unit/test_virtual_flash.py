# SPDX-License-Identifier: MIT
"""The virtual flash chip, and what makes a chip boot out of it."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import sys

import pytest
from communode.errors import CommunodeError
from communode.virtual.bootable import Partition, TableError, find_fault, read_partitions, xor_bytes
from communode.virtual.chips.chip import Violation
from communode.virtual.flash import FlashFile, PowerCut

SIZE = 1 << 20


@pytest.fixture
def flash(tmp_path):
    with FlashFile(tmp_path / "chip.flash", SIZE) as flash:
        yield flash


def test_new_chip_is_erased_and_private(tmp_path):
    with FlashFile(tmp_path / "chip.flash", SIZE) as flash:
        assert flash.read(0, SIZE) == b"\xff" * SIZE
    assert (tmp_path / "chip.flash").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "chip.flash").stat().st_size == SIZE


def test_contents_outlive_the_board(tmp_path):
    with FlashFile(tmp_path / "chip.flash", SIZE) as flash:
        flash.program(0x1234, b"communode")
    with FlashFile(tmp_path / "chip.flash", SIZE) as flash:
        assert flash.read(0x1234, 9) == b"communode"


def test_file_of_another_size_is_refused_and_unharmed(tmp_path):
    path = tmp_path / "chip.flash"
    path.write_bytes(b"x" * 4096)
    with pytest.raises(CommunodeError) as caught:
        FlashFile(path, SIZE)
    assert caught.value.code == "virtual_flash.size"
    assert "4096" in str(caught.value)
    assert path.read_bytes() == b"x" * 4096


def test_chip_has_one_owner(tmp_path, flash):
    with pytest.raises(CommunodeError) as caught:
        FlashFile(flash.path, SIZE)
    assert caught.value.code == "virtual_flash.busy"
    code = (
        "import sys\nfrom communode.errors import CommunodeError\n"
        "from communode.virtual.flash import FlashFile\n"
        "try: FlashFile(sys.argv[1], int(sys.argv[2]))\n"
        "except CommunodeError as error: print(error.code)"
    )
    run = [sys.executable, "-c", code, str(flash.path), str(SIZE)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout.strip() == "virtual_flash.busy"


def test_place_that_cannot_be_written_is_an_error_in_words(tmp_path):
    with pytest.raises(CommunodeError) as caught:
        FlashFile(tmp_path / "nowhere" / "chip.flash", SIZE)
    assert caught.value.code == "virtual_flash.unusable"


def test_programming_clears_bits_and_only_an_erase_sets_them(flash):
    flash.program(0x1000, b"\xf0\x0f")
    flash.program(0x1000, b"\x30\x0f")
    assert flash.read(0x1000, 2) == b"\x30\x0f"
    flash.program(0x1000, b"\xff\xf0", strict=False)
    assert flash.read(0x1000, 2) == b"\x30\x00"
    flash.erase(0x1000, 0x1000)
    assert flash.read(0x1000, 2) == b"\xff\xff"


def test_forgotten_erase_is_a_violation_that_names_the_place(flash):
    flash.program(0x2000, b"\x00\xff\x7f")
    with pytest.raises(Violation, match="0x002002: 0xff programmed over 0x7f"):
        flash.program(0x2000, b"\x00\xff\xff")
    assert flash.read(0x2000, 3) == b"\x00\xff\x7f"


@pytest.mark.parametrize(("offset", "length"), [(1, 4096), (4096, 100), (SIZE, 4096), (SIZE - 4096, 8192)])
def test_erase_takes_whole_sectors_inside_the_chip(flash, offset, length):
    with pytest.raises(Violation):
        flash.erase(offset, length)


def test_regions_cannot_be_left(flash):
    region = flash.region(0x4000, 0x2000)
    region.program(0x1FFF, b"\x12")
    assert flash.read(0x5FFF, 1) == b"\x12"
    with pytest.raises(Violation):
        region.program(0x1FFF, b"\x12\x34")
    with pytest.raises(Violation):
        region.read(-1, 1)
    with pytest.raises(Violation):
        region.erase(0x2000, 0x1000)


def test_wear_is_counted_by_sector(flash):
    flash.erase(0, 0x3000)
    flash.erase(0x1000, 0x1000)
    flash.program(0, b"1234")
    assert list(flash.sector_erases[:4]) == [1, 2, 1, 0]
    assert (flash.erases, flash.programs, flash.bytes_programmed) == (4, 1, 4)


def test_cut_program_leaves_a_done_a_torn_and_an_untouched_part(flash):
    def cut(kind: str, offset: int, data: bytes) -> None:
        raise PowerCut(done=2, torn=b"\x0f")

    flash.on_operation = cut
    with pytest.raises(PowerCut):
        flash.program(0x100, b"\x11\x22\x00\x44")
    flash.on_operation = None
    with pytest.raises(PowerCut):
        flash.read(0, 1)  # there is no power
    flash.restore_power()
    assert flash.read(0x100, 5) == b"\x11\x22\xf0\xff\xff"


def test_torn_program_never_sets_bits(flash):
    flash.program(0, b"\x0f")

    def cut(kind: str, offset: int, data: bytes) -> None:
        raise PowerCut(torn=b"\xaa")

    flash.on_operation = cut
    with pytest.raises(PowerCut):
        flash.program(0, b"\x03")
    flash.restore_power()
    assert flash.read(0, 1) == b"\x07"  # of the bits 0x0c that go, only 0x08 has gone


def test_cut_erase_stops_in_the_middle_of_a_sector(flash):
    flash.program(0, bytes(0x3000))
    seen = []

    def cut(kind: str, offset: int, data: bytes) -> None:
        seen.append((kind, offset))
        if offset == 0x1000:
            raise PowerCut(done=0x10, torn=b"\x5a" * 4)

    flash.on_operation = cut
    with pytest.raises(PowerCut):
        flash.erase(0, 0x3000)
    flash.restore_power()
    assert seen == [("erase", 0), ("erase", 0x1000)]
    assert flash.read(0, 0x1010) == b"\xff" * 0x1010
    assert flash.read(0x1010, 6) == b"\x5a\x5a\x5a\x5a\0\0"
    assert flash.read(0x2000, 0x1000) == bytes(0x1000)


# What boots


def _image(chip_id: int, size_code: int, body: bytes = b"code" * 64) -> bytes:
    """An image as esptool writes it: one segment, checksum, SHA-256."""
    header = struct.pack("<BBBBI", 0xE9, 1, 2, size_code << 4, 0x40080000)
    header += bytes(4) + struct.pack("<H", chip_id) + bytes(9) + b"\x01"
    image = header + struct.pack("<II", 0x3F400000, len(body)) + body
    checksum = 0xEF
    for byte in body:
        checksum ^= byte
    image = image.ljust(len(image) + 15 - len(image) % 16, b"\0") + bytes((checksum,))
    return image + hashlib.sha256(image).digest()


def _table(*rows: tuple[str, int, int, int, int], md5: bool = True) -> bytes:
    table = b"".join(
        struct.pack("<HBBII16sI", 0x50AA, kind, subtype, offset, size, label.encode(), 0)
        for label, kind, subtype, offset, size in rows
    )
    if md5:
        table += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table).digest()
    return table


ROWS = (
    ("nvs", 1, 2, 0x9000, 0x6000),
    ("factory", 0, 0, 0x10000, 0x80000),
    ("journal", 1, 0x40, 0x90000, 0x70000),
)


@pytest.fixture
def bootable(flash):
    flash.program(0x1000, _image(0, 0))
    flash.program(0x8000, _table(*ROWS))
    flash.program(0x10000, _image(0, 0))
    return flash


def _replace(flash: FlashFile, offset: int, data: bytes) -> None:
    flash.erase(offset, 0x1000)
    flash.program(offset, data)


def test_empty_chip_shows_the_roms_complaint(flash):
    assert find_fault(flash, 0x1000, "esp32") == "invalid header: 0xffffffff"
    with pytest.raises(TableError):
        read_partitions(flash)


def test_good_chip_boots_and_lists_its_partitions(bootable):
    assert find_fault(bootable, 0x1000, "esp32") is None
    assert find_fault(bootable, 0x1000) is None
    assert read_partitions(bootable) == [Partition(*row) for row in ROWS]


def test_image_for_another_chip_does_not_boot(bootable):
    assert "mismatch chip ID, expected 5, found 0" in (find_fault(bootable, 0x1000, "esp32c3") or "")


def test_one_wrong_bit_in_the_application_is_found(bootable):
    bootable.program(0x10000 + 40, b"b" if bootable.read(0x10028, 1) == b"c" else b"`")
    assert "Checksum failed" in (find_fault(bootable, 0x1000, "esp32") or "")


def test_two_wrong_bytes_that_cancel_out_are_found_by_the_hash(bootable):
    image = bytearray(_image(0, 0))
    image[40] ^= 0x11
    image[41] ^= 0x11
    _replace(bootable, 0x10000, bytes(image))
    assert "hash failed" in (find_fault(bootable, 0x1000, "esp32") or "")


def test_truncated_application_is_found(bootable):
    _replace(bootable, 0x10000, _image(0, 0)[:200])
    assert find_fault(bootable, 0x1000, "esp32") is not None


def test_damaged_table_is_found_by_its_hash(bootable):
    table = bytearray(_table(*ROWS))
    table[5] = 0x80  # nvs moves to 0x8000
    _replace(bootable, 0x8000, bytes(table))
    assert "MD5" in (find_fault(bootable, 0x1000, "esp32") or "")


def test_partition_beyond_the_size_in_the_header_is_a_fault(bootable):
    _replace(bootable, 0x8000, _table(*ROWS, ("more", 1, 0x41, 0x100000, 0x1000)))
    assert "partition 3 invalid" in (find_fault(bootable, 0x1000, "esp32") or "")


def test_header_that_says_more_flash_than_there_is_is_a_fault(bootable):
    _replace(bootable, 0x1000, _image(0, 2))
    assert "smaller than the size in the binary image header(4096k)" in (find_fault(bootable, 0x1000) or "")


def test_bytes_are_folded_as_by_a_loop():
    for size in (0, 1, 2, 3, 7, 16, 1000):
        data = hashlib.shake_256(b"fold").digest(size)
        expected = 0
        for byte in data:
            expected ^= byte
        assert xor_bytes(data) == expected
