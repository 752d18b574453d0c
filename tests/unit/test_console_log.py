# SPDX-License-Identifier: MIT
"""The console's lines are understood, and a traceback of compiled modules leads to the source."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from communode import __version__
from communode.boards import load_board
from communode.build import VIRTUAL_ARCH, app_files
from communode.console_log import Decoder, clean, kind_of, source_lines
from communode.profiles import load_profile


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("communode 0.1.0 virtual air", "start"),
        ("record 12 811234567 {1: (400, 0)}", "record"),
        ("join joined  wait_ms=0", "join"),
        ("send waits: the day's airtime is used up", "send"),
        ("downlink on port 3 ignored", "downlink"),
        ("Traceback (most recent call last):", "error"),
        ('  File "node/app/cycle.py", line 12, in run', "error"),
        ("OSError: [Errno 5] EIO", "error"),
        ("MemoryError: memory allocation failed, allocating 8192 bytes", "error"),
        ("not provisioned: communode provision --port PORT", "error"),
        ("rst:0x1 (POWERON),boot:0x8 (SPI_FAST_FLASH_BOOT)", "boot"),
        ("anything else", "other"),
        ("an Error in the middle", "other"),
    ],
)
def test_each_kind_of_line_is_told_apart(words: str, kind: str) -> None:
    assert kind_of(words) == kind


def test_figures_are_taken_out_of_a_line() -> None:
    (line,) = Decoder().take(b"send ok none wait_ms=120 rssi=-97 late_us=-3..17\r")
    assert line.figures == {"wait_ms": "120", "rssi": "-97", "late_us": "-3..17"}


def test_what_would_steer_the_terminal_is_taken_out() -> None:
    assert clean(b"\x1b[2Jwiped\x07\r") == "\N{REPLACEMENT CHARACTER}[2Jwiped\N{REPLACEMENT CHARACTER}"
    assert clean(b"\xff\xfe") == "\N{REPLACEMENT CHARACTER}" * 2


def test_a_traceback_shows_the_source_line_it_names() -> None:
    source = source_lines("node/app/cycle.py")
    assert source is not None
    number = next(index for index, words in enumerate(source, start=1) if words.startswith("def run("))
    told = Decoder().take(f'  File "node/app/cycle.py", line {number}, in run'.encode())
    assert [line.kind for line in told] == ["error", "source"]
    assert told[1].text.strip() == source[number - 1].strip()


def test_lines_of_another_version_are_shown_as_such() -> None:
    decoder = Decoder(lambda file: ["first", "second"])
    decoder.take(b"communode 0.0.1 virtual air")
    (_, source) = decoder.take(b'  File "node/x.py", line 2, in f')
    assert source.text.strip() == f"second   # {__version__}; the node runs 0.0.1"
    decoder.take(f"communode {__version__} virtual air".encode())
    assert decoder.take(b'  File "node/x.py", line 2, in f')[1].text.strip() == "second"
    assert len(decoder.take(b'  File "node/x.py", line 3, in f')) == 1


@pytest.mark.parametrize("file", ["<stdin>", "node/../../../etc/passwd", "/lib/aioble/core.py", "nothing.py"])
def test_files_that_are_not_ours_are_not_read(file: str) -> None:
    assert source_lines(file) is None


def test_the_compiler_keeps_the_line_numbers_that_sources_have(tmp_path: Path, micropython: str) -> None:
    """A real traceback of a compiled module, by MicroPython itself, leads to the line that raises."""
    files = app_files(load_board("virtual"), load_profile("air"), "eu868", VIRTUAL_ARCH)
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    code = "import sys\nfrom node.storage.crc import crc32\ntry:\n    crc32(5)\nexcept Exception as e:\n"
    code += "    sys.print_exception(e, sys.stdout)\n"
    done = subprocess.run(
        [micropython, "-c", code], capture_output=True, cwd=tmp_path, timeout=30, env={"MICROPYPATH": "."}
    )
    decoder = Decoder()
    told = [line for data in done.stdout.split(b"\n") for line in decoder.take(data)]
    places = [line.text for line in told if 'File "node/storage/crc.py"' in line.text]
    assert places, done.stdout + done.stderr
    source = next(line.text for line in told if line.kind == "source")
    lines = source_lines("node/storage/crc.py")
    assert lines is not None
    assert source.strip() in {words.strip() for words in lines}
    assert source.strip()
