# SPDX-License-Identifier: MIT
"""One air for several processes in real time: whoever binds HOST:PORT first serves, the others connect.

Each process keeps its own `Air` and is told what the others transmit, one JSON object a line. The common time
base is the wall clock in microseconds; a process translates to its own world time once, at the start, so
the machines' clocks must agree to about a millisecond (one machine, or NTP). When the serving process
dies, the others race for the address and connect to the winner. Nothing here authenticates anybody: bind to
loopback, or to a network that you trust.

Not for virtual time: nothing waits for the network here.
"""

from __future__ import annotations

import errno
import json
import random
import select
import socket
import sys
import threading
import time
from collections import deque
from dataclasses import asdict
from typing import Any

from communode.messages import text
from communode.virtual.air import Air
from communode.virtual.medium import Transmission
from communode.virtual.timeline import Timeline

_MAX_LINE = 4096
_HELLO = b'{"communode-air": 1}\n'  # from the server, once a client is taken in
_RETRY_S = (0.05, 0.4)
_NOT_MINE = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)


class AirLink(Air):
    """An `Air` that is shared with other processes. Close it when done.

    All methods of `Air` belong to the thread that drives the boards; the network has a thread of its own that
    only moves lines. ``poll_us`` is how often remote packets are handed to the subscribers.
    """

    def __init__(
        self,
        address: tuple[str, int],
        timeline: Timeline,
        seed: int = 0,
        *,
        poll_us: int = 2_000,
        **settings: float,
    ) -> None:
        super().__init__(seed, **settings)
        self.address = address
        self._timeline = timeline
        self._poll_us = poll_us
        self._offset_us = time.time_ns() // 1000 - timeline.now_us()
        self._inbox: deque[bytes] = deque()
        self._peers: list[socket.socket] = []
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._joined = threading.Event()
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="air-link", daemon=True)
        self._thread.start()
        self._poll()

    @property
    def serving(self) -> bool:
        """Whether this process is the one that the others connect to."""
        return self._listener is not None

    def wait(self, timeout_s: float) -> bool:
        """Wait until the link serves or is connected; False when it is not in time."""
        return self._joined.wait(timeout_s)

    def close(self) -> None:
        """Leave the air."""
        self._closed.set()
        self._thread.join(timeout=2.0)

    def transmit(self, transmission: Transmission) -> None:
        """Put a packet on the air, here and at the peers."""
        super().transmit(transmission)
        fields = asdict(transmission)
        fields["start_us"] += self._offset_us
        fields["end_us"] += self._offset_us
        fields["payload"] = transmission.payload.hex()
        self._send({"transmit": fields})

    def cut(self, transmission: Transmission, end_us: int) -> None:
        """Break a packet off, here and at the peers."""
        super().cut(transmission, end_us)
        start_us = transmission.start_us + self._offset_us
        self._send({"cut": [transmission.source, start_us, end_us + self._offset_us]})

    def transmissions(self, since_us: int, until_us: int, frequency_hz: int) -> list[Transmission]:
        """As in `Air`, remote packets included."""
        self._drain()
        return super().transmissions(since_us, until_us, frequency_hz)

    # --- the boards' thread -------------------------------------------------------------------------------

    def _poll(self) -> None:
        if self._closed.is_set():
            return
        self._drain()
        self._timeline.call_at(self._timeline.now_us() + self._poll_us, self._poll)

    def _drain(self) -> None:
        while self._inbox:
            try:
                self._take(json.loads(self._inbox.popleft()))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # a peer of another version, or no peer at all

    def _take(self, message: dict[str, Any]) -> None:
        if "cut" in message:
            source, start_us, end_us = message["cut"]
            start_us, end_us = int(start_us) - self._offset_us, int(end_us) - self._offset_us
            for sent in self._overlapping(start_us, start_us + 1):
                if sent.source == source and sent.start_us == start_us:
                    super().cut(sent, end_us)
            return
        fields = dict(message["transmit"])
        fields["payload"] = bytes.fromhex(fields["payload"])
        fields["start_us"] = int(fields["start_us"]) - self._offset_us
        fields["end_us"] = int(fields["end_us"]) - self._offset_us
        super().transmit(Transmission(**fields))

    def _send(self, message: dict[str, Any]) -> None:
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            for peer in list(self._peers):
                self._send_to(peer, line)

    # --- the network's thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        lost = False
        while not self._closed.is_set():
            if self._listen() or self._connect():
                if lost:
                    self._report("network.air_link_back")
                    lost = False
                self._joined.set()
                self._exchange()
                self._joined.clear()
                self._drop_all()
                if not self._closed.is_set():
                    lost = True
                    self._report("network.air_link_lost")
            self._closed.wait(random.uniform(*_RETRY_S))

    def _listen(self) -> bool:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(self.address)
            listener.listen(16)
        except OSError as error:
            listener.close()
            if error.errno not in _NOT_MINE:
                self._report("network.air_link_address", reason=str(error))
            return False
        self._listener = listener
        return True

    def _connect(self) -> bool:
        try:
            peer = socket.create_connection(self.address, timeout=1.0)
        except OSError:
            return False
        try:
            greeting = peer.recv(len(_HELLO), socket.MSG_WAITALL)
        except OSError:
            greeting = b""
        if greeting != _HELLO:  # another service, or a port connected to itself
            peer.close()
            return False
        self._adopt(peer)
        return True

    def _exchange(self) -> None:
        """Move lines until the link breaks (as client) or is closed."""
        rests: dict[socket.socket, bytes] = {}
        while not self._closed.is_set():
            with self._lock:
                peers = list(self._peers)
            if self._listener is None and not peers:
                return
            waiting = [*peers, self._listener] if self._listener else peers
            ready, _, _ = select.select(waiting, [], [], 0.1)
            for source in ready:
                if source is self._listener:
                    self._welcome(self._listener)
                elif source is not None:
                    self._read(source, rests)

    def _read(self, source: socket.socket, rests: dict[socket.socket, bytes]) -> None:
        try:
            data = source.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(source)
            return
        *lines, rest = (rests.get(source, b"") + data).split(b"\n")
        rests[source] = rest
        if len(rest) > _MAX_LINE:
            self._drop(source)
        for line in lines:
            self._inbox.append(line)
            if self._listener:
                with self._lock:
                    for peer in [peer for peer in self._peers if peer is not source]:
                        self._send_to(peer, line + b"\n")

    def _welcome(self, listener: socket.socket) -> None:
        try:
            peer, _ = listener.accept()
        except OSError:
            return  # gone again
        self._adopt(peer, _HELLO)

    def _adopt(self, peer: socket.socket, greeting: bytes = b"") -> None:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.settimeout(0.5)  # a peer that does not read is dropped, the air does not wait
        with self._lock:  # the greeting comes before any packet, and no packet after it is missed
            self._peers.append(peer)
            self._send_to(peer, greeting)

    def _send_to(self, peer: socket.socket, line: bytes) -> None:
        try:
            peer.sendall(line)
        except OSError:
            self._peers.remove(peer)
            peer.close()

    def _drop(self, peer: socket.socket) -> None:
        with self._lock:
            if peer in self._peers:
                self._peers.remove(peer)
        peer.close()

    def _drop_all(self) -> None:
        with self._lock:
            peers, self._peers = self._peers, []
        for peer in peers:
            peer.close()
        if self._listener:
            self._listener.close()
            self._listener = None

    def _report(self, key: str, **values: str) -> None:
        host, port = self.address
        print(text(key, address=f"{host}:{port}", **values), file=sys.stderr, flush=True)
