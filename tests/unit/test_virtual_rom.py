# SPDX-License-Identifier: MIT
"""The ROM loader of the virtual board, judged by the real esptool, run as a subprocess."""

from __future__ import annotations

import hashlib
import struct
import time
import zlib
from pathlib import Path

import pytest
from communode.virtual.chip_identity import ChipIdentity
from communode.virtual.flash import FlashFile, PowerCut
from communode.virtual.ports import PtyEnd, Rfc2217End, SocketEnd
from communode.virtual.rom import SYNC_REQUEST, RomLoader
from communode.virtual.slip import Decoder, decode, encode
from loader_bench import MAC, LoaderBench, noise

MB = 1 << 20
CHIPS = {"esp32": 4 * MB, "esp32s3": 8 * MB, "esp32c3": 4 * MB}
BIG = 1_750_016


@pytest.fixture(params=CHIPS)
def bench(request, tmp_path):
    chip = request.param
    flash = FlashFile(tmp_path / "chip.flash", CHIPS[chip])
    with LoaderBench(PtyEnd(tmp_path / "port"), flash, chip) as bench:
        yield bench


def test_esptool_tells_chip_mac_and_flash(bench):
    printed = bench.esptool("flash-id")
    name = {"esp32": "ESP32-D0WD-V3 (revision v3.1)", "esp32s3": "(revision v0.2)", "esp32c3": "v0.4)"}
    assert name[bench.rom.identity.chip] in printed
    assert "24:6f:28:a1:b2:c3" in printed
    assert f"Detected flash size: {bench.flash.size // MB}MB" in printed
    assert "Manufacturer: ef" in printed
    assert "quite different" not in printed  # crystal and baud rate fit together
    assert bench.mode == "app"  # the port was closed


def test_esptool_writes_verifies_and_reads_back_the_same(bench, tmp_path):
    image = tmp_path / "image.bin"
    image.write_bytes(noise(BIG // 2) + bytes(BIG - BIG // 2))
    started = time.monotonic()
    printed = bench.esptool("write-flash", "-z", "0x10000", str(image), options=("--baud", "921600"))
    assert time.monotonic() - started < 20
    assert "Stub flasher running" in printed
    assert "Hash of data verified" in printed
    assert bench.baud_rates == [921600]
    assert bench.flash.read(0x10000, BIG) == image.read_bytes()
    assert bench.flash.read(0xF000, 0x1000) == b"\xff" * 0x1000
    assert "erification successful" in bench.esptool("verify-flash", "0x10000", str(image))
    back = tmp_path / "back.bin"
    bench.esptool("read-flash", "0x10000", "0x40123", str(back))
    assert back.read_bytes() == image.read_bytes()[:0x40123]


def test_esptool_erases_a_region_and_then_all(bench, tmp_path):
    bench.flash.program(0x1000, noise(0x4000))
    bench.esptool("erase-region", "0x2000", "0x2000")
    assert bench.flash.read(0x1000, 0x1000) == noise(0x4000)[:0x1000]
    assert bench.flash.read(0x2000, 0x2000) == b"\xff" * 0x2000
    assert bench.flash.read(0x4000, 0x1000) == noise(0x4000)[0x3000:]
    bench.esptool("erase-flash")
    assert bench.flash.read(0, bench.flash.size) == b"\xff" * bench.flash.size


def test_esptool_works_without_the_stub(bench, tmp_path):
    image = tmp_path / "image.bin"
    image.write_bytes(noise(0x8000) + bytes(0x8001))
    above_2_mb = "0x280000"
    printed = bench.esptool("write-flash", "-z", above_2_mb, str(image), options=("--no-stub",))
    assert "Hash of data verified" in printed
    plain = bench.esptool("write-flash", "-u", "0x10000", str(image), options=("--no-stub",))
    assert "Hash of data verified" in plain
    for offset in (0x280000, 0x10000):
        assert bench.flash.read(offset, 0x10001) == image.read_bytes()
    back = tmp_path / "back.bin"
    bench.esptool("read-flash", above_2_mb, "0x410", str(back), options=("--no-stub",))
    assert back.read_bytes() == image.read_bytes()[:0x410]


def test_esptool_finds_a_wrong_image(bench, tmp_path):
    image = tmp_path / "image.bin"
    image.write_bytes(noise(0x2000))
    bench.flash.program(0x10000, noise(0x2000, seed=2))
    assert "Verification failed" in bench.esptool("verify-flash", "0x10000", str(image), status=2)


def test_stub_that_keeps_running_is_recognised(tmp_path):
    flash = FlashFile(tmp_path / "chip.flash", 4 * MB)
    with LoaderBench(PtyEnd(), flash, "esp32c3", stays=True) as bench:
        bench.esptool("flash-id", options=("--after", "no-reset-stub"))
        printed = bench.esptool("flash-id", options=("--before", "no-reset", "--after", "no-reset"))
        assert "already running" in printed
        printed = bench.esptool("flash-id", options=("--before", "no-reset", "--after", "watchdog-reset"))
        assert "Uploading stub" in printed  # no-reset has put the ROM's loader back
        assert bench.resets == ["app"]  # the watchdog started the application


def test_esptool_wants_the_chip_that_it_is_told(bench, tmp_path):
    wrong = "esp32c3" if bench.rom.identity.chip != "esp32c3" else "esp32s3"
    assert "Wrong chip argument" in bench.esptool("flash-id", options=("--chip", wrong), status=2)


def test_esptool_talks_over_a_raw_socket(tmp_path):
    flash = FlashFile(tmp_path / "chip.flash", 16 * MB)
    with LoaderBench(SocketEnd(), flash, "esp32s3") as bench:
        assert "Detected flash size: 16MB" in bench.esptool("flash-id")
        assert bench.resets == ["app"]


def test_esptool_resets_over_rfc2217(tmp_path):
    flash = FlashFile(tmp_path / "chip.flash", 8 * MB)
    with LoaderBench(Rfc2217End(), flash, "esp32s3") as bench:
        # Each change of a timeout costs pyserial's client some 200 ms; flash-id would take 19 s.
        assert "24:6f:28:a1:b2:c3" in bench.esptool("read-mac", options=("--no-stub",))
        assert bench.resets == ["rom", "app"]  # DTR and RTS in, a hard reset out


# The protocol itself, where esptool does not look


class Host:
    """The other end, by hand."""

    def __init__(self, path: Path, chip: str = "esp32c3") -> None:
        self.flash = FlashFile(path / "chip.flash", 4 * MB)
        self.left = 0
        self.frames: list[bytes] = []
        self._decoder = Decoder()
        identity = ChipIdentity(chip, MAC, self.flash.size)
        self.rom = RomLoader(self.flash, identity, self._take, on_run_app=self._leave)

    def _take(self, data: bytes) -> None:
        self.frames += self._decoder.feed(data)

    def _leave(self) -> None:
        self.left += 1

    def ask(self, command: int, data: bytes = b"", checksum: int = 0) -> list[bytes]:
        """The frames that come back for one command."""
        self.frames = []
        self.rom.feed(encode(struct.pack("<BBHI", 0, command, len(data), checksum) + data))
        return self.frames

    def status(self, command: int, data: bytes = b"", checksum: int = 0) -> bytes:
        """The status bytes of the one answer."""
        (answer,) = self.ask(command, data, checksum)
        assert answer[:2] == bytes((1, command))
        assert struct.unpack_from("<H", answer, 2)[0] == len(answer) - 8
        return answer[8:]

    def sync(self) -> None:
        self.rom.feed(SYNC_REQUEST)
        self.frames = []

    def run_stub(self) -> None:
        self.sync()
        assert self.status(0x05, struct.pack("<IIII", 4, 1, 0x1800, 0x40380000)) == bytes(4)
        block = b"stub"
        assert self.status(0x07, struct.pack("<IIII", 4, 0, 0, 0) + block, _xor(block)) == bytes(4)
        answers = self.ask(0x06, struct.pack("<II", 0, 0x40380000))
        assert answers[1] == b"OHAI"
        self.frames = []


def _xor(data: bytes) -> int:
    checksum = 0xEF
    for byte in data:
        checksum ^= byte
    return checksum


def _begin(size: int, offset: int, block: int = 0x400) -> bytes:
    return struct.pack("<IIII", size, -(-size // block), block, offset)


def _block(data: bytes, seq: int = 0) -> tuple[bytes, int]:
    return struct.pack("<IIII", len(data), seq, 0, 0) + data, _xor(data)


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path)
    yield host
    host.flash.close()


def test_nothing_is_answered_before_sync(host):
    assert host.ask(0x0A, bytes(4)) == []
    host.rom.feed(b"\x03\x03\r\n" + SYNC_REQUEST)
    assert len(host.frames) == 8


def test_sync_tells_rom_from_stub(host):
    host.rom.feed(SYNC_REQUEST)
    assert {struct.unpack_from("<I", frame, 4)[0] for frame in host.frames} == {0x20120707}
    host.run_stub()
    host.rom.feed(SYNC_REQUEST)
    assert [struct.unpack_from("<I", frame, 4)[0] for frame in host.frames] == [0] * 8


@pytest.mark.parametrize(("chip", "known"), [("esp32", False), ("esp32s3", True), ("esp32c3", True)])
def test_security_information_is_unknown_to_the_first_rom(tmp_path, chip, known):
    host = Host(tmp_path, chip)
    host.sync()
    (answer,) = host.ask(0x14)
    assert (answer[1] == 0x14) == known
    assert answer[8:10] == (b"\0\0" if known else b"\x01\x05")


def test_unknown_command_is_refused_by_rom_and_stub(host):
    host.sync()
    (answer,) = host.ask(0xD0)  # the stub's
    assert answer[1] != 0xD0
    assert answer[8:] == b"\x01\x05\0\0"
    host.run_stub()
    assert host.status(0x77) == b"\xc3\0"


def test_rom_needs_the_flash_attached_and_its_size(host):
    host.sync()
    assert host.status(0x02, _begin(0x400, 0)) == b"\x01\x06\0\0"
    assert host.status(0x0D, bytes(8)) == bytes(4)
    assert host.status(0x02, _begin(0x400, 2 * MB)) == b"\x01\x06\0\0"
    assert host.status(0x0B, struct.pack("<IIIIII", 0, 16 * MB, 65536, 4096, 256, 0xFFFF)) == bytes(4)
    assert host.status(0x02, _begin(0x400, 2 * MB)) == bytes(4)
    assert host.status(0x02, _begin(0x400, 4 * MB - 0x200)) == b"\x01\x06\0\0"  # the chip ends there


def test_rom_erases_what_begin_names_and_no_more(host):
    host.flash.program(0, bytes(0x4000))
    host.sync()
    host.status(0x0D, bytes(8))
    assert host.status(0x02, _begin(0x1001, 0x1000)) == bytes(4)
    assert host.flash.read(0, 0x1000) == bytes(0x1000)
    assert host.flash.read(0x1000, 0x2000) == b"\xff" * 0x2000
    assert host.flash.read(0x3000, 0x1000) == bytes(0x1000)


def test_wrong_checksum_writes_nothing(host):
    host.sync()
    host.status(0x0D, bytes(8))
    host.status(0x02, _begin(0x400, 0))
    data, checksum = _block(noise(0x400))
    assert host.status(0x03, data, checksum ^ 1) == b"\x01\x07\0\0"
    assert host.flash.read(0, 0x400) == b"\xff" * 0x400
    assert host.status(0x03, data, checksum) == bytes(4)
    assert host.flash.read(0, 0x400) == noise(0x400)


def test_data_without_begin_is_refused(host):
    host.run_stub()
    data, checksum = _block(noise(16))
    assert host.status(0x03, data, checksum) == b"\xc6\0"
    assert host.status(0x04, bytes(4)) == b"\xc6\0"


def test_stub_reports_a_failed_block_with_the_next_command(host):
    host.run_stub()
    host.status(0x10, _begin(0x400, 0))
    data, checksum = _block(b"this is not deflated")
    assert host.status(0x11, data, checksum) == b"\0\0"
    assert host.status(0x0A, bytes(4)) == b"\xc7\0"
    assert host.status(0x0A, bytes(4)) == b"\0\0"


def test_stub_refuses_the_end_of_an_unfinished_download(host):
    host.run_stub()
    host.status(0x10, _begin(0x400, 0))
    packed = zlib.compress(noise(0x400))
    data, checksum = _block(packed[:100])
    host.status(0x11, data, checksum)
    assert host.status(0x12, (1).to_bytes(4, "little")) == b"\xc0\0"


def test_jump_to_where_nothing_was_loaded_hangs_the_chip(host):
    host.sync()
    assert len(host.ask(0x06, struct.pack("<II", 0, 0x40380000))) == 1
    assert host.ask(0x0A, bytes(4)) == []
    host.rom.reset()
    host.sync()
    assert len(host.ask(0x0A, bytes(4))) == 1


def test_rom_is_left_by_the_end_of_a_download_and_the_stub_is_not(host):
    host.sync()
    host.status(0x0D, bytes(8))
    host.status(0x02, _begin(0, 0))
    host.status(0x04, (1).to_bytes(4, "little"))
    assert host.left == 1
    assert host.ask(0x0A, bytes(4)) == []
    host.rom.reset()
    host.run_stub()
    host.status(0x02, _begin(0, 0))
    assert host.status(0x04, (1).to_bytes(4, "little")) == b"\0\0"
    assert host.rom.mode == "stub"
    assert host.left == 1


def test_read_stops_at_an_answer_that_is_no_acknowledgement(host):
    host.flash.program(0, noise(0x3000))
    host.run_stub()
    frames = host.ask(0xD2, struct.pack("<IIII", 0, 0x3000, 0x1000, 64))
    assert frames[1] == noise(0x3000)[:0x1000]
    host.frames = []
    host.rom.feed(encode(b"stop!"))
    assert host.frames == [hashlib.md5(noise(0x3000)[:0x1000]).digest()]
    assert host.status(0x0A, bytes(4)) == b"\0\0"


def test_power_cut_during_a_download_leaves_a_part_of_the_block(host):
    host.sync()
    host.status(0x0D, bytes(8))
    host.status(0x02, _begin(0x800, 0))

    def cut(kind: str, offset: int, data: bytes) -> None:
        raise PowerCut(done=100)

    host.flash.on_operation = cut
    data, checksum = _block(noise(0x400))
    with pytest.raises(PowerCut):
        host.ask(0x03, data, checksum)
    host.flash.on_operation = None
    host.flash.restore_power()
    assert host.flash.read(0, 0x400) == noise(0x400)[:100].ljust(0x400, b"\xff")


@pytest.mark.parametrize("portion", [1, 7, 1000])
def test_frames_arrive_whole_in_any_portions(portion):
    frames = [b"\xc0\xdb\xdc\xdd", noise(500), b"\xdb\xdb\xc0\xc0"]
    wire = b"noise" + b"".join(encode(frame) for frame in frames)
    decoder = Decoder()
    got = [frame for at in range(0, len(wire), portion) for frame in decoder.feed(wire[at : at + portion])]
    assert got == frames
    assert decode(encode(frames[0])[1:-1]) == frames[0]


def test_lost_delimiter_costs_one_frame_only():
    decoder = Decoder()
    wire = encode(b"one")[:-1] + encode(b"two") + encode(b"three")
    assert decoder.feed(wire)[-1] == b"three"
