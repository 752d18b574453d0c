# SPDX-License-Identifier: MIT
"""The nvs partition that holds a node's identity: made for flashing, read to see whether one is there.

Namespace ``identity``, blobs ``dev_eui`` and ``join_eui`` (8 bytes, big-endian), ``app_key`` and
``command_key`` (16 bytes): MicroPython's `esp32.NVS` knows integers and blobs only. The image is made by
Espressif's own generator, which takes its input from files: they live in a folder of mode 0700, as files of
mode 0600, and are gone afterwards, whatever happens.

Source of the format: ESP-IDF Programming Guide v5.5, "Non-Volatile Storage Library", internals.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from communode.errors import CommunodeError

NAMESPACE = "identity"
FOLDER_PREFIX = "communode-nvs-"

_PAGE, _ENTRY, _ENTRIES = 4096, 32, 126
_BITMAP, _FIRST = 32, 64
_WRITTEN = 0b10
_U8, _BLOB_DATA = 0x01, 0x42


def _entries(data: bytes) -> Iterator[bytes]:
    """Every written entry, with the data entries that follow it."""
    for page in range(0, len(data) - _PAGE + 1, _PAGE):
        index = 0
        while index < _ENTRIES:
            state = data[page + _BITMAP + index // 4] >> 2 * (index % 4) & 0b11
            start = page + _FIRST + index * _ENTRY
            span = data[start + 2] if state == _WRITTEN else 1
            if state == _WRITTEN:
                yield data[start : start + max(span, 1) * _ENTRY]
            index += max(span, 1)


def identity_in(data: bytes) -> str | None:
    """The DevEUI (hex) of the identity in an nvs partition, or None if there is none."""
    namespaces = set()
    found: dict[int, str] = {}
    for entry in _entries(data):
        key = entry[8:24].split(b"\0")[0].decode("ascii", "replace")
        if entry[0] == 0 and entry[1] == _U8 and key == NAMESPACE:
            namespaces.add(entry[24])
        elif entry[1] == _BLOB_DATA and key == "dev_eui":
            found[entry[0]] = entry[_ENTRY : _ENTRY + 8].hex()
    return next((value for namespace, value in found.items() if namespace in namespaces), None)


def make_image(blobs: dict[str, bytes], size: int) -> bytes:
    """An nvs partition of ``size`` bytes with ``blobs`` in the namespace `NAMESPACE`."""
    rows = ["key,type,encoding,value", f"{NAMESPACE},namespace,,"]
    rows += [f"{key},data,hex2bin,{value.hex()}" for key, value in blobs.items()]
    with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as folder:  # made with mode 0700
        given, made = Path(folder, "identity.csv"), Path(folder, "identity.bin")
        for path in (given, made):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        given.write_text("\n".join(rows) + "\n", "ascii")
        command = [sys.executable, "-m", "esp_idf_nvs_partition_gen", "generate"]
        command += [str(given), str(made), hex(size)]
        done = subprocess.run(command, capture_output=True, timeout=60, cwd=folder)
        image = made.read_bytes()
    if done.returncode or len(image) != size:
        # The generator's words are not passed on: they may quote its input.
        raise CommunodeError("provision.generator", status=done.returncode)
    return image
