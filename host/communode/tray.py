# SPDX-License-Identifier: MIT
"""A tray: boards on a bench, each taken on its way side by side, and one verdict for each.

For each port, in one session with the board's loader: who is it, is it the right one, what does it lack; what
it lacks is written and read back. With a `BatchRun` the board becomes a node on the way; without one it is
only flashed. What each board has reached is kept in a batch folder too, for whoever has no register at hand.
One board's failure is that board's verdict and nobody else's.

Not here: how bytes get into flash (`communode.flash`), what makes a node (`communode.provisioning.run`).
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from communode.batch_folder import BatchFolder, BoardRecord
from communode.boards import Board
from communode.build import Build, Region
from communode.errors import CommunodeError
from communode.flash import Flasher, Job, Listener, Outcome, Seen, check_ports, event_of, job_for
from communode.link.sources import PortSource, PortWatch

if TYPE_CHECKING:
    from communode.provisioning.run import BatchRun

_POLL_S = 0.25
_STEPS = {"written": "identified", "joined": "joined", "labelled": "labelled"}  # register: batch folder
MAX_PORTS = 256


class Tray:
    """One bench. `run` does a list of ports, `watch` does whatever is plugged in; then it is used up.

    ``image`` None writes no image, which leaves the identity that a ``batch_run`` gives.
    """

    def __init__(
        self,
        board: Board,
        image: Build | None,
        records: BatchFolder,
        listener: Listener,
        *,
        batch_run: BatchRun | None = None,
        factory: bool = False,
    ) -> None:
        self._board = board
        self._image = image
        self._records = records
        self._listener = listener
        self._batch_run = batch_run
        self._factory = factory
        self._flasher = Flasher(board.name, self._take)
        self._changed = threading.Condition()  # guards all below, and the records
        self._claims: dict[str, str] = {}  # MAC: port
        self._unasked: set[str] = set()  # ports at which nobody has answered yet, nor failed
        self._stopped = threading.Event()

    def run(self, ports: Sequence[str]) -> list[Outcome]:
        """All of ``ports`` at once; outcomes in their order. Raises ``flash.port_twice``."""
        check_ports(ports)
        self._unasked.update(ports)
        with self._places(max(1, len(ports))) as pool:
            return [future.result() for future in [pool.submit(self._run_port, port) for port in ports]]

    def watch(self, source: PortSource, *, count: int | None = None) -> list[Outcome]:
        """Each port that there is or that comes, until `stop`, or until ``count`` boards are good.

        A port is taken again when it has gone and come back: that is the next board.
        """
        watch = PortWatch(source)
        running: dict[str, Future[Outcome]] = {}
        done: list[Outcome] = []
        with self._places(MAX_PORTS) as pool:
            while not self._stopped.is_set():
                change = watch.look()
                for port in change.gone:
                    self._leave(port)
                fresh = [port for port in change.arrived if port not in running]
                with self._changed:
                    self._unasked.update(fresh)
                for port in fresh:
                    running[port] = pool.submit(self._run_port, port)
                for port in [port for port, future in running.items() if future.done()]:
                    done.append(running.pop(port).result())
                if count is not None and sum(not outcome.error for outcome in done) >= count:
                    break
                self._stopped.wait(_POLL_S)
        return done + [future.result() for future in running.values()]

    @contextmanager
    def _places(self, most: int) -> Iterator[ThreadPoolExecutor]:
        """A thread a port; what was begun is ended, whatever happens."""
        try:
            with ThreadPoolExecutor(max_workers=most) as pool:
                try:
                    yield pool
                except BaseException:
                    self.stop()
                    raise
        finally:
            if self._batch_run:
                self._batch_run.end()

    def stop(self) -> None:
        """End all workers and waits."""
        self._stopped.set()
        self._flasher.stop()
        if self._batch_run:
            self._batch_run.stop()

    def _leave(self, port: str) -> None:
        with self._changed:
            self._claims = {mac: claimed for mac, claimed in self._claims.items() if claimed != port}
        self._flasher.tell({**event_of(port, self._board.name), "stage": "gone"})

    def _take(self, event: dict[str, Any]) -> None:
        self._listener(event)
        if event["verdict"]:
            self._records.log(event)

    def _run_port(self, port: str) -> Outcome:
        try:
            return _Place(self, port).run()
        finally:
            self._answered(port)

    # --- what one board needs of the tray -------------------------------------------------------------------

    def _answered(self, port: str) -> None:
        with self._changed:
            self._unasked.discard(port)
            self._changed.notify_all()

    def _claim(self, port: str, seen: Seen) -> None:
        """``tray.same_mac`` if the board at another port has the same address, and is the one meant.

        A board that lacks the identity which its address has got may be a double: it waits until all others
        have said who they are, so that it does not matter which of the two was quicker.
        """
        self._answered(port)
        with self._changed:
            if self._batch_run and self._batch_run.lacks_identity(seen):
                self._changed.wait_for(lambda: not self._unasked or self._stopped.is_set())
            first = self._claims.setdefault(seen.mac, port)
        if first != port:
            raise CommunodeError("tray.same_mac", port=port, mac=seen.mac, first=first)

    def _release(self, port: str, mac: str) -> None:
        """Nothing was written: the address is free for the board that it belongs to."""
        with self._changed:
            if self._claims.get(mac) == port:
                del self._claims[mac]


class _Place:
    """One port, from plugging in to verdict."""

    def __init__(self, tray: Tray, port: str) -> None:
        self._tray = tray
        self._port = port
        self._record: BoardRecord | None = None

    def run(self) -> Outcome:
        tray, batch_run = self._tray, self._tray._batch_run
        began = time.monotonic()
        outcome = tray._flasher.run(self._job(), self._decide, last=False)
        error = outcome.error
        if error is None:
            assert self._record is not None
            self._note_image(self._record)
            if batch_run:
                try:
                    batch_run.finish(self._record.mac, self._record.version, partial(self._show, outcome))
                except CommunodeError as failure:
                    error = failure
        if outcome.error is None:
            self._tell(outcome, error)
        outcome = replace(outcome, error=error, seconds=time.monotonic() - began)
        self._note(outcome)
        return outcome

    def _job(self) -> Job:
        tray = self._tray
        if tray._image:
            job = job_for(tray._image, self._port, factory=tray._factory)
        else:
            job = Job(self._port, tray._board.chip, None, tray._board.flash_size)
        return tray._batch_run.look(job) if tray._batch_run else job

    def _decide(self, seen: Seen) -> Sequence[Region]:
        tray = self._tray
        tray._claim(self._port, seen)
        if self._record is None:
            with tray._changed:
                self._record = record = tray._records.record(seen.mac, tray._board.name)
                record.attempts += 1
                record.port, record.chip, record.board = self._port, seen.chip, tray._board.name
        if tray._batch_run is None:
            return []
        try:
            return tray._batch_run.decide(self._port, seen)
        except CommunodeError:
            tray._release(self._port, seen.mac)
            raise

    def _note_image(self, record: BoardRecord) -> None:
        image = self._tray._image
        if image is None:
            return
        with self._tray._changed:
            record.profile, record.version = image.manifest["profile"], image.manifest["version"]
            record.image = image_hash(image)
            record.reach("flashed")
            self._tray._records.save(record)

    def _note(self, outcome: Outcome) -> None:
        """Keep how it ended, in the batch folder and with the batch."""
        tray, record, error = self._tray, self._record, outcome.error
        mac = record.mac if record else None
        done = tray._batch_run.conclude(self._port, mac, error) if tray._batch_run else None
        if record is None:
            return
        with tray._changed:
            record.verdict = outcome.verdict
            record.error = dict(error.as_json()["error"]) if error else None
            record.seconds = round(outcome.seconds, 1)
            record.written, record.baud = outcome.written, outcome.baud
            if done and done.job:
                record.dev_eui, record.join_eui, record.dev_addr = done.dev_eui, done.join_eui, done.dev_addr
                for step, known_as in _STEPS.items():
                    if done.job.has(step) and known_as not in record.steps:
                        record.reach(known_as)
            tray._records.save(record)

    def _event(self, outcome: Outcome) -> dict[str, Any]:
        return {**event_of(self._port, self._tray._board.name), "chip": outcome.chip, "mac": outcome.mac}

    def _show(self, outcome: Outcome, stage: str, pct: int) -> None:
        self._tray._flasher.tell({**self._event(outcome), "stage": stage, "pct": pct})

    def _tell(self, outcome: Outcome, error: CommunodeError | None) -> None:
        verdict = "failed" if error else "good"
        described = error.as_json()["error"] if error else None
        end = {"stage": "done", "pct": 100, "verdict": verdict, "error": described}
        self._tray._flasher.tell({**self._event(outcome), **end})


def image_hash(image: Build) -> str:
    """One hash for all regions of an image."""
    hashes = "".join(region["sha256"] for region in image.manifest["regions"])
    return hashlib.sha256(hashes.encode("ascii")).hexdigest()
