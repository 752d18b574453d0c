# SPDX-License-Identifier: MIT
"""The network server's thinking: an uplink goes in, events and at most one planned downlink come out.

No sockets and no gateways here: which gateway sends, and when exactly, is `server`'s business. Class A,
LoRaWAN 1.0.x. Source: L2 = TS001-1.0.4.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from communode.errors import CommunodeError
from communode.lns import adr, events, mac
from communode.lns.frames import (
    MAX_F_OPTS,
    DataFrame,
    FrameError,
    MType,
    data_is_authentic,
    message_type,
    open_payload,
)
from communode.lns.join import JoinRefused, JoinServer
from communode.lns.region import EU868, Region
from communode.lns.semtech import RxPacket, gps_ms_from_unix
from communode.lns.session import Device, Downlink, Session
from communode.lns.store import Store

Event = dict[str, Any]
_JOIN_DELAY_US = 5_000_000
_SECOND_US = 1_000_000
# A frame without payload names a port all the same, as public networks' do: Wireshark (4.0) calls a frame
# that ends after its FHDR malformed. TS001-1.0.4, 4.3.2 asks for FPort with a payload and allows it without.
_EMPTY_PORT = 1
_MAX_PORT = 223


@dataclass(frozen=True)
class Copy:
    """One uplink as one gateway heard it; ``received_s`` on the host's monotonic clock."""

    gateway: str
    packet: RxPacket
    received_s: float = 0.0


@dataclass(frozen=True)
class Window:
    """Where and when a downlink may go: ``delay_us`` after the end of the uplink."""

    name: str
    delay_us: int
    frequency_hz: int
    data_rate: int


@dataclass(frozen=True)
class Plan:
    """A downlink ready to be sent in one of ``windows``, best first; ``item`` is its queue item, or empty."""

    device: Device
    phy: bytes
    windows: tuple[Window, ...]
    fcnt: int | None = None
    item: str = ""
    confirmed: bool = False


@dataclass(frozen=True)
class NetworkSettings:
    """``rx1_delay_s`` 5 is what public networks use; 1 answers faster on a bench. ``adr`` None: off."""

    region: Region = EU868
    net_id: int = 0
    rx1_delay_s: int = 1
    adr: adr.AdrSettings | None = field(default_factory=adr.AdrSettings)


class Network:
    """Judges uplinks against ``store``. ``on_event`` gets every event; ``on_uplink`` gets each ``up`` event
    and returns the application's downlinks, which may still go into the windows of that uplink; ``on_heard``
    gets the DevEUI of each authentic uplink before anything is answered."""

    def __init__(
        self,
        store: Store,
        settings: NetworkSettings | None = None,
        *,
        on_event: Callable[[Event], None] | None = None,
        on_uplink: Callable[[Event], Iterable[Downlink]] | None = None,
        on_heard: Callable[[str], None] | None = None,
    ) -> None:
        self.store = store
        self.settings = settings or NetworkSettings()
        self._on_event = on_event
        self._on_uplink = on_uplink
        self._on_heard = on_heard or (lambda dev_eui: None)
        region = self.settings.region
        self._joins = JoinServer(
            store, region, net_id=self.settings.net_id, rx1_delay_s=self.settings.rx1_delay_s
        )

    def emit(self, event: Event) -> None:
        """Hand an event out."""
        if self._on_event:
            self._on_event(event)

    def enqueue(self, dev_eui: str, downlink: Downlink) -> str:
        """Queue application data; the item's name. CommunodeError ``network.bad_payload`` when it can never
        be sent, ``network.unknown_device``."""
        largest = max(self.settings.region.max_mac_payload) - 8
        if not 1 <= downlink.f_port <= _MAX_PORT:
            raise CommunodeError("network.bad_payload", usage=True, reason=f"FPort {downlink.f_port}")
        if len(downlink.payload) > largest:
            raise CommunodeError("network.bad_payload", usage=True, reason=f"{len(downlink.payload)} bytes")
        if self.store.device(dev_eui) is None:
            raise CommunodeError(
                "network.unknown_device", dev_eui=dev_eui, store=str(self.store.path or "memory")
            )
        return self.store.enqueue(dev_eui, downlink)

    def enqueue_commands(self, dev_eui: str, commands: bytes) -> None:
        """Queue raw MAC requests for the next downlink of a joined device."""
        session = self.store.session(dev_eui)
        if session is None:
            raise CommunodeError(
                "network.unknown_device", dev_eui=dev_eui, store=str(self.store.path or "memory")
            )
        session.queued_commands += commands
        self.store.save_session(session)

    def uplink(self, copies: list[Copy]) -> Plan | None:
        """Take one uplink, heard by one or more gateways; the downlink that should answer it, if any."""
        phy = copies[0].packet.payload
        try:
            kind = message_type(phy)
            if kind is MType.JOIN_REQUEST:
                return self._join(phy, copies)
            if kind in (MType.UNCONFIRMED_UP, MType.CONFIRMED_UP):
                return self._data(phy, DataFrame.from_wire(phy), copies)
        except FrameError:
            pass  # somebody else's, or noise that passed the CRC
        return None

    # --- join ---------------------------------------------------------------------------------------------

    def _join(self, phy: bytes, copies: list[Copy]) -> Plan | None:
        when = best(copies).packet.time or events.utc_now()
        uplink_rate = self.settings.region.data_rate_of(copies[0].packet.datr)
        if uplink_rate is None:
            return None
        try:
            accept, session = self._joins.answer(phy)
        except JoinRefused as refusal:
            if refusal.device:
                self.emit(events.log("ERROR", "OTAA", when, str(refusal), refusal.device))
            return None
        device = self.store.device(session.dev_eui)
        assert device is not None
        self.store.log_frame(when, device.dev_eui, "up", None, phy)
        self.store.log_frame(when, device.dev_eui, "down", None, accept)
        region = self.settings.region
        return Plan(
            device,
            accept,
            (
                Window("RX1", _JOIN_DELAY_US, copies[0].packet.frequency_hz, uplink_rate),
                Window("RX2", _JOIN_DELAY_US + _SECOND_US, region.rx2_hz, region.rx2_data_rate),
            ),
        )

    # --- data ---------------------------------------------------------------------------------------------

    def _data(self, phy: bytes, frame: DataFrame, copies: list[Copy]) -> Plan | None:
        rate = self.settings.region.data_rate_of(copies[0].packet.datr)
        if rate is None:
            return None
        sessions = self.store.sessions_of_address(frame.dev_addr)
        for session in sessions:
            fcnt = session.accepts(phy, frame)
            if fcnt is not None:
                self._on_heard(session.dev_eui)
                return self._accept(phy, frame, fcnt, session, copies)
        for session in sessions:
            if session.repeats(phy, frame):
                self._on_heard(session.dev_eui)
                return self._repeat(frame, session, copies)
        self._explain(phy, frame, sessions, copies)
        return None

    def _explain(self, phy: bytes, frame: DataFrame, sessions: list[Session], copies: list[Copy]) -> None:
        """Say why a frame with an address of ours was not accepted."""
        when = best(copies).packet.time or events.utc_now()
        for session in sessions:
            device = self.store.device(session.dev_eui)
            older = max(session.fcnt_up, 0) & ~0xFFFF | frame.fcnt
            if data_is_authentic(phy, frame, session.nwk_s_key, older):
                why = f"FCntUp {older} after {session.fcnt_up}: a replay, or the device lost its counter"
                self.emit(events.log("ERROR", "UPLINK_F_CNT_RESET", when, why, device))
                return
        if len(sessions) == 1:
            device = self.store.device(sessions[0].dev_eui)
            why = "MIC does not match: another device with this DevAddr, or a session that the device lost"
            self.emit(events.log("WARNING", "UPLINK_MIC", when, why, device))

    def _repeat(self, frame: DataFrame, session: Session, copies: list[Copy]) -> Plan | None:
        """The last frame again: nothing new for the application, but a lost ACK is given again."""
        device = self.store.device(session.dev_eui)
        assert device is not None
        when = best(copies).packet.time or events.utc_now()
        why = f"FCntUp {session.fcnt_up} was sent again"
        self.emit(events.log("INFO", "UPLINK_F_CNT_RETRANSMISSION", when, why, device))
        if not frame.confirmed:
            return None
        return self._downlink(device, session, copies, acknowledge=True, commands=b"", wanted=True)

    def _accept(
        self, phy: bytes, frame: DataFrame, fcnt: int, session: Session, copies: list[Copy]
    ) -> Plan | None:
        device = self.store.device(session.dev_eui)
        assert device is not None
        region = self.settings.region
        heard = best(copies)
        when = heard.packet.time or events.utc_now()
        name = events.deduplication_id(copies[0].gateway, copies[0].packet)
        rate = region.data_rate_of(heard.packet.datr) or 0
        payload = open_payload(frame, session.nwk_s_key, session.app_s_key, fcnt)
        session.remember(fcnt, heard.packet.snr_db, rate)
        now = mac.Circumstances(
            heard.packet.snr_db - region.data_rates[rate].required_snr_db,
            len({copy.gateway for copy in copies}),
            _gps_ms(copies),
        )
        commands = payload if frame.f_port == 0 else frame.f_opts
        answers, status = mac.take(session, commands, now)
        acked = session.ack_item
        session.ack_item = ""
        with self.store.transaction():
            if session.pending:
                self.store.activate(session)
                joined = events.join(device, when, name, session.dev_addr)
            else:
                self.store.save_session(session)
                joined = None
            self.store.log_frame(when, device.dev_eui, "up", fcnt, phy)
        if joined:
            self.emit(joined)
        if acked:
            self.emit(events.ack(device, when, name, acked, frame.ack, session.ack_fcnt))
        if status:
            self.emit(events.status(device, when, name, status))
        if frame.f_port:
            self._deliver(self._up(device, frame, fcnt, payload, copies))
            session = (
                self.store.session(device.dev_eui) or session
            )  # the application may have queued commands
        wanted = frame.confirmed or frame.adr_ack_req or bool(answers)
        if (
            frame.adr
            and self.settings.adr
            and not session.queued_commands
            and (wanted or adr.may_ask(session))
        ):
            session.queued_commands = adr.link_adr_request(session, region, self.settings.adr)
            if session.queued_commands:
                adr.note_asked(session)
        return self._downlink(
            device, session, copies, acknowledge=frame.confirmed, commands=answers, wanted=wanted
        )

    def _deliver(self, event: Event) -> None:
        """Hand an ``up`` event out; the application's answers join the queue at once."""
        self.emit(event)
        if not self._on_uplink:
            return
        dev_eui = event["deviceInfo"]["devEui"]
        for downlink in self._on_uplink(event):
            self.enqueue(dev_eui, downlink)

    def _up(self, device: Device, frame: DataFrame, fcnt: int, payload: bytes, copies: list[Copy]) -> Event:
        heard = best(copies)
        region = self.settings.region
        rate = region.data_rate_of(heard.packet.datr) or 0
        return {
            "event": "up",
            "deduplicationId": events.deduplication_id(copies[0].gateway, copies[0].packet),
            "time": heard.packet.time or events.utc_now(),
            "deviceInfo": events.device_info(device),
            "devAddr": f"{frame.dev_addr:08x}",
            "adr": frame.adr,
            "dr": rate,
            "fCnt": fcnt,
            "fPort": frame.f_port,
            "confirmed": frame.confirmed,
            "data": base64.b64encode(payload).decode(),
            "rxInfo": [events.rx_info(copy.gateway, copy.packet) for copy in copies],
            "txInfo": events.tx_info(
                heard.packet.frequency_hz, region.data_rates[rate], heard.packet.coding_rate
            ),
        }

    # --- downlink -----------------------------------------------------------------------------------------

    def _windows(self, session: Session, packet: RxPacket) -> tuple[Window, Window]:
        region = self.settings.region
        delay_us = session.rx1_delay_s * _SECOND_US
        rx1_hz = session.rx1_hz.get(str(packet.frequency_hz), packet.frequency_hz)
        rx1_rate = region.rx1_data_rate(region.data_rate_of(packet.datr) or 0, session.rx1_dr_offset)
        return (
            Window("RX1", delay_us, rx1_hz, rx1_rate),
            Window("RX2", delay_us + _SECOND_US, session.rx2_hz, session.rx2_data_rate),
        )

    def _downlink(
        self,
        device: Device,
        session: Session,
        copies: list[Copy],
        *,
        acknowledge: bool,
        commands: bytes,
        wanted: bool,
    ) -> Plan | None:
        """Build the answer to an uplink, or nothing when nobody wants one."""
        windows = self._windows(session, copies[0].packet)
        room = [self.settings.region.max_app_payload(window.data_rate) for window in windows]
        queue = self._sendable(device, max(room))
        if not (wanted or queue or session.queued_commands):
            return None
        requests = _whole(session.queued_commands, MAX_F_OPTS - len(commands))
        f_opts = commands + requests
        item = queue[0] if queue else None
        if item and len(item.payload) + len(f_opts) > max(room):
            item = None  # MAC answers first; FPending brings the device back for the data
        session.queued_commands = session.queued_commands[len(requests) :]
        session.sent_commands = requests or session.sent_commands
        fcnt = session.fcnt_down
        session.fcnt_down += 1
        confirmed = bool(item and item.confirmed)
        if confirmed and item:
            session.ack_item, session.ack_fcnt = item.item, fcnt
        left = len(queue) - bool(item)
        frame = DataFrame(
            MType.CONFIRMED_DOWN if confirmed else MType.UNCONFIRMED_DOWN,
            session.dev_addr,
            fcnt & 0xFFFF,
            adr=self.settings.adr is not None,
            ack=acknowledge,
            bit4=left > 0,
            f_opts=f_opts,
            f_port=item.f_port if item else _EMPTY_PORT,
            payload=item.payload if item else b"",
        )
        phy = frame.to_wire(session.nwk_s_key, session.app_s_key, fcnt)
        with self.store.transaction():
            self.store.save_session(session)
            self.store.log_frame(
                best(copies).packet.time or events.utc_now(), device.dev_eui, "down", fcnt, phy
            )
        used = len(f_opts) + len(frame.payload)
        fitting = tuple(window for window, size in zip(windows, room, strict=True) if used <= size)
        return Plan(device, phy, fitting, fcnt, item.item if item else "", confirmed)

    def _sendable(self, device: Device, room: int) -> list[Downlink]:
        """The queue without what cannot be sent at the present data rates, which is dropped and reported."""
        queue = self.store.queue(device.dev_eui)
        for downlink in [entry for entry in queue if len(entry.payload) > room]:
            why = f"{len(downlink.payload)} bytes do not fit, at most {room} at these data rates; dropped"
            self.emit(events.log("ERROR", "DOWNLINK_PAYLOAD_SIZE", events.utc_now(), why, device))
            self.store.dequeue(downlink.item)
        return [entry for entry in queue if len(entry.payload) <= room]


def best(copies: list[Copy]) -> Copy:
    """The copy with the highest SNR."""
    return max(copies, key=lambda copy: copy.packet.snr_db)


def _whole(commands: bytes, room: int) -> bytes:
    """As many whole MAC requests from the front as fit into ``room``; raw bytes that are no known command
    go as they are."""
    taken = 0
    for _, payload in mac.split(commands, mac.DOWNLINK_LENGTHS):
        if taken + 1 + len(payload) > room:
            return commands[:taken]
        taken += 1 + len(payload)
    return commands[: max(taken, min(len(commands), room))]


def _gps_ms(copies: list[Copy]) -> int:
    """GPS time at the end of the uplink: a gateway's, else the host's (late by the way to here)."""
    for copy in copies:
        if copy.packet.gps_ms is not None:
            return copy.packet.gps_ms
    return gps_ms_from_unix(time.time())
