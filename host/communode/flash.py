# SPDX-License-Identifier: MIT
"""Flash: write regions to one or many boards at once, and never call a board good that is not.

One worker process a port (`communode.esptool_worker`) does the serial work; this module checks what can be
checked before anything is written, watches the workers, falls back to a lower baud rate, and judges. A
verdict ``good`` needs the worker's own word that every region was read back with the right hash, and its
clean exit.

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
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import IO, Any

from communode.build import Build, Region
from communode.errors import CommunodeError
from communode.link.ports import holders, identity, is_url, list_ports

BAUDS = (921600, 460800, 115200)  # some bridges and cables do not carry the fastest
STALL_S = 90.0  # the longest silence: erasing a megabyte at the slowest that flash chips state
DATA_PARTITIONS = ("nvs", "state", "journal")

Listener = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """What one worker is asked to do. ``chip``, ``body`` and ``flash_size`` must match, where given."""

    port: str
    chip: str | None
    body: str | None
    flash_size: int
    baud: int = BAUDS[0]
    attempts: int = 7
    guard: dict[str, int] | None = None  # a region that must not hold an identity
    erase: list[dict[str, int]] = field(default_factory=list)
    write: list[dict[str, Any]] = field(default_factory=list)  # offset, data (base64)


@dataclass(frozen=True)
class Outcome:
    """How it ended for one board."""

    port: str
    mac: str | None
    error: CommunodeError | None
    seconds: float

    @property
    def verdict(self) -> str:
        """``good`` or ``failed``."""
        return "failed" if self.error else "good"


def encode(region: Region) -> dict[str, Any]:
    """A region as a `Job` carries it."""
    return {"offset": region.offset, "data": base64.b64encode(region.data).decode("ascii")}


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
        write=[encode(region) for region in chosen],
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


def run_jobs(jobs: Sequence[Job], board: str, listener: Listener) -> list[Outcome]:
    """Run all jobs side by side, one worker each; outcomes in the order of ``jobs``.

    ``listener`` gets every event: ``event, port, board, mac, stage, pct, verdict, error`` (calls are one at a
    time). Raises ``flash.port_twice`` before anything runs; all else is the outcome of one board.
    """
    check_ports([job.port for job in jobs])
    workers = _Workers()
    lock = threading.Lock()

    def run_one(job: Job) -> Outcome:
        watch = _Watch(job, board, listener, lock)
        return watch.run(workers)

    with ThreadPoolExecutor(max_workers=max(1, len(jobs))) as pool:
        futures = [pool.submit(run_one, job) for job in jobs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            workers.stop()
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
                    stream.close()
            self._running.discard(process)


class _Watch:
    """One board from first check to verdict."""

    def __init__(self, job: Job, board: str, listener: Listener, lock: threading.Lock) -> None:
        self._job = job
        self._listener = listener
        self._lock = lock
        self._shown: dict[str, Any] = {
            "event": "flash",
            "port": job.port,
            "board": board,
            "mac": None,
            "stage": "wait",
            "pct": 0,
            "verdict": None,
            "error": None,
        }

    def _tell(self, **news: Any) -> None:
        self._shown.update(news)
        with self._lock:
            self._listener(dict(self._shown))

    def run(self, workers: _Workers) -> Outcome:
        began = time.monotonic()
        error: CommunodeError | None = None
        try:
            check_port(self._job.port)
            self._try_bauds(workers)
        except CommunodeError as failure:
            error = failure
        outcome = Outcome(self._job.port, self._shown["mac"], error, time.monotonic() - began)
        described = error.as_json()["error"] if error else None
        self._tell(stage="done", verdict=outcome.verdict, error=described)
        return outcome

    def _try_bauds(self, workers: _Workers) -> None:
        """Do the job; a link that fails once the chip has answered is tried again more slowly."""
        bauds = [self._job.baud, *(baud for baud in BAUDS if baud < self._job.baud)]
        for baud in bauds:
            self._shown["mac"] = None
            try:
                self._attempt(workers, replace(self._job, baud=baud))
                return
            except CommunodeError as failure:
                answered = self._shown["mac"] is not None
                if failure.code != "flash.link" or not answered or baud == bauds[-1]:
                    raise
                self._tell(stage="retry", pct=0)

    def _attempt(self, workers: _Workers, job: Job) -> None:
        # What libraries say on stderr is kept for the one case in which the worker says nothing itself.
        with tempfile.TemporaryFile() as words:
            with workers.start(words) as process:
                done = self._follow(process, job)
                status = process.wait(timeout=10)
            wanted = [item["offset"] for item in job.write]
            if done is None or status != 0 or done["verified"] != wanted:
                words.seek(0)
                last = (words.read().decode("utf-8", "replace").split("\n")[-2:] or [""])[0]
                raise CommunodeError("flash.worker_died", port=job.port, status=status, reason=last)

    def _follow(self, process: subprocess.Popen[bytes], job: Job) -> dict[str, Any] | None:
        """Pass events on until the worker ends; its closing word, or None if it left without one."""
        assert process.stdin is not None
        assert process.stdout is not None
        threading.Thread(target=_feed, args=(process.stdin, job), daemon=True).start()
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
            self._tell(**{key: event[key] for key in ("stage", "pct", "mac") if key in event})


def _feed(stream: IO[bytes], job: Job) -> None:
    try:
        stream.write(json.dumps(asdict(job)).encode())
        stream.close()
    except OSError:
        pass  # the worker is gone: its missing closing word says so


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
