# SPDX-License-Identifier: MIT
# The application as one file that can be imported from: /node.pack, mounted at /pack, read-only.
#
# Sixty modules in LittleFS cost twelve thousand small flash reads a waking, most of them to find the files;
# one file costs a few hundred. Files of the same names outside the pack come first, so a developer's copy of
# the `node` folder replaces it.
#
# Format: "NPK1", u32 length of the index; index: "\n" path "\0" u24 offset u16 length, for each file, sorted,
# ended by "\n"; then the files. Offsets count from the end of the index. Little endian.

import gc
import io
import struct
import sys

import vfs

# What is read is garbage once it is linked. It is collected in time, because what stays lies scattered among
# it, and growing the table of names (qstrs) wants 8 KB in one piece.
_COLLECT_BYTES = 16384


class Pack:
    """A file system for `vfs.mount`: only what importing needs."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "rb")  # it stays open as long as the node runs
        magic, length = struct.unpack("<4sI", self._file.read(8))
        if magic != b"NPK1":
            raise OSError(22)
        self._index = self._file.read(length)
        self._start = 8 + length
        self._garbage = 0

    def mount(self, readonly: bool, mkfs: bool) -> None:
        """Nothing to do."""

    def umount(self) -> None:
        """Nothing to do."""

    def _find(self, path: str) -> "tuple | None":
        key = b"\n" + path.strip("/").encode() + b"\0"
        at = self._index.find(key)
        if at < 0:
            return None
        low, high, length = struct.unpack_from("<HBH", self._index, at + len(key))
        return low | high << 16, length

    def stat(self, path: str) -> tuple:
        """Kind and size; OSError for what is not there."""
        found = self._find(path)
        if found is not None:
            return (0x8000, 0, 0, 0, 0, 0, found[1], 0, 0, 0)
        if self._index.find(b"\n" + path.strip("/").encode() + b"/") >= 0:
            return (0x4000, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        raise OSError(2)

    def open(self, path: str, mode: str) -> io.BytesIO:
        """The whole file, in one read."""
        found = self._find(path)
        if found is None:
            raise OSError(2)
        self._garbage += found[1]
        if self._garbage > _COLLECT_BYTES:
            self._garbage = 0
            gc.collect()
        self._file.seek(self._start + found[0])
        return io.BytesIO(self._file.read(found[1]))


def mount() -> None:
    """Make the pack importable, after everything else; does nothing where there is none."""
    try:
        pack = Pack("/node.pack")
    except OSError:
        return
    vfs.mount(pack, "/pack")  # type: ignore[arg-type]
    sys.path.append("/pack")
