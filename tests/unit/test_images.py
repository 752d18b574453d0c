# SPDX-License-Identifier: MIT
"""The MicroPython image: its hash decides at every use, wherever it came from."""

from __future__ import annotations

import hashlib
import http.server
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from communode import images
from communode.boards import Image, load_board
from communode.errors import CommunodeError
from communode.images import find_image, image_length, set_flash_size

DATA = b"an image " * 1000


@pytest.fixture
def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    """An image that no place in the world has; the cache is empty, the package index is cut off."""
    monkeypatch.setenv("COMMUNODE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    image = load_board("virtual").image
    return replace(
        image,
        sha256=hashlib.sha256(DATA).hexdigest(),
        url="http://127.0.0.1:9/none.bin",  # the discard port: refused at once
        wheel="communode-no-such-wheel==1",
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server on loopback with a good and a bad file."""
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "good.bin").write_bytes(DATA)
    (folder / "bad.bin").write_bytes(DATA[:-1])

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_a_named_file_with_the_right_hash_is_taken(wanted: Image, tmp_path: Path) -> None:
    file = tmp_path / "image.bin"
    file.write_bytes(DATA)
    assert find_image(wanted, file) == DATA


def test_a_named_file_with_another_hash_is_refused(wanted: Image, tmp_path: Path) -> None:
    file = tmp_path / "image.bin"
    file.write_bytes(DATA[:-1])  # cut off
    with pytest.raises(CommunodeError) as caught:
        find_image(wanted, file)
    assert caught.value.code == "image.wrong_hash"
    assert wanted.sha256 in caught.value.remedy


def test_a_named_file_that_is_missing_is_named(wanted: Image, tmp_path: Path) -> None:
    with pytest.raises(CommunodeError) as caught:
        find_image(wanted, tmp_path / "nowhere.bin")
    assert caught.value.usage
    assert "nowhere.bin" in caught.value.message


def test_a_download_is_cached_and_used_again_without_network(wanted: Image, server: str) -> None:
    assert find_image(replace(wanted, url=f"{server}/good.bin")) == DATA
    assert find_image(wanted) == DATA


def test_a_cache_entry_that_rotted_is_not_used(wanted: Image, server: str) -> None:
    cached = images.cache_folder() / wanted.file
    cached.parent.mkdir(parents=True)
    cached.write_bytes(DATA[:-1])
    with pytest.raises(CommunodeError):
        find_image(wanted)
    assert find_image(replace(wanted, url=f"{server}/good.bin")) == DATA
    assert cached.read_bytes() == DATA


def test_a_download_with_the_wrong_hash_is_neither_used_nor_cached(wanted: Image, server: str) -> None:
    with pytest.raises(CommunodeError) as caught:
        find_image(replace(wanted, url=f"{server}/bad.bin"))
    assert "wrong SHA-256" in caught.value.message
    assert not (images.cache_folder() / wanted.file).exists()


def test_without_network_the_error_names_all_four_ways(wanted: Image) -> None:
    with pytest.raises(CommunodeError) as caught:
        find_image(wanted)
    remedy = caught.value.remedy
    assert caught.value.code == "image.not_found"
    for way in ("--micropython", str(images.cache_folder()), wanted.url, wanted.wheel):
        assert way in remedy
    assert "\n" not in str(caught.value)


def make_image(size_code: int, *, hashed: bool = True) -> bytes:
    """A small image in Espressif's format, made here from its description."""
    segments = [b"\x11" * 40, b"\x22" * 20]
    header = bytes([0xE9, len(segments), 2, size_code << 4 | 0xF]) + bytes(19) + bytes([hashed])
    body = header + b"".join(struct.pack("<II", 0x4000, len(part)) + part for part in segments)
    body += bytes(15 - len(body) % 16) + b"\xef"
    return body + hashlib.sha256(body).digest() if hashed else body


@pytest.mark.parametrize("hashed", [True, False])
def test_the_length_of_an_image_comes_from_its_segments(hashed: bool) -> None:
    image = make_image(2, hashed=hashed)
    assert image_length(image + b"\xff" * 100) == len(image)


@pytest.mark.parametrize("cut", [0, 10, 30, 100])
def test_an_image_that_is_cut_off_is_noticed(cut: int) -> None:
    with pytest.raises(ValueError, match=r"cut off|no image header"):
        image_length(make_image(2)[:cut])


def test_setting_the_flash_size_makes_the_hash_right_again() -> None:
    changed = set_flash_size(make_image(2) + b"tail", 8)
    assert changed == make_image(3) + b"tail"
