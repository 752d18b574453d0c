# SPDX-License-Identifier: MIT
"""A tray: boards on a bench, each taken from bare chip to labelled node, side by side.

For each port, in one session with the board's loader: who is it, is it the right one, what does it lack;
image and identity are written and read back. Then the node is heard joining, and gets its label. What each
board has reached is kept in a batch folder, so that a second run does only what is missing. One board's
failure is that board's verdict and nobody else's.

Not here: how bytes get into flash (`communode.flash`), where keys live (`communode.vault`), network servers
(`communode.network`). Without a `Provisioning` a tray only flashes.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from communode.batch_folder import BatchFolder, BoardRecord
from communode.build import Build, Region
from communode.errors import CommunodeError
from communode.flash import Flasher, Listener, Outcome, Seen, check_ports, event_of, job_for
from communode.identity import NO_JOIN_EUI, Identity, dev_eui_from_mac, new_identity
from communode.link.sources import PortSource, PortWatch
from communode.network.registration import NetworkDevice, NetworkServer
from communode.nvs_image import make_image

_POLL_S = 0.25
MAX_PORTS = 256


class Keys(Protocol):
    """Where identities with their keys are kept (`communode.vault.Vault` is one)."""

    def generation(self, name: str) -> int:
        """0 where there is nothing under the name, a DevEUI in hex."""

    def keep_identity(self, identity: Identity) -> int:
        """Keep it, durably."""

    def identity(self, dev_eui: bytes) -> Identity:
        """The identity that was kept last."""


Labeller = Callable[[Sequence[BoardRecord]], None]
"""Prints labels for the boards of these records; called again with all of them when one is added."""


@dataclass(frozen=True)
class Provisioning:
    """What makes a node of a flashed board. Without ``network`` nobody listens for its join."""

    keys: Keys
    join_eui: bytes = NO_JOIN_EUI
    network: NetworkServer | None = None
    join_within_s: float = 120.0
    label: Labeller | None = None
    replace: bool = False  # give a new identity to a board that has one which is not in ``keys``


class Tray:
    """One bench. `run` does a list of ports, `watch` does whatever is plugged in; then it is used up."""

    def __init__(
        self,
        image: Build,
        records: BatchFolder,
        listener: Listener,
        *,
        provisioning: Provisioning | None = None,
        factory: bool = False,
    ) -> None:
        self._image = image
        self._records = records
        self._listener = listener
        self._provisioning = provisioning
        self._factory = factory
        self._board: str = image.manifest["board"]
        self._flasher = Flasher(self._board, self._take)
        self._lock = threading.Lock()  # records, keys and network servers: one board at a time
        self._claims: dict[str, str] = {}  # MAC: port
        self._stopped = threading.Event()

    def run(self, ports: Sequence[str]) -> list[Outcome]:
        """All of ``ports`` at once; outcomes in their order. Raises ``flash.port_twice``."""
        check_ports(ports)
        with ThreadPoolExecutor(max_workers=max(1, len(ports))) as pool:
            futures = [pool.submit(self._run_port, port) for port in ports]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self.stop()
                raise

    def watch(self, source: PortSource, *, count: int | None = None) -> list[Outcome]:
        """Each port that there is or that comes, until `stop`, or until ``count`` boards are good.

        A port is taken again when it has gone and come back: that is the next board.
        """
        watch = PortWatch(source)
        running: dict[str, Future[Outcome]] = {}
        done: list[Outcome] = []
        with ThreadPoolExecutor(max_workers=MAX_PORTS) as pool:
            try:
                while not self._stopped.is_set():
                    change = watch.look()
                    for port in change.gone:
                        self._leave(port)
                    for port in change.arrived:
                        if port not in running:
                            running[port] = pool.submit(self._run_port, port)
                    for port in [port for port, future in running.items() if future.done()]:
                        done.append(running.pop(port).result())
                    if count is not None and sum(not outcome.error for outcome in done) >= count:
                        break
                    self._stopped.wait(_POLL_S)
            except BaseException:
                self.stop()
                raise
        return done + [future.result() for future in running.values()]

    def stop(self) -> None:
        """End all workers and waits."""
        self._stopped.set()
        self._flasher.stop()

    def _leave(self, port: str) -> None:
        with self._lock:
            self._claims = {mac: claimed for mac, claimed in self._claims.items() if claimed != port}
        self._flasher.tell({**event_of(port, self._board), "stage": "gone"})

    def _take(self, event: dict[str, Any]) -> None:
        self._listener(event)
        if event["verdict"]:
            self._records.log(event)

    def _run_port(self, port: str) -> Outcome:
        return _Place(self, port).run()

    # --- what one board needs of the tray, under its lock ---------------------------------------------------

    def _claim(self, port: str, seen: Seen) -> BoardRecord:
        """The board's record; ``tray.same_mac`` if another port has shown the same address."""
        first = self._claims.setdefault(seen.mac, port)
        if first != port:
            raise CommunodeError("tray.same_mac", port=port, mac=seen.mac, first=first)
        record = self._records.record(seen.mac, self._board)
        record.attempts += 1
        record.port, record.chip, record.board = port, seen.chip, self._board
        return record

    def _identity_for(self, port: str, seen: Seen, record: BoardRecord, plan: Provisioning) -> Identity:
        """The identity that this board has or shall get; kept before it is written."""
        if seen.dev_eui is not None and plan.keys.generation(seen.dev_eui):
            return plan.keys.identity(bytes.fromhex(seen.dev_eui))
        if seen.dev_eui is not None and not plan.replace:
            raise CommunodeError("provision.exists", port=port, dev_eui=seen.dev_eui)
        dev_eui = dev_eui_from_mac(bytes.fromhex(seen.mac.replace(":", "")))
        if plan.keys.generation(dev_eui.hex()) and not plan.replace:
            if "identified" in record.steps:
                # It was read back from a board with this address, and this board does not have it.
                raise CommunodeError("tray.identity_gone", port=port, mac=seen.mac, dev_eui=dev_eui.hex())
            return plan.keys.identity(dev_eui)
        identity = new_identity(dev_eui, plan.join_eui)
        plan.keys.keep_identity(identity)
        return identity


class _Place:
    """One port, from plugging in to verdict."""

    def __init__(self, tray: Tray, port: str) -> None:
        self._tray = tray
        self._port = port
        self._record: BoardRecord | None = None
        self._identity: Identity | None = None
        self._writes_identity = False

    def run(self) -> Outcome:
        tray = self._tray
        began = time.monotonic()
        job = job_for(tray._image, self._port, factory=tray._factory)
        if tray._provisioning:
            nvs = tray._image.partition("nvs")
            job = replace(job, look={"offset": nvs.offset, "size": nvs.size})
        outcome = tray._flasher.run(job, self._decide, last=False)
        error = outcome.error
        if error is None:
            try:
                self._settle(outcome)
            except CommunodeError as failure:
                error = failure
                self._tell(outcome, error)
        outcome = replace(outcome, error=error, seconds=time.monotonic() - began)
        if self._record is not None:
            self._note(self._record, outcome)
        if error is None:
            self._tell(outcome, None)
        return outcome

    def _decide(self, seen: Seen) -> Sequence[Region]:
        tray, plan = self._tray, self._tray._provisioning
        with tray._lock:
            record = self._record or tray._claim(self._port, seen)
            if plan is None:
                self._record = record
                return []
            identity = self._identity or tray._identity_for(self._port, seen, record, plan)
            self._record, self._identity = record, identity
            record.dev_eui, record.join_eui = identity.dev_eui.hex(), identity.join_eui.hex()
            if plan.network is not None:
                name = node_name(record)
                device = NetworkDevice(identity.dev_eui, identity.join_eui, identity.app_key, name)
                plan.network.register(device, renew=plan.replace)
            tray._records.save(record)
        if seen.dev_eui == record.dev_eui:
            return []
        nvs = tray._image.partition("nvs")
        return [Region("nvs", nvs.offset, make_image(identity.blobs(), nvs.size))]

    def _settle(self, outcome: Outcome) -> None:
        """Everything after the flash has been read back: join and label."""
        tray, plan, record = self._tray, self._tray._provisioning, self._record
        assert record is not None
        with tray._lock:
            manifest = tray._image.manifest
            record.profile, record.version = manifest["profile"], manifest["version"]
            record.image = image_hash(tray._image)
            record.reach("flashed")
            if plan:
                record.reach("identified")
            tray._records.save(record)
        if plan is None:
            return
        if plan.network is not None and plan.network.sees_joins:
            self._wait_for_join(outcome, plan, plan.network, record)
        if plan.label is not None:
            self._show(outcome, "label", 100)
            with tray._lock:
                known = tray._records.records()
                plan.label([item for item in known if item is record or "labelled" in item.steps])
                record.reach("labelled")
                tray._records.save(record)

    def _wait_for_join(
        self, outcome: Outcome, plan: Provisioning, network: NetworkServer, record: BoardRecord
    ) -> None:
        assert record.dev_eui is not None
        began = time.monotonic()
        while True:
            with self._tray._lock:
                dev_addr = network.joined(bytes.fromhex(record.dev_eui))
            if dev_addr is not None:
                break
            passed_s = time.monotonic() - began
            if passed_s > plan.join_within_s or self._tray._stopped.is_set():
                raise CommunodeError(
                    "tray.no_join", port=self._port, dev_eui=record.dev_eui, seconds=int(passed_s)
                )
            self._show(outcome, "join", int(100 * passed_s / plan.join_within_s))
            self._tray._stopped.wait(_POLL_S)
        with self._tray._lock:
            record.dev_addr = dev_addr
            record.reach("joined")
            self._tray._records.save(record)

    def _note(self, record: BoardRecord, outcome: Outcome) -> None:
        error = outcome.error
        with self._tray._lock:
            record.verdict = outcome.verdict
            record.error = dict(error.as_json()["error"]) if error else None
            record.seconds = round(outcome.seconds, 1)
            record.written, record.baud = outcome.written, outcome.baud
            self._tray._records.save(record)

    def _event(self, outcome: Outcome) -> dict[str, Any]:
        return {**event_of(self._port, self._tray._board), "chip": outcome.chip, "mac": outcome.mac}

    def _show(self, outcome: Outcome, stage: str, pct: int) -> None:
        self._tray._flasher.tell({**self._event(outcome), "stage": stage, "pct": pct})

    def _tell(self, outcome: Outcome, error: CommunodeError | None) -> None:
        verdict = "failed" if error else "good"
        described = error.as_json()["error"] if error else None
        end = {"stage": "done", "pct": 100, "verdict": verdict, "error": described}
        self._tray._flasher.tell({**self._event(outcome), **end})


def node_name(record: BoardRecord) -> str:
    """What a node is called until somebody gives it a better name."""
    return f"{record.board}-{record.mac.replace(':', '')[-6:]}"


def image_hash(image: Build) -> str:
    """One hash for all regions of an image."""
    hashes = "".join(region["sha256"] for region in image.manifest["regions"])
    return hashlib.sha256(hashes.encode("ascii")).hexdigest()


def sheet_labeller(folder: Path, batch: str) -> Labeller:
    """Labels as pictures and as one sheet in ``folder`` (needs the extra ``labels``)."""
    from communode.labels import Label, write_labels

    def label(records: Sequence[BoardRecord]) -> None:
        labels = [
            Label(record.dev_eui, record.join_eui, node_name(record), detail=record.profile or "")
            for record in records
            if record.dev_eui and record.join_eui
        ]
        write_labels(folder, batch, labels)

    return label
