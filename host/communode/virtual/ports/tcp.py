# SPDX-License-Identifier: MIT
"""Serial ports of virtual boards over TCP: raw (``socket://``) and RFC 2217 (``rfc2217://``).

One client at a time; a second one is turned away at once instead of being kept waiting. RFC 2217 brings
baud rate and modem lines, and with them resets; the protocol itself is pyserial's. No encryption and
no password: meant for loopback.

Sources: RFC 2217; pyserial 3.5 serial.rfc2217.PortManager.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from typing import Any, cast

from serial.rfc2217 import M_NORMAL, PortManager

from communode.errors import CommunodeError
from communode.virtual.ports.end import SerialEnd
from communode.virtual.ports.pacing import Pacing

_IAC = b"\xff"


class SocketEnd(SerialEnd):
    """A TCP server that carries the bytes as they are. ``port`` 0 takes any free one.

    Raises `CommunodeError` when it cannot listen there.
    """

    scheme = "socket"

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        pacing: Pacing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = _listen(host, port)
        self.host, self.port = self._server.getsockname()[:2]
        super().__init__(f"{self.scheme}://{self.host}:{self.port}", pacing, clock)
        self._client: socket.socket | None = None
        self._inner.register(self._server, selectors.EVENT_READ)

    def service(self) -> None:
        """Take what the client sent, see it leave, send what waits, then greet or turn away others."""
        if self._client is not None:
            self._drain(self._client)
        if self._client is not None and self._backlog:
            self._flush_backlog()
        self._accept()
        self._move_paced()

    def close(self) -> None:
        """Stop listening and hang up."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._server.close()
        super().close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # nobody waits
                return
            if self._client is not None:
                client.close()
                continue
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client = client
            self._inner.register(client, selectors.EVENT_READ)
            self._greet()
            self._opened()
            self._drain(client)

    def _drain(self, client: socket.socket) -> None:
        while self._client is client:
            try:
                data = client.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._hang_up(client)
                return
            self._take(data)

    def _hang_up(self, client: socket.socket) -> None:
        self._inner.unregister(client)
        client.close()
        self._client = None
        self._closed()

    def _greet(self) -> None:
        """A client is here, and has not been announced yet."""

    def _take(self, data: bytes) -> None:
        """Bytes came from the network."""
        self._received(data)

    def _put(self, data: bytes) -> int:
        if self._client is None:
            return len(data)
        try:
            return self._client.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)  # it is leaving: the next read says so

    def _wait_writable(self, wanted: bool) -> None:
        if self._client is not None:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
            self._inner.modify(self._client, events)


class Rfc2217End(SocketEnd):
    """An RFC 2217 server: like a serial port with DTR and RTS on another machine.

    ``on_lines`` hears of every change; a client that leaves takes both lines back before ``on_close``.
    """

    scheme = "rfc2217"

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        pacing: Pacing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(host, port, pacing=pacing, clock=clock)
        self._line = _Line(self)
        self._manager: _Manager | None = None

    @property
    def baud(self) -> int:
        """The rate that the client asked for."""
        return self._line.baudrate

    def _emit(self, data: bytes) -> None:
        self._send(data.replace(_IAC, _IAC + _IAC))

    def _greet(self) -> None:
        self._line = _Line(self)
        self._manager = _Manager(cast(Any, self._line), cast(Any, _Connection(self)))

    def _take(self, data: bytes) -> None:
        manager = self._manager
        if manager is None:
            return
        if _IAC in data or not manager.plain:
            data = b"".join(manager.filter(data))
        if data:
            self._received(data)

    def _closed(self) -> None:
        line, self._manager = self._line, None
        if line.dtr or line.rts:
            self._line = _Line(self)
            self.on_lines(False, False)
        super()._closed()


class _Line:
    """The serial port as PortManager wants to see it."""

    def __init__(self, end: Rfc2217End) -> None:
        self._end = end
        self._dtr = self._rts = False
        self.baudrate = 115200
        self.bytesize = 8
        self.parity = "N"
        self.stopbits = 1
        self.xonxoff = self.rtscts = False
        self.break_condition = False
        self.cts = self.dsr = self.cd = True
        self.ri = False

    @property
    def dtr(self) -> bool:
        """Data terminal ready, True when asserted."""
        return self._dtr

    @dtr.setter
    def dtr(self, value: bool) -> None:
        self._dtr = value
        self._end.on_lines(self._dtr, self._rts)

    @property
    def rts(self) -> bool:
        """Request to send, True when asserted."""
        return self._rts

    @rts.setter
    def rts(self, value: bool) -> None:
        self._rts = value
        self._end.on_lines(self._dtr, self._rts)

    def reset_input_buffer(self) -> None:
        """The client does not want what it has not got yet: what is still on the serial line."""
        self._end._to_host.clear()

    def reset_output_buffer(self) -> None:
        """Nothing waits on its way to the board."""


class _Manager(PortManager):
    """PortManager that tells when its byte-wise filter can be passed by."""

    @property
    def plain(self) -> bool:
        """Whether neither an escape nor an option is under way."""
        return self.mode == M_NORMAL and self.suboption is None


class _Connection:
    """Where PortManager writes its own messages: past the pacing, which is the serial line's."""

    def __init__(self, end: Rfc2217End) -> None:
        self._end = end

    def write(self, data: bytes) -> None:
        """Send to the network."""
        self._end._send(data)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        server = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise CommunodeError("virtual_port.address", host=host, port=port, reason=error) from error
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen()
        server.setblocking(False)
    except OSError as error:
        server.close()
        raise CommunodeError("virtual_port.address", host=host, port=port, reason=error.strerror) from error
    return server
