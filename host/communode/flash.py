# SPDX-License-Identifier: MIT
"""Flash: write regions to one or many boards at once, and never call a board good that is not.

One worker process a port (`communode.esptool_worker`) does the serial work; this module checks what can be
checked before anything is written, watches the workers, falls back to a lower baud rate, and judges. A
verdict ``good`` needs the worker's own word that every region was read back with the right hash, and its
clean exit. `communode.tray` is what uses this for a whole bench of boards.

What distinguishes a virtual board: its MAC address is locally administered (boards/virtual/README.md).
"""

from __future__ import annotations

import base64
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import IO, Any

from communode.build import Build, Region
from communode.errors import CommunodeError
from communode.link.ports import holders, identity, is_url, list_ports

BAUDS = (921600, 460800, 115200)  # some bridges and cables do not carry the fastest
STALL_S = 90.0  # the longest silence: erasing a megabyte at the slowest that flash chips state
DATA_PARTITIONS = ("nvs", "state", "journal")

_BLOCK = 4096  # of LittleFS
_ROOT_BLOCKS = (0, 1)  # the root directory is a pair of blocks, and the newer one counts

Listener = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Seen:
    """A board that answered, before anything is written.

    ``dev_eui`` and ``flash_id`` (JEDEC: capacity, type, vendor; 6 hex digits) are known if the job looked.
    """

    mac: str
    chip: str
    dev_eui: str | None = None
    flash_mb: int = 0
    flash_id: str | None = None
    blank: bool | None = None  # whether the region is erased that the job asked about


Decide = Callable[[Seen], Sequence[Region]]
"""Says what else to write to the board that was seen, or raises `CommunodeError`: then nothing is written.
It is asked again when a link that failed is tried again more slowly, and must then say the same."""


@dataclass(frozen=True)
class Job:
    """What one worker is asked to do. ``chip``, ``body`` and ``flash_size`` must match, where given."""

    port: str
    chip: str | None
    body: str | None
    flash_size: int
    baud: int = BAUDS[0]
    attempts: int = 4  # resets into the loader, each a second or so
    guard: dict[str, int] | None = None  # a region that must not hold an identity
    look: dict[str, int] | None = None  # a region that may hold one, which is told
    blank: dict[str, int] | None = None  # a region of which is told whether it is erased
    ask: bool = False  # whether to wait for a `Decide` before writing
    erase: list[dict[str, int]] = field(default_factory=list)
    write: list[dict[str, Any]] = field(default_factory=list)  # offset, data (base64)


@dataclass(frozen=True)
class Outcome:
    """How it ended for one board."""

    port: str
    mac: str | None
    error: CommunodeError | None
    seconds: float
    chip: str | None = None
    baud: int | None = None
    written: int = 0  # bytes; what was there already is not written again

    @property
    def verdict(self) -> str:
        """``good`` or ``failed``."""
        return "failed" if self.error else "good"


def encode(region: Region) -> dict[str, Any]:
    """A region as a `Job` carries it."""
    return {"offset": region.offset, "data": base64.b64encode(region.data).decode("ascii")}


def parts_of(region: Region) -> list[Region]:
    """What of a region must be written: of ``vfs`` the blocks that hold something, else all of it.

    LittleFS erases a block before it uses it, so blocks that are blank in the image may hold anything. Both
    blocks of the root directory are written, or an older one on the board could count as the newer; there
    is no other directory in an image (`communode.build.image_files`).
    """
    if region.name != "vfs":
        return [region]
    parts: list[Region] = []
    for number in range(len(region.data) // _BLOCK):
        start = number * _BLOCK
        block = region.data[start : start + _BLOCK]
        if number not in _ROOT_BLOCKS and block.count(b"\xff") == _BLOCK:
            continue
        if parts and parts[-1].offset + len(parts[-1].data) == region.offset + start:
            parts[-1] = replace(parts[-1], data=parts[-1].data + block)
        else:
            parts.append(replace(region, offset=region.offset + start, data=block))
    return parts


def job_for(build: Build, port: str, *, regions: Sequence[str] | None = None, factory: bool = False) -> Job:
    """The job that writes a build or some of its regions; ``factory`` also erases the data partitions."""
    chosen = [region for region in build.regions if regions is None or region.name in regions]
    erased = [build.partition(name) for name in DATA_PARTITIONS] if factory else []
    return Job(
        port=port,
        chip=build.manifest["chip"],
        body=build.manifest["body"],
        flash_size=build.manifest["flash_size"],
        erase=[{"offset": item.offset, "size": item.size} for item in erased],
        write=[encode(part) for region in chosen for part in parts_of(region)],
    )


def check_ports(ports: Sequence[str]) -> None:
    """``flash.port_twice`` if two of ``ports`` are one device (by any of its names)."""
    seen: dict[str, str] = {}
    for port in ports:
        device = identity(port)
        if device in seen:
            raise CommunodeError("flash.port_twice", usage=True, first=seen[device], second=port)
        seen[device] = port


def check_port(port: str) -> None:
    """``flash.no_port``, ``flash.port_denied`` or ``flash.port_busy``, found without opening the port."""
    if is_url(port):
        return
    if sys.platform == "win32":
        if port.upper() not in {known.name.upper() for known in list_ports()}:
            raise _no_port(port)
        return
    if not os.path.exists(port):
        raise _no_port(port)
    if not os.access(port, os.R_OK | os.W_OK):
        raise CommunodeError("flash.port_denied", port=port)
    holding = holders(port)
    if holding:
        who = ", ".join(f"{holder.command} (pid {holder.pid})" for holder in holding)
        raise CommunodeError("flash.port_busy", port=port, holder=who)


def _no_port(port: str) -> CommunodeError:
    known = ", ".join(found.name for found in list_ports()) or "-"
    return CommunodeError("flash.no_port", port=port, known=known)


class Flasher:
    """Runs jobs, each in a process of its own; `run` may be called from many threads at once.

    ``listener`` gets every event: ``event, port, board, chip, mac, stage, pct, speed_bps, verdict, error``
    (calls are one at a time).
    """

    def __init__(self, board: str, listener: Listener) -> None:
        self._board = board
        self._listener = listener
        self._workers = _Workers()
        self._lock = threading.Lock()

    def run(self, job: Job, decide: Decide | None = None, *, last: bool = True) -> Outcome:
        """Do one job. Nothing is raised: the outcome tells. ``last`` says whether a good end is a verdict."""
        if decide is not None:
            job = replace(job, ask=True)
        return _Watch(job, self._board, self.tell, decide, last).run(self._workers)

    def tell(self, event: dict[str, Any]) -> None:
        """Pass an event on."""
        with self._lock:
            self._listener(event)

    def stop(self) -> None:
        """End all workers, and let no other one start."""
        self._workers.stop()


def run_jobs(jobs: Sequence[Job], board: str, listener: Listener) -> list[Outcome]:
    """Run all jobs side by side; outcomes in the order of ``jobs``. ``listener`` as for `Flasher`.

    Raises ``flash.port_twice`` before anything runs; all else is the outcome of one board.
    """
    check_ports([job.port for job in jobs])
    flasher = Flasher(board, listener)
    with ThreadPoolExecutor(max_workers=max(1, len(jobs))) as pool:
        futures = [pool.submit(flasher.run, job) for job in jobs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            flasher.stop()
            raise


class _Workers:
    """All running worker processes, so that an interrupt ends them."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True
        for process in list(self._running):
            process.kill()

    @contextmanager
    def start(self, words: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "communode.esptool_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            start_new_session=True,  # a ctrl-C is ours to handle, not every worker's
        )
        self._running.add(process)
        try:
            if self._stopped:
                process.kill()
            yield process
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    with suppress(OSError):  # what was still to be sent to it
                        stream.close()
            self._running.discard(process)


def event_of(port: str, board: str) -> dict[str, Any]:
    """What is told of a board of which nothing is known yet."""
    return {
        "event": "flash",
        "port": port,
        "board": board,
        "chip": None,
        "mac": None,
        "stage": "wait",
        "pct": 0,
        "speed_bps": None,
        "verdict": None,
        "error": None,
    }


class _Watch:
    """One board from first check to verdict."""

    def __init__(self, job: Job, board: str, listener: Listener, decide: Decide | None, last: bool) -> None:
        self._job = job
        self._listener = listener
        self._decide = decide
        self._last = last
        self._baud: int | None = None
        self._written = 0
        self._shown = event_of(job.port, board)

    def _tell(self, **news: Any) -> None:
        self._shown.update(news)
        self._listener(dict(self._shown))

    def run(self, workers: _Workers) -> Outcome:
        began = time.monotonic()
        error: CommunodeError | None = None
        try:
            check_port(self._job.port)
            self._try_bauds(workers)
        except CommunodeError as failure:
            error = failure
        outcome = Outcome(
            self._job.port,
            self._shown["mac"],
            error,
            time.monotonic() - began,
            self._shown["chip"],
            self._baud,
            self._written,
        )
        if error is not None or self._last:
            described = error.as_json()["error"] if error else None
            self._tell(stage="done", speed_bps=None, verdict=outcome.verdict, error=described)
        return outcome

    def _try_bauds(self, workers: _Workers) -> None:
        """Do the job; a link that fails is tried again more slowly, one without any answer only once."""
        bauds = [self._job.baud, *(baud for baud in BAUDS if baud < self._job.baud)]
        unanswered = 0
        for baud in bauds:
            self._shown["mac"] = None
            self._baud = baud
            try:
                self._attempt(workers, replace(self._job, baud=baud))
                return
            except CommunodeError as failure:
                unanswered += self._shown["mac"] is None
                if failure.code != "flash.link" or unanswered > 1 or baud == bauds[-1]:
                    raise
                self._tell(stage="retry", pct=0)

    def _attempt(self, workers: _Workers, job: Job) -> None:
        self._more: list[int] = []  # offsets of what was decided on
        # What libraries say on stderr is kept for the one case in which the worker says nothing itself.
        with tempfile.TemporaryFile() as words:
            with workers.start(words) as process:
                done = self._follow(process, job)
                status = process.wait(timeout=10)
            wanted = [item["offset"] for item in job.write] + self._more
            if done is None or status != 0 or done["verified"] != wanted:
                words.seek(0)
                last = (words.read().decode("utf-8", "replace").split("\n")[-2:] or [""])[0]
                raise CommunodeError("flash.worker_died", port=job.port, status=status, reason=last)
            self._written += done["written"]

    def _follow(self, process: subprocess.Popen[bytes], job: Job) -> dict[str, Any] | None:
        """Pass events on until the worker ends; its closing word, or None if it left without one."""
        assert process.stdin is not None
        assert process.stdout is not None
        _feed(process.stdin, json.dumps(asdict(job)))
        lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=STALL_S)
            except queue.Empty:
                raise CommunodeError("flash.stalled", port=job.port, seconds=int(STALL_S)) from None
            if not line:
                return None
            event = json.loads(line)
            if "done" in event:
                return dict(event["done"])
            if "failed" in event:
                raise _failure(job.port, event["failed"])
            if "seen" in event:
                assert self._decide is not None
                regions = self._decide(Seen(**event["seen"]))
                self._more = [region.offset for region in regions]
                _feed(process.stdin, json.dumps({"write": [encode(region) for region in regions]}))
                continue
            known = ("stage", "pct", "mac", "chip", "speed_bps")
            self._tell(**{key: event[key] for key in known if key in event})


def _feed(stream: IO[bytes], line: str) -> None:
    """Send a line from a thread of its own: it is longer than a pipe holds, and the worker may have died."""

    def write() -> None:
        with suppress(OSError, ValueError):  # the worker is gone: its missing closing word says so
            stream.write(line.encode() + b"\n")
            stream.flush()

    threading.Thread(target=write, daemon=True).start()


def _pump(stream: IO[bytes], lines: queue.Queue[bytes]) -> None:
    try:
        for line in stream:
            lines.put(line)
    except ValueError:
        pass  # closed by the parent
    lines.put(b"")


def _failure(port: str, failed: dict[str, Any]) -> CommunodeError:
    """The error for a worker's closing word."""
    values = failed["values"]
    reason = str(values.get("reason", ""))
    if "exclusively lock" in reason or "Resource busy" in reason:
        return CommunodeError("flash.port_busy", port=port, holder="?")
    return CommunodeError(failed["code"], port=port, **values)
