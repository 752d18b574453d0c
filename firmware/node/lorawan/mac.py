# SPDX-License-Identifier: MIT
# The LoRaWAN 1.0.4 class A MAC: a state machine without I/O. Pure.
#
#   mac = Mac(REGION, aes, dev_eui, join_eui, app_key, antenna_gain_db)      REGION of region/eu868.py, ...
#   mac.restore(flash_record, cache_record, now_ms)                          once; None where there is none
#   mac.join(now_ms), mac.uplink(now_ms, f_port, payload), mac.repeat(now_ms)  -> Plan, or Wait(ms)
#   mac.receive(plan, wire, data_rate, snr_quarter_db, sent_ms)                -> Downlink, Joined, or None
#   mac.finish(now_ms), mac.close()          after the last window of a plan, after the last repetition
#   mac.flash_record(now_ms), mac.cache_record(now_ms)                        what to write before and after
#
# It answers what to do and never does it: runner.py writes records, drives the modem and keeps time. Of a
# plan, `commit` says that flash must hold the record before the transmission starts; the counter in the plan
# is then already used up, so whatever happens to the power, no counter and no DevNonce is used twice. A frame
# that `receive` answers with None has changed nothing (`rejection` says why).
# Times are ms of the clock handed to the runner (it includes sleep); EUIs are 8 bytes as people write them.
# Not here: class B and C, multicast.
# Sources: L2 = TS001-1.0.4; RP = RP002-1.0.4; TR007-1.1 (joining, lost networks).

from micropython import const

from ..radio.airtime import time_on_air_us
from . import backoff, channels, commands, crypto, frame
from .exchange import Downlink, Joined, MacError, Plan, Wait
from .session import FCNT_BLOCK, Session, sequence_of

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .region.plan import Region

# RP 2.2 (RECEIVE_DELAY2 is one second after RECEIVE_DELAY1, JOIN_ACCEPT_DELAY2 likewise)
_JOIN_DELAY_S = const(5)
# The first join-request comes at a random moment of this span: nodes get power together, not at random.
_FIRST_JOIN_SPREAD_MS = const(4000)


class Mac:
    """See the head of this file. Write only `battery`, `min_power_dbm` and what has a setter."""

    def __init__(
        self,
        region: "Region",
        aes: "crypto.Cipher",
        dev_eui: bytes,
        join_eui: bytes,
        app_key: bytes,
        antenna_gain_db: int = 0,
    ) -> None:
        self.region = region
        self.join_eui = join_eui
        self.antenna_gain_db = antenna_gain_db  # less feeder loss, rounded up
        self.battery = 255  # of DevStatusAns: 0 mains, 1..254 empty to full, 255 cannot tell
        self.min_power_dbm = -128  # of the modem; the runner sets it
        self.link_check: tuple[int, int] | None = None  # margin in dB, gateways
        self.device_time: tuple[int, int, int] | None = None  # GPS s, 1/256 s, clock ms of that instant
        self.duty_cycle = True  # False only in a test laboratory (certification.py)
        self.rejection = ""  # why the last frame was not taken
        self.cached = True  # False: there is flash alone, and it must always be exact
        self.session = Session(region, dev_eui)
        self._aes = aes
        self._root = aes(app_key)
        self._security: frame.Security | None = None
        self._requests = b""  # MAC commands of the next uplink
        self._asked = b""  # those of the last one
        self._wire = b""
        self._data_rate = 0
        self._left = 0  # repetitions
        self._confirmed = False
        self._heard = False
        self._joining = False
        self._flushed = False
        self._random = 1

    # --- state ------------------------------------------------------------------------------------------

    def restore(self, flash: "bytes | None", cache: "bytes | None", now_ms: int) -> None:
        """Take up the state of a store; None, damaged or foreign records are a new node."""
        session = self.session
        kept = sequence_of(flash, session.dev_eui)
        if flash and kept >= 0:
            exact = cache is not None and sequence_of(cache, session.dev_eui) == kept
            session.load(cache if exact and cache else flash, exact, now_ms)
        else:
            session.offset_ms = -now_ms
        self._rekey()

    def flash_record(self, now_ms: int) -> bytes:
        """The next record for flash. If writing it fails, nothing may be sent until a later one is safe."""
        session = self.session
        session.sequence = session.sequence + 1 & 0xFFFFFFFF
        session.ledger.committed()
        return session.to_bytes(now_ms, not self.cached)

    def cache_record(self, now_ms: int) -> bytes:
        """The exact record, for memory that lives through deep sleep; it belongs to the last flash record."""
        return self.session.to_bytes(now_ms, True)

    def personalize(self, dev_addr: int, nwk_s_key: bytes, app_s_key: bytes) -> None:
        """Activation by personalisation, for the bench: counters start at 0, so a key pair serves once."""
        self._start_session(dev_addr, nwk_s_key, app_s_key)

    def seed(self, number: int) -> None:
        """Seed channel choice and random delays: differently on each node and at each boot."""
        session = self.session
        mixed = int.from_bytes(session.dev_eui, "big") ^ session.dev_nonce << 17 ^ session.fcnt_up
        self._random = (mixed ^ mixed >> 32 ^ number) & 0xFFFFFFFF or 1

    def draw(self, bound: int) -> int:
        """A pseudo-random number below ``bound`` (xorshift32)."""
        number = self._random
        number ^= number << 13 & 0xFFFFFFFF
        number ^= number >> 17
        number ^= number << 5 & 0xFFFFFFFF
        self._random = number
        return number % bound

    def set_adr(self, enabled: bool, data_rate: "int | None" = None) -> None:
        """Let the network choose rate and power, or not; ``data_rate`` sets the rate of the next uplinks."""
        self.session.adr = enabled
        region = self.region
        if data_rate is not None and region.supporting(self.session, region.defined(self.session), data_rate):
            self.session.data_rate = data_rate
        if not enabled:  # L2 4.3.1.1: the default power
            self.session.power_index = 0

    def request_link_check(self) -> None:
        """Add LinkCheckReq to the next uplink; the answer will be in `link_check`."""
        self._request(commands.LINK_CHECK)

    def request_device_time(self) -> None:
        """Add DeviceTimeReq to the next uplink; the answer will be in `device_time`."""
        self._request(commands.DEVICE_TIME)

    def take_device_time(self, gps_s: int, fraction: int, sent_ms: int) -> None:
        """DeviceTimeAns (commands.py): the time at the end of the uplink that asked."""
        if commands.DEVICE_TIME in self._asked:
            self.device_time = (gps_s, fraction, sent_ms)

    def power_dbm(self, power_index: int, frequency_hz: int) -> int:
        """Conducted power of a TXPower index; ``frequency_hz`` 0: on any frequency."""
        return self.region.eirp_dbm(self.session, power_index, frequency_hz) - self.antenna_gain_db

    def can_send_at(self, power_index: int) -> bool:
        """Whether the radio can go down to this TXPower index (L2 5.2)."""
        return self.power_dbm(power_index, 0) >= self.min_power_dbm

    def max_payload(self) -> int:
        """Longest application payload of the next uplink, with the MAC commands that must go with it."""
        session = self.session
        room = self.region.payload_limit(session, session.data_rate) - 8
        size = len(session.answers) + len(self._requests)
        return room - size if size <= min(frame.MAX_F_OPTS, room) else room

    def longest_ms(self) -> int:
        """Time on air of the longest frame at the present data rate."""
        session, region = self.session, self.region
        size = region.payload_limit(session, session.data_rate) + 5  # MHDR and MIC
        return time_on_air_us(channels.parameters(region, 0, session.data_rate, False), size) // 1000 + 1

    # --- what to send -----------------------------------------------------------------------------------

    def join(self, now_ms: int) -> "Plan | Wait":
        """Plan the next join-request. Raises MacError ``dev_nonce_exhausted``."""
        session = self.session
        now = session.time_ms(now_ms)
        if session.dev_nonce > 0xFFFF:
            raise MacError("dev_nonce_exhausted")
        if not session.join_epoch_ms:
            session.join_epoch_ms = max(now, 1)
            session.join_attempts = session.join_period = session.join_airtime_ms = 0
            if not session.joined:
                session.quiet_until_ms = max(session.quiet_until_ms, now + self.draw(_FIRST_JOIN_SPREAD_MS))
        mask, data_rate = self.region.joining(session)
        wire = frame.build_join_request(self._root, self.join_eui, session.dev_eui, session.dev_nonce)
        plan = channels.plan_on(self, mask, wire, data_rate, now, True)
        if isinstance(plan, Wait):
            return plan
        held = backoff.join_wait_ms(session, now, plan.airtime_us // 1000 + 1)
        if held:
            return Wait(held, "join_backoff")
        plan.rx1_delay_us = _JOIN_DELAY_S * 1000000
        session.dev_nonce += 1
        session.join_attempts = session.join_attempts + 1 & 0xFFFF
        session.join_airtime_ms += plan.airtime_us // 1000 + 1
        self._book(plan, now)
        plan.commit = True
        self._left = 0
        self._confirmed = self._heard = False
        return plan

    def uplink(
        self, now_ms: int, f_port: "int | None", payload: bytes = b"", confirmed: bool = False
    ) -> "Plan | Wait":
        """Plan a new data frame; ``f_port`` None sends none, only what the MAC has to say. Raises MacError.

        When MAC answers leave no room, a frame with them comes first: then the plan is not `complete`, and
        the same call is to be made again after it.
        """
        session = self.session
        security = self._security
        if not session.joined or security is None:
            raise MacError("not_joined")
        if payload if f_port is None else not 1 <= f_port <= 224:
            raise MacError("bad_port")
        room = self.region.payload_limit(session, session.data_rate) - 8
        if len(payload) > room:
            raise MacError("payload_too_long")
        if session.fcnt_up >= 0xFFFFFFFF:
            raise MacError("counter_exhausted")
        options = session.answers + self._requests
        if self._flushed:  # they have been sent once: now the payload goes, with what fits beside it
            options = commands.fitting(options, min(frame.MAX_F_OPTS, room - len(payload)))
        complete = len(options) <= frame.MAX_F_OPTS and len(options) + len(payload) <= room
        if not complete:
            options = commands.fitting(options, room)
            f_port, payload, confirmed = None, b"", False
        if len(options) > frame.MAX_F_OPTS:
            f_port, payload = 0, options
        f_opts = options if f_port != 0 else b""
        f_ctrl = session.adr * frame.ADR | session.ack_pending * frame.ACK
        if session.adr and session.adr_ack_cnt >= backoff.ADR_ACK_LIMIT:
            f_ctrl |= frame.ADR_ACK_REQ
        m_hdr = frame.CONFIRMED_UP if confirmed else frame.UNCONFIRMED_UP
        # Built before it is known whether it may go: a frame that has to wait changes nothing.
        fcnt = session.fcnt_up
        wire = frame.build_data(security, m_hdr, f_ctrl, fcnt, f_opts, f_port, payload)
        plan = self._data_plan(wire, session.data_rate, now_ms)
        if isinstance(plan, Wait):
            return plan
        session.fcnt_up = fcnt + 1
        if session.fcnt_up > session.fcnt_ceiling:
            session.fcnt_ceiling = min(fcnt + FCNT_BLOCK, 0xFFFFFFFF) if self.cached else session.fcnt_up
            plan.commit = True
        session.ack_pending = False
        session.answers = commands.sticky(session.answers)
        self._asked, self._requests = self._requests, b""
        plan.complete = complete
        self._flushed = not complete
        self._wire, self._data_rate = wire, session.data_rate
        self._left = session.nb_trans - 1
        self._confirmed = confirmed
        self._heard = False
        return plan

    def repeat(self, now_ms: int) -> "Plan | Wait | None":
        """Plan the next repetition of the last data frame (NbTrans, L2 4.3.1.3); None when there is none."""
        if self._left <= 0 or self._heard:
            return None
        plan = self._data_plan(self._wire, self._data_rate, now_ms)
        if not isinstance(plan, Wait):
            self._left -= 1
        return plan

    def finish(self, now_ms: int) -> None:
        """After the windows of a plan: how long to be quiet when nobody answered."""
        session = self.session
        if self._heard:
            return
        now = session.time_ms(now_ms)
        if self._joining:
            pause = backoff.join_pause_ms(session)
            session.quiet_until_ms = max(session.quiet_until_ms, now + pause + self.draw(pause))
        elif self._confirmed:  # RETRANSMIT_TIMEOUT, RP 2.2
            session.quiet_until_ms = max(session.quiet_until_ms, now + 1000 + self.draw(2000))

    def close(self) -> None:
        """After the last repetition of an uplink, sent or given up: the ADR back-off."""
        self._left = 0
        if not self._heard:
            backoff.step_down(self.session)

    # --- what was received ------------------------------------------------------------------------------

    def receive(
        self, plan: Plan, wire: bytes, data_rate: int, snr_quarter_db: int, sent_ms: int
    ) -> "Downlink | Joined | None":
        """Judge a packet of a window opened for ``plan``; ``data_rate`` is that window's, ``sent_ms`` the
        clock at the end of the uplink. Flash must hold the new record before the result is acted upon."""
        self.rejection = ""
        try:
            if plan.joining:
                return self._receive_accept(plan, wire)
            return self._receive_data(wire, data_rate, snr_quarter_db, sent_ms)
        except frame.FrameError as error:
            self.rejection = error.code
            return None

    def _receive_accept(self, plan: Plan, wire: bytes) -> Joined:
        session = self.session
        region = self.region
        accept = frame.open_join_accept(self._root, wire)
        if accept.join_nonce < session.join_nonce:
            raise frame.FrameError("join_nonce")
        offset, rx2_data_rate = accept.dl_settings >> 4 & 7, accept.dl_settings & 15
        if offset > region.max_rx1_dr_offset or not region.downlink_rate(rx2_data_rate):
            raise frame.FrameError("settings")
        nonces = (accept.join_nonce, accept.net_id, session.dev_nonce - 1)
        nwk_s_key = crypto.session_key(self._root, crypto.NWK_S_KEY, *nonces)
        app_s_key = crypto.session_key(self._root, crypto.APP_S_KEY, *nonces)
        self._start_session(accept.dev_addr, nwk_s_key, app_s_key)
        session.join_nonce = accept.join_nonce + 1
        session.join_epoch_ms = session.join_attempts = 0
        session.data_rate = plan.data_rate
        session.rx_delay = accept.rx_delay
        session.rx1_dr_offset = offset
        session.rx2_data_rate = rx2_data_rate
        region.take_cf_list(session, accept.cf_list)
        self._heard = True
        return Joined()

    def _receive_data(self, wire: bytes, data_rate: int, snr_quarter_db: int, sent_ms: int) -> Downlink:
        session = self.session
        security = self._security
        if not wire or wire[0] not in (frame.UNCONFIRMED_DOWN, frame.CONFIRMED_DOWN) or security is None:
            raise frame.FrameError("type")
        if len(wire) - 5 > self.region.max_mac_payload[data_rate]:
            raise frame.FrameError("too_long")
        data = frame.open_data(security, wire, session.fcnt_down)
        session.fcnt_down = data.fcnt + 1
        session.adr_ack_cnt = 0
        session.lost = False
        session.ack_pending = data.confirmed
        f_port, payload = data.f_port, data.payload
        orders = data.f_opts
        if f_port == 0:
            orders, f_port, payload = payload, None, b""
        session.answers = commands.execute(self, orders, snr_quarter_db, sent_ms)
        self._left = 0
        self._heard = True
        acked = self._confirmed and bool(data.f_ctrl & frame.ACK)
        return Downlink(f_port, payload, acked, bool(data.f_ctrl & frame.F_PENDING))

    # --- inside -----------------------------------------------------------------------------------------

    def _rekey(self) -> None:
        session = self.session
        if session.joined:
            nwk, app = self._aes(session.nwk_s_key), self._aes(session.app_s_key)
            self._security = frame.Security(session.dev_addr, nwk, app)

    def _start_session(self, dev_addr: int, nwk_s_key: bytes, app_s_key: bytes) -> None:
        session = self.session
        session.forget_network()
        session.joined = True
        session.dev_addr = dev_addr
        session.nwk_s_key = nwk_s_key
        session.app_s_key = app_s_key
        self._requests = self._asked = b""
        self._rekey()

    def _request(self, cid: int) -> None:
        if cid not in self._requests:
            self._requests += bytes((cid,))

    def _data_plan(self, wire: bytes, data_rate: int, now_ms: int) -> "Plan | Wait":
        session = self.session
        now = session.time_ms(now_ms)
        mask = self.region.supporting(session, session.mask, data_rate)
        if not mask:  # the rate was chosen by the application: use what the plan has for it
            mask = self.region.supporting(session, self.region.defined(session), data_rate)
        plan = channels.plan_on(self, mask, wire, data_rate, now, False)
        if not isinstance(plan, Wait):
            plan.rx1_delay_us = session.rx_delay * 1000000
            self._book(plan, now)
        return plan

    def _book(self, plan: Plan, now: int) -> None:
        session = self.session
        self._joining = plan.joining
        plan.rx2_delay_us = plan.rx1_delay_us + 1000000
        band = self.region.band(plan.uplink.frequency_hz)
        if (band >= 0 and session.ledger.book(band, plan.airtime_us, now)) or not self.cached:
            plan.commit = True
        if session.max_duty_cycle:  # L2 5.3: the silence after a frame; written down before the frame
            silence_us = plan.airtime_us << session.max_duty_cycle
            session.quiet_until_ms = now + silence_us // 1000 + 1
            plan.commit = True
