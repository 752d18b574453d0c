# SPDX-License-Identifier: MIT
"""``communode virtual run`` as a process, and the programs that are pointed at it, as processes too."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

_BESIDE = Path(sys.executable).parent


def start(
    *arguments: str | Path, limit_s: float = 60, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment (``esptool``, ``mpremote``, ``ampy``), or ``communode``."""
    name, *rest = [str(argument) for argument in arguments]
    command = [sys.executable, "-m", "communode"] if name == "communode" else [str(_BESIDE / name)]
    return subprocess.run(
        command + rest, capture_output=True, text=True, timeout=limit_s, cwd=folder, stdin=subprocess.DEVNULL
    )


def output(*arguments: str | Path, limit_s: float = 60, folder: Path | None = None) -> str:
    """What a program printed; it must have succeeded."""
    done = start(*arguments, limit_s=limit_s, folder=folder)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout.replace("\r\n", "\n")


class RunningBoard:
    """A ``communode virtual run`` that is stopped with SIGTERM at the end, and must then exit with 0."""

    def __init__(self, board: str = "virtual", profile: str = "air", **options: str | Path) -> None:
        self._command = [sys.executable, "-m", "communode", "virtual", "run"]
        self._command += ["--board", board, "--profile", profile]
        for name, value in options.items():
            self._command += [f"--{name}", str(value)]
        self.facts: dict[str, str] = {}
        self.ready_line = ""

    @property
    def port(self) -> str:
        """What tools take as their port."""
        return self.facts["port"]

    def __enter__(self) -> RunningBoard:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        ready = select.select([self.process.stdout], [], [], 30)[0]
        self.ready_line = self.process.stdout.readline() if ready else ""
        if not self.ready_line:
            raise AssertionError(("the board did not become ready", self.stop()))
        self.facts = json.loads(self.ready_line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        remaining = self.stop()
        if error is None:
            assert self.process.returncode == 0, remaining
            assert remaining == ("", ""), remaining

    def stop(self) -> tuple[str, str]:
        """SIGTERM; return what it still said on stdout and stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def read_until(descriptor: int, pattern: bytes, limit_s: float = 20) -> bytes:
    """Read a terminal until ``pattern`` (a regular expression) has come; return all that came."""
    seen = b""
    ends_at = time.monotonic() + limit_s
    while re.search(pattern, seen) is None:
        left = ends_at - time.monotonic()
        assert left > 0, (pattern, seen)
        if select.select([descriptor], [], [], left)[0]:
            seen += os.read(descriptor, 4096)
    return seen
