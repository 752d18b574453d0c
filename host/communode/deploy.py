# SPDX-License-Identifier: MIT
"""Deploy: bring the code of a board up to date, writing only what differs.

By ``image`` the whole ``vfs`` partition is written (`communode.flash`). The other ways copy files that
differ by SHA-256 over the console: ``repl`` with our own client, ``mpremote`` and ``ampy`` with those tools,
for benches that standardise on them. Whatever the way, the board's hashes are compared afterwards, and only
then is a deploy called done. Identity, MAC state and records are never touched.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from communode.errors import CommunodeError
from communode.link.raw_repl import BoardError, RawRepl
from communode.link.serial_port import CONSOLE_BAUD, open_port

WAYS = ("repl", "image", "mpremote", "ampy")

_PORTION = 12288  # of contents sent at once: few round trips, and a third of the board's free memory at most
_WINDOW_BITS = 12  # the board unpacks with 4 KB of memory
RESET_S = 0.3  # a board that restarts answers nobody: the port is given back when it is over

# Prints the hash of every file that is ours to replace, as JSON; nothing else lives in these places. A
# console that is not an ESP32's is left alone: its "/" would be somebody's file system.
LIST_FILES = """
import os, sys, json, hashlib, binascii
if sys.platform != "esp32":
    raise OSError("this is not an ESP32: " + sys.platform)
def look(path):
    for name, kind, *_ in os.ilistdir(path):
        full = (path + "/" + name) if path != "/" else "/" + name
        if kind == 0x4000:
            if path != "/" or name == "node":
                look(full)
        elif path != "/" or name in ("boot.py", "main.py", "node.pack") or name.endswith((".mpy", ".new")):
            digest = hashlib.sha256()
            with open(full, "rb") as stream:
                while True:
                    part = stream.read(1024)
                    if not part:
                        break
                    digest.update(part)
            found[full[1:]] = binascii.hexlify(digest.digest()).decode()
found = {}
look("/")
print(json.dumps(found))
"""


# Unpacks a portion into files beside their old versions; they are put in place when all are complete.
TAKE_FILES = """
import os, binascii, deflate, io
def take(data, parts):
    stream = deflate.DeflateIO(io.BytesIO(binascii.a2b_base64(data)), deflate.RAW, WINDOW_BITS)
    for path, size, mode in parts:
        with open("/" + path + ".new", mode) as file:
            while size:
                piece = stream.read(min(size, 1024))
                if not piece:
                    raise OSError("a portion ends early")
                file.write(piece)
                size -= len(piece)
def place(paths):
    for path in paths:
        os.rename("/" + path + ".new", "/" + path)
""".replace("WINDOW_BITS", str(_WINDOW_BITS))

Teller = Callable[[str, int], None]


def _say_nothing(path: str, pct: int) -> None:
    """A `Teller` for who does not want to know."""


@dataclass(frozen=True)
class Difference:
    """What a board lacks, and what it has too much."""

    write: tuple[str, ...]
    remove: tuple[str, ...]


def compare(wanted: dict[str, bytes], found: dict[str, str]) -> Difference:
    """``wanted`` files against the hashes ``found`` on the board."""
    changed = [path for path, data in wanted.items() if found.get(path) != hashlib.sha256(data).hexdigest()]
    return Difference(tuple(sorted(changed)), tuple(sorted(set(found) - set(wanted))))


def deploy(
    port: str,
    wanted: dict[str, bytes],
    *,
    via: str,
    tell: Teller = _say_nothing,
    baud: int = CONSOLE_BAUD,
) -> Difference:
    """Make the board's files ``wanted`` (path -> bytes) by way ``via``; return what was different.

    ``tell(path, pct)`` is called for each file. ``baud`` is for consoles that were set to another speed
    than the stock image's. Raises ``deploy.*``, ``link.*`` or ``flash.*``. Ends with a
    reset, so that the board runs the new code.
    """
    if via == "repl":
        with _Console(port, baud) as repl:
            difference = compare(wanted, _hashes(repl))
            _make_folders(repl, difference.write)
            _write(repl, {path: wanted[path] for path in difference.write}, tell)
            _finish(repl, port, wanted, difference)
        return difference
    with _Console(port, baud) as repl:
        difference = compare(wanted, _hashes(repl))
        _make_folders(repl, difference.write)
    copy = {"mpremote": _copy_by_mpremote, "ampy": _copy_by_ampy}[via]
    _copy_by_tool(copy, port, wanted, difference, tell)
    with _Console(port, baud) as repl:
        _finish(repl, port, wanted, difference)
    return difference


def _finish(repl: RawRepl, port: str, wanted: dict[str, bytes], difference: Difference) -> None:
    """Remove what is too much (last: a deploy that is cut short leaves a board that runs), and judge."""
    _remove(repl, difference.remove)
    left = compare(wanted, _hashes(repl))
    if left.write or left.remove:
        raise CommunodeError("deploy.differs", port=port, file=(left.write + left.remove)[0])
    repl.send("import machine\nmachine.reset()")
    time.sleep(RESET_S)


class _Console:
    """The raw REPL of ``port``, with nothing else running; the port is free again after the ``with``."""

    def __init__(self, port: str, baud: int = CONSOLE_BAUD) -> None:
        self._name = port
        self._baud = baud

    def __enter__(self) -> RawRepl:
        self._port = open_port(self._name, baud=self._baud)
        try:
            self._repl = RawRepl(self._port, self._name).__enter__()
            self._repl.soft_reset()
        except BaseException:
            self._port.close()
            raise
        return self._repl

    def __exit__(self, *exc: object) -> None:
        self._repl.__exit__(None, None, None)
        self._port.close()


def _run(repl: RawRepl, code: str, *, timeout_s: float = 30.0) -> bytes:
    try:
        return repl.run(code, timeout_s=timeout_s)
    except BoardError as error:
        last = str(error).strip().splitlines()[-1]
        raise CommunodeError("deploy.board_error", reason=last) from None


def _hashes(repl: RawRepl) -> dict[str, str]:
    found = json.loads(_run(repl, LIST_FILES))
    return {str(path): str(digest) for path, digest in found.items()}


def _remove(repl: RawRepl, paths: tuple[str, ...]) -> None:
    if paths:
        _run(repl, f"import os\nfor path in {list(paths)!r}:\n    os.remove('/' + path)\n")


def _make_folders(repl: RawRepl, paths: tuple[str, ...]) -> None:
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents if parent.name}
    if folders:
        code = (
            f"import os\nfor path in {sorted(folders)!r}:\n"
            "    try:\n        os.mkdir('/' + path)\n    except OSError:\n        pass\n"
        )
        _run(repl, code)


@dataclass(frozen=True)
class Part:
    """A piece of a file in a portion: how many bytes of it, and how the board opens the file."""

    path: str
    size: int
    mode: str  # "wb" for a file's first piece, "ab" for the others

    def __repr__(self) -> str:
        return repr((self.path, self.size, self.mode))


def portions(files: dict[str, bytes]) -> Iterator[tuple[list[Part], bytes]]:
    """All contents in portions of `_PORTION` bytes at most, small files together and large ones in pieces."""
    parts: list[Part] = []
    data = bytearray()
    for path, content in files.items():
        start = 0
        while start < len(content) or start == 0:
            piece = content[start : start + _PORTION - len(data)]
            parts.append(Part(path, len(piece), "ab" if start else "wb"))
            data += piece
            start += len(piece)
            if len(data) == _PORTION:
                yield parts, bytes(data)
                parts, data = [], bytearray()
            if not content:
                break
    if parts:
        yield parts, bytes(data)


def _write(repl: RawRepl, files: dict[str, bytes], tell: Teller) -> None:
    """Write files beside their old versions, and put them in place when all are complete."""
    if not files:
        return
    _run(repl, TAKE_FILES)
    total, done = sum(map(len, files.values())), 0
    for parts, data in portions(files):
        packer = zlib.compressobj(9, zlib.DEFLATED, -_WINDOW_BITS)
        packed = base64.b64encode(packer.compress(data) + packer.flush()).decode()
        _run(repl, f"take('{packed}', {parts!r})")
        for part in parts:
            done += part.size
            tell(part.path, 100 * done // max(total, 1))
    _run(repl, f"place({list(files)!r})")


Copier = Callable[[str, Path, str], list[str]]


def _copy_by_mpremote(port: str, file: Path, path: str) -> list[str]:
    return [sys.executable, "-m", "mpremote", "connect", port, "resume", "cp", str(file), f":/{path}"]


def _copy_by_ampy(port: str, file: Path, path: str) -> list[str]:
    return [sys.executable, "-m", "ampy.cli", "--port", port, "put", str(file), f"/{path}"]


def _copy_by_tool(
    copy: Copier,
    port: str,
    wanted: dict[str, bytes],
    difference: Difference,
    tell: Teller,
) -> None:
    """Copy the files that differ with a tool of its own process; its exit status decides."""
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(difference.write, start=1):
            tell(path, 100 * number // len(difference.write))
            file = Path(folder, "file")
            file.write_bytes(wanted[path])
            command = copy(port, file, path)
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            except subprocess.TimeoutExpired:
                raise CommunodeError("link.silent", port=port) from None
            if done.returncode:
                said = (done.stderr or done.stdout).strip().splitlines() or ["-"]
                raise CommunodeError("deploy.tool_failed", tool=command[2], file=path, reason=said[-1])


@dataclass(frozen=True)
class Node:
    """What a board says of itself."""

    board: str
    profile: str
    body: str


def ask_what_it_is(port: str) -> Node:
    """What the board's own module ``hardware`` says; ``deploy.unknown_node`` if it has none."""
    code = (
        "try:\n    import pack\n    pack.mount()\nexcept (ImportError, OSError):\n    pass\n"
        "import hardware, machine, json\n"
        "print(json.dumps([hardware.BOARD['name'], hardware.PROFILE['name'], machine.unique_id()[0]]))\n"
    )
    with _Console(port) as repl:
        try:
            board, profile, first = json.loads(repl.run(code, timeout_s=30))
        except (BoardError, ValueError):
            raise CommunodeError("deploy.unknown_node", port=port) from None
    return Node(board, profile, "virtual" if first & 0x02 else "device")
