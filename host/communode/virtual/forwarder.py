# SPDX-License-Identifier: MIT
"""The packet forwarder of a virtual gateway: a real UDP socket towards the network server.

In virtual time the world stands still while the server thinks: after every PUSH_DATA comes a PULL_DATA as a
barrier, and what the server sends before its PULL_ACK belongs to that instant. So the same seed gives the
same packets however fast the machine is. A server that answers later than that (deduplication in real
time) needs `settle_s`, or real time. In real time nothing waits: datagrams go out, `poll` takes what came.

Source: PF = PROTOCOL.TXT of Lora-net/packet_forwarder v4.0.1, sections 3 and 5.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

from communode.errors import CommunodeError
from communode.lns.semtech import MAX_DATAGRAM, Datagram, DatagramError, Kind

_MAX_ROUNDS = 8  # a server that answers each refusal with another downlink ends here


class Forwarder:
    """One gateway's link to ``server`` (host, port).

    ``on_downlink`` takes the JSON object of a PULL_RESP and returns the error for its TX_ACK, ``NONE``, or
    nothing when the datagram is to be ignored.
    CommunodeError ``network.server_silent`` in virtual time when the server does not answer in ``timeout_s``.
    """

    def __init__(
        self,
        gateway: str,
        server: tuple[str, int],
        on_downlink: Callable[[dict[str, Any]], str],
        *,
        realtime: bool = False,
        timeout_s: float = 5.0,
        settle_s: float = 0.0,
    ) -> None:
        self.pushed = 0
        self.acknowledged = 0
        self._gateway = gateway
        self._server = server
        self._on_downlink = on_downlink
        self._realtime = realtime
        self._timeout_s = timeout_s
        self._settle_s = settle_s
        self._token = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.connect(server)  # a refusal by the host then arrives as an error
        except OSError:
            self._socket.close()
            raise self._silent() from None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @property
    def acknowledged_pct(self) -> float:
        """Share of PUSH_DATA that the server acknowledged."""
        return 100.0 * self.acknowledged / self.pushed if self.pushed else 100.0

    def push(self, body: dict[str, Any]) -> None:
        """Send ``rxpk`` or ``stat``; in virtual time wait and take the downlinks that answer it."""
        self.pushed += 1
        token = self._send(Kind.PUSH_DATA, body)
        if not self._realtime:
            self._await(Kind.PUSH_ACK, token)
            self.pull()

    def pull(self) -> None:
        """Tell the server where we are; in virtual time take the downlinks that it has for us."""
        for _ in range(_MAX_ROUNDS):
            token = self._send(Kind.PULL_DATA)
            if self._realtime:
                return
            if not self._await(Kind.PULL_ACK, token):
                break
        if self._settle_s:
            time.sleep(self._settle_s)
            self.poll()

    def poll(self) -> None:
        """Take what has arrived, without waiting."""
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    data = self._socket.recv(MAX_DATAGRAM)
                except ConnectionError:
                    continue  # nobody listens there yet
                self._take(data)

    def _send(self, kind: Kind, body: dict[str, Any] | None = None, token: int | None = None) -> int:
        if token is None:
            self._token = token = (self._token + 1) & 0xFFFF
        try:
            self._socket.send(Datagram(kind, token, self._gateway, body or {}).to_wire())
        except OSError:
            if not self._realtime:
                raise self._silent() from None
        return token

    def _await(self, kind: Kind, token: int) -> bool:
        """Wait for an acknowledgement; True when a downlink was refused meanwhile."""
        refused = False
        deadline = time.monotonic() + self._timeout_s
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._silent()
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(MAX_DATAGRAM)
            except OSError:  # refused, or timed out
                raise self._silent() from None
            answer, was_refused = self._take(data)
            refused |= was_refused
            if answer == (kind, token):
                return refused

    def _take(self, data: bytes) -> tuple[tuple[Kind, int] | None, bool]:
        """Handle one datagram: its kind and token, and whether it was a downlink that we refuse."""
        try:
            datagram = Datagram.from_wire(data)
        except DatagramError:
            return None, False
        error = "NONE"
        if datagram.kind is Kind.PUSH_ACK:
            self.acknowledged += 1
        elif datagram.kind is Kind.PULL_RESP:
            error = self._on_downlink(datagram.body)
            if error:
                self._send(Kind.TX_ACK, {"txpk_ack": {"error": error}}, datagram.token)
        return (datagram.kind, datagram.token), error not in ("", "NONE")

    def _silent(self) -> CommunodeError:
        host, port = self._server
        return CommunodeError(
            "network.server_silent",
            address=f"{host}:{port}",
            gateway=self._gateway,
            seconds=f"{self._timeout_s:g}",
        )
