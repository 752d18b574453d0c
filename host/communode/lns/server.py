# SPDX-License-Identifier: MIT
"""The bench server's front: gateways over Semtech UDP on one side, `Network` on the other.

Two ways to deduplicate. With ``dedup_ms`` 0 (a bench in virtual time) the first copy of an uplink is
answered at once, and the PULL_RESP leaves before the PUSH_ACK; later copies are dropped. Otherwise (real
gateways) copies are collected for that long and the gateway with the best SNR sends.

The protocol authenticates nobody: listen on loopback or on a network that you trust.
Source: PF = PROTOCOL.TXT of Lora-net/packet_forwarder v4.0.1.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from communode.errors import CommunodeError
from communode.lns import events
from communode.lns.airtime import time_on_air_us
from communode.lns.duty import DutyLedger
from communode.lns.network import Copy, Event, Network, NetworkSettings, Plan, Window
from communode.lns.semtech import MAX_DATAGRAM, Datagram, DatagramError, Kind, RxPacket, TxPacket
from communode.lns.session import Downlink
from communode.lns.store import Store

Address = tuple[str, int]
_COUNTER = 1 << 32
_GUARD_US = 40_000  # between two downlinks of a gateway: what its queue keeps free, and some
_LATEST_S = 0.1  # a downlink that leaves here later than this before its time would not make it
_SAME_MS = 1_500  # copies of one uplink; a retransmission comes 2 s later at the earliest
_MAX_IN_FLIGHT = 1024
_MAX_GATEWAYS = 256


@dataclass
class GatewayLink:
    """A gateway: where it listens for downlinks, which times on its counter are taken, how much it sent."""

    address: Address
    duty: DutyLedger
    booked: list[tuple[int, int]] = field(default_factory=list)  # start, length in us


@dataclass
class Flight:
    """A downlink on its way, and what remains to be tried when the gateway refuses it."""

    plan: Plan
    options: list[tuple[Window, Copy]]
    window: Window
    copy: Copy


@dataclass
class Gathering:
    """Copies of one uplink, until ``due_s`` on the monotonic clock."""

    due_s: float
    copies: list[Copy]


class Server:
    """A network server without a thread: feed it datagrams with `handle` and time with `tick`.

    ``send`` gets datagrams and addresses. Safe to call from several threads.
    """

    def __init__(
        self,
        store: Store,
        send: Callable[[bytes, Address], None],
        settings: NetworkSettings | None = None,
        *,
        dedup_ms: int = 0,
        on_event: Callable[[Event], None] | None = None,
        on_uplink: Callable[[Event], Iterable[Downlink]] | None = None,
    ) -> None:
        self.network = Network(
            store, settings, on_event=on_event, on_uplink=on_uplink, on_heard=self._assume_sent
        )
        self.rejected = 0  # datagrams and packets that made no sense
        self._lock = threading.RLock()
        self._send = send
        self._dedup_ms = dedup_ms
        self._gateways: dict[str, GatewayLink] = {}
        self._gathering: dict[bytes, Gathering] = {}
        self._seen: dict[bytes, float] = {}
        self._flights: dict[tuple[str, int], Flight] = {}
        self._token = 0

    @property
    def gateways(self) -> list[str]:
        """EUIs of the gateways that can send."""
        return sorted(self._gateways)

    def enqueue(self, dev_eui: str, f_port: int, payload: bytes, confirmed: bool = False) -> str:
        """Queue application data for the device's next downlink; the item's name in events."""
        with self._lock:
            return self.network.enqueue(dev_eui, Downlink(f_port, payload, confirmed))

    def enqueue_commands(self, dev_eui: str, commands: bytes) -> None:
        """Queue raw MAC requests for the device's next downlink."""
        with self._lock:
            self.network.enqueue_commands(dev_eui, commands)

    def handle(self, data: bytes, address: Address) -> None:
        """Take one datagram. Whatever it holds, nothing but its own effect happens."""
        with self._lock:
            try:
                datagram = Datagram.from_wire(data)
            except DatagramError:
                self.rejected += 1
                return
            if datagram.kind is Kind.PUSH_DATA:
                self._take_uplinks(datagram)
                self._send(Datagram(Kind.PUSH_ACK, datagram.token, "", {}).to_wire(), address)
            elif datagram.kind is Kind.PULL_DATA:
                self._know(datagram.gateway, address)
                self._send(Datagram(Kind.PULL_ACK, datagram.token, "", {}).to_wire(), address)
            elif datagram.kind is Kind.TX_ACK:
                self._settle(datagram)
            else:
                self.rejected += 1

    def tick(self) -> float:
        """Answer uplinks whose copies are in; seconds until the next call is worth while."""
        with self._lock:
            now_s = time.monotonic()
            for key in [key for key, gathering in self._gathering.items() if gathering.due_s <= now_s]:
                self._answer(self._gathering.pop(key).copies)
            due = min((gathering.due_s for gathering in self._gathering.values()), default=now_s + 0.5)
            return max(0.0, due - now_s)

    # --- up -----------------------------------------------------------------------------------------------

    def _know(self, gateway: str, address: Address) -> None:
        link = self._gateways.get(gateway)
        if link:
            link.address = address
            return
        if len(self._gateways) >= _MAX_GATEWAYS:
            del self._gateways[next(iter(self._gateways))]
        self._gateways[gateway] = GatewayLink(address, DutyLedger(self.network.settings.region))

    def _take_uplinks(self, datagram: Datagram) -> None:
        packets = datagram.body.get("rxpk", [])
        if not isinstance(packets, list):
            self.rejected += 1
            return
        for element in packets:
            try:
                packet = RxPacket.from_json(element)
            except DatagramError:
                self.rejected += 1
                continue
            if packet.crc_status == 1:
                self._gather(Copy(datagram.gateway, packet, time.monotonic()))

    def _gather(self, copy: Copy) -> None:
        key = copy.packet.payload
        gathering = self._gathering.get(key)
        if gathering:
            if all(known.gateway != copy.gateway for known in gathering.copies):
                gathering.copies.append(copy)
            return
        moment_ms = _moment_ms(copy)
        if abs(moment_ms - self._seen.get(key, -1e18)) < _SAME_MS:
            return
        self._seen[key] = moment_ms
        while len(self._seen) > _MAX_IN_FLIGHT:
            del self._seen[next(iter(self._seen))]
        if self._dedup_ms:
            self._gathering[key] = Gathering(copy.received_s + self._dedup_ms / 1000, [copy])
        else:
            self._answer([copy])

    def _answer(self, copies: list[Copy]) -> None:
        plan = self.network.uplink(copies)
        if plan is None:
            return
        heard = sorted(copies, key=lambda copy: -copy.packet.snr_db)
        self._launch(plan, [(window, copy) for window in plan.windows for copy in heard])

    # --- down ---------------------------------------------------------------------------------------------

    def _launch(self, plan: Plan, options: list[tuple[Window, Copy]]) -> None:
        """Send in the first window that is not past and that a gateway has free; report when none is."""
        while options:
            window, copy = options.pop(0)
            link = self._gateways.get(copy.gateway)
            elapsed_s = time.monotonic() - copy.received_s if self._dedup_ms else 0.0
            if link is None or window.delay_us / 1e6 - elapsed_s < _LATEST_S:
                continue
            packet = self._packet(plan, window, copy)
            if not self._book(link, copy, packet):
                continue
            self._token = self._token % 0xFFFF + 1
            self._flights[copy.gateway, self._token] = Flight(plan, options, window, copy)
            while len(self._flights) > _MAX_IN_FLIGHT:
                del self._flights[next(iter(self._flights))]
            self._send(Datagram(Kind.PULL_RESP, self._token, "", packet.to_json()).to_wire(), link.address)
            return
        self._fail(plan, "no gateway is free, in time and within its duty cycle for RX1 or RX2")

    def _packet(self, plan: Plan, window: Window, copy: Copy) -> TxPacket:
        region = self.network.settings.region
        rate = region.data_rates[window.data_rate]
        return TxPacket(
            payload=plan.phy,
            frequency_hz=window.frequency_hz,
            spreading_factor=rate.spreading_factor,
            bandwidth_hz=rate.bandwidth_hz,
            power_dbm=region.downlink_power_dbm(window.frequency_hz),
            tmst_us=(copy.packet.tmst_us + window.delay_us) % _COUNTER,
        )

    def _book(self, link: GatewayLink, copy: Copy, packet: TxPacket) -> bool:
        """Reserve the gateway's transmitter; False when it is taken, or has sent enough this hour."""
        assert packet.tmst_us is not None
        airtime_us = time_on_air_us(
            packet.spreading_factor, packet.bandwidth_hz, len(packet.payload), crc=packet.crc
        )
        if not link.duty.allows(packet.frequency_hz, airtime_us, _moment_ms(copy)):
            return False
        length_us, half, now_tmst = _GUARD_US + airtime_us, _COUNTER // 2, copy.packet.tmst_us
        link.booked = [
            (start, length) for start, length in link.booked if (start + length - now_tmst) % _COUNTER < half
        ]
        for start, length in link.booked:
            if (packet.tmst_us - start) % _COUNTER < length or (
                start - packet.tmst_us
            ) % _COUNTER < length_us:
                return False
        link.booked.append((packet.tmst_us, length_us))
        link.duty.spend(packet.frequency_hz, airtime_us, _moment_ms(copy))
        return True

    def _settle(self, datagram: Datagram) -> None:
        """A gateway says what became of a downlink."""
        flight = self._flights.pop((datagram.gateway, datagram.token), None)
        if flight is None:
            self.rejected += 1
            return
        verdict = datagram.body.get("txpk_ack", {})
        error = str(verdict.get("error", "NONE")) if isinstance(verdict, dict) else "NONE"
        if error == "NONE":
            self._sent(flight)
            return
        link = self._gateways.get(datagram.gateway)
        start = (flight.copy.packet.tmst_us + flight.window.delay_us) % _COUNTER
        if link:
            link.booked = [entry for entry in link.booked if entry[0] != start]
            link.duty.refund(flight.window.frequency_hz)
        if flight.options:
            self._launch(flight.plan, flight.options)
        else:
            self._fail(flight.plan, f"gateway {datagram.gateway} refused it: {error[:32]}")

    def _sent(self, flight: Flight) -> None:
        plan = flight.plan
        if plan.item:
            self.network.store.dequeue(plan.item)
        region = self.network.settings.region
        rate = region.data_rates[flight.window.data_rate]
        self.network.emit(
            {
                "event": "txack",
                "downlinkId": plan.fcnt if plan.fcnt is not None else 0,
                "time": flight.copy.packet.time,
                "deviceInfo": events.device_info(plan.device),
                "queueItemId": plan.item,
                "fCntDown": plan.fcnt if plan.fcnt is not None else 0,
                "gatewayId": flight.copy.gateway,
                "txInfo": events.tx_info(flight.window.frequency_hz, rate),
                "window": flight.window.name,
            }
        )

    def _assume_sent(self, dev_eui: str) -> None:
        """Forwarders of protocol version 1 send no TX_ACK: what they got before counts as sent."""
        for key in [key for key, flight in self._flights.items() if flight.plan.device.dev_eui == dev_eui]:
            self._sent(self._flights.pop(key))

    def _fail(self, plan: Plan, why: str) -> None:
        """The downlink was not sent; queued data stays queued, its counter stays used."""
        self.network.emit(events.log("ERROR", "DOWNLINK_GATEWAY", events.utc_now(), why, plan.device))


def _moment_ms(copy: Copy) -> float:
    """When an uplink ended: by GPS where the gateway has it, for virtual time outruns the host's clock."""
    gps_ms = copy.packet.gps_ms
    return float(gps_ms) if gps_ms is not None else copy.received_s * 1000


class ServerThread:
    """A `Server` on a UDP socket in a thread of its own.

    ``bind`` is (host, port), port 0 for any; ``address`` says which it became. Use as a context manager, or
    `start` and `stop`. CommunodeError ``network.bind_failed`` when the address cannot be had.
    """

    def __init__(
        self,
        store: Store,
        settings: NetworkSettings | None = None,
        *,
        bind: Address = ("127.0.0.1", 0),
        dedup_ms: int = 0,
        on_event: Callable[[Event], None] | None = None,
        on_uplink: Callable[[Event], Iterable[Downlink]] | None = None,
    ) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind(bind)
        except OSError as error:
            self._socket.close()
            raise CommunodeError(
                "network.bind_failed", address=f"{bind[0]}:{bind[1]}", reason=error.strerror or str(error)
            ) from None
        self._socket.setblocking(False)
        self.address: Address = self._socket.getsockname()
        self.server = Server(
            store, self._send, settings, dedup_ms=dedup_ms, on_event=on_event, on_uplink=on_uplink
        )
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="bench-server", daemon=True)
        self._failure: BaseException | None = None

    @property
    def running(self) -> bool:
        """Whether the thread serves."""
        return self._thread.is_alive()

    def start(self) -> Address:
        """Begin to serve; the address."""
        self._thread.start()
        return self.address

    def stop(self) -> None:
        """Stop serving. An exception that ended the thread, say from ``on_uplink``, is raised here."""
        self._wake.send(b"\x00")
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        for end in (self._socket, self._wake, self._woken):
            end.close()
        if self._failure:
            raise self._failure

    def __enter__(self) -> ServerThread:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _send(self, data: bytes, address: Address) -> None:
        try:
            self._socket.sendto(data, address)
        except OSError:
            self.server.rejected += 1  # a gateway that is gone, or a forged source address

    def _run(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ)
                selector.register(self._woken, selectors.EVENT_READ)
                while True:
                    ready = selector.select(self.server.tick())
                    if any(key.fileobj is self._woken for key, _ in ready):
                        return
                    self._drain()
        except BaseException as error:  # not swallowed: `stop` raises it in the caller's thread
            self._failure = error

    def _drain(self) -> None:
        while True:
            try:
                data, address = self._socket.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                continue  # the echo of a datagram that could not be delivered
            self.server.handle(data, address)
