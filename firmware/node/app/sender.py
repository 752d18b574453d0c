# SPDX-License-Identifier: MIT
# Joining, and getting records to the server: what goes into the next frame, what a downlink settles. Pure.
#
# Not here: the MAC and the radio (lorawan/runner.py), which records are missing (storage/delivery.py).

from micropython import const

from ..codec import downlink, uplink
from ..codec.record import UNSYNCED, lost_record

_FRAMES = const(4)  # most frames a waking
_LEAST_RETRY_MS = const(1000)
_RATE_PATIENCE = const(1)
_SPARE_QUARTER_DB = const(60)  # 15 dB: installation, weather, and that the way up may be worse


class Sender:
    """Sends from `journal` over `runner`, minding `delivery` and the time of `keeper`.

    `on_heard()` is called for every downlink, before its payload is looked at; `on_downlink(f_port, payload)`
    gets what is not ours; `on_settled()` is called when an answer changed the delivery state, which is then
    worth a write to flash; `on_jump()` when the network's time is not where the node's drift can have brought
    it. `wants_downlink()`: whether any answer is worth asking for.
    """

    def __init__(self, runner, journal, delivery, keeper, profile_id: int) -> None:  # type: ignore[no-untyped-def]
        self.runner = runner
        self.journal = journal
        self.delivery = delivery
        self.keeper = keeper
        self.profile_id = profile_id
        self.airtime_ms = 0
        self.on_downlink = _ignore
        self.on_heard = _nothing
        self.on_settled = _nothing
        self.on_jump = _nothing
        self.wants_downlink = _no

    @property
    def joined(self) -> bool:
        """Whether there is a session that the network still answers."""
        session = self.runner.mac.session
        return bool(session.joined and not session.lost)

    def join(self, now_ms: int) -> bool:
        """One attempt, where it is allowed by now; whether the node is joined."""
        memory = self.keeper.memory
        if not self.joined:
            if now_ms < memory.retry_ms:
                return False
            outcome = self.runner.join()
            self._report("join", outcome)
            if outcome.code == "joined" and outcome.window == 1:
                self._begin_faster(outcome.snr_quarter_db)
        if self.joined:
            self.delivery.frame_ms = self.runner.mac.longest_ms()
            return True
        memory.retry_ms = now_ms + max(_LEAST_RETRY_MS, outcome.wait_ms)
        return False

    def send(self, clock) -> None:  # type: ignore[no-untyped-def]
        """Send what is to be sent, as far as duty cycle, fair use and this waking's share of frames allow."""
        delivery, mac = self.delivery, self.runner.mac
        asked = False
        for number in range(_FRAMES):
            now_ms, next_id = clock.now_ms(), self.journal.next_id
            # An answer speaks of what is older than the frame that asked: once a waking, and with what is new.
            may_ask = not asked and delivery.may_ask(now_ms)
            ask = may_ask and delivery.wants_answer(next_id)
            holds = not ask and delivery.holds(next_id)
            if not delivery.may_send(now_ms, backlog=number > 0 or holds):
                if not number and not holds:
                    print("send waits: the day's airtime is used up")
                return
            check = may_ask and (self.wants_downlink() or self.keeper.is_due(now_ms))
            if ask or check or not self.keeper.known:
                mac.request_device_time()  # before asking for room: it takes one byte of it
            writer = self._compose(ask, holds)
            payload = writer.to_bytes()
            if not payload and self.keeper.known:
                return
            outcome = self._transmit(uplink.F_PORT, payload)
            if outcome.code == "sent":
                delivery.mark_sent(writer.ids)  # before an answer that has seen them
            self.take_outcome(outcome)
            if outcome.code != "sent":
                return
            if ask or check:
                asked = True
                delivery.spend_answer()
            # A missing record does not fit behind a new one that is 18 hours or 256 ids younger, so a backlog
            # needs frames of its own.
            if payload and not delivery.any_missing():
                return

    def exchange(self, f_port: int, payload: bytes, confirmed: bool = False):  # type: ignore[no-untyped-def]
        """Send something that is no record, and take what comes back; the runner's Outcome."""
        outcome = self._transmit(f_port, payload, confirmed)
        self.take_outcome(outcome)
        return outcome

    def _transmit(self, f_port: "int | None", payload: bytes, confirmed: bool = False):  # type: ignore[no-untyped-def]
        rate = self.runner.mac.session.data_rate
        outcome = self.runner.send(f_port, payload, confirmed)
        self._report("send", outcome)
        if outcome.heard:
            self._learn_rate(rate)
        return outcome

    def _learn_rate(self, sent_at: int) -> None:
        """After a downlink: back to the rate at which the network was last heard, where silence took it away.

        The ADR ladder takes an outage for distance, and at the lowest rate the network would need days to
        bring the node back. Where the higher rate stays unheard, two downlinks pass before it is tried again.
        """
        session, memory = self.runner.mac.session, self.keeper.memory
        best, left = memory.rate, 0
        if best < 0:  # tried, and not heard there since
            best, left = (-1 - best) % 16, (-1 - best) // 16
        if session.data_rate != sent_at or session.data_rate >= best:
            memory.rate = session.data_rate  # what the network ordered, or heard
        elif left:
            memory.rate = -1 - best - 16 * (left - 1)
        else:
            self.runner.mac.set_adr(session.adr, best)
            self.runner.keep()
            memory.rate = -1 - best - 16 * _RATE_PATIENCE

    def _begin_faster(self, snr_quarter_db: int) -> None:
        """The rate at which a join succeeded by chance may be slow; the accept says how good the link is.

        The network would need twenty uplinks to find out, which are two days at SF12. Each step takes 2.5 dB, and
        SF7 needs -7.5 dB (SX1261/2 Rev 2.1, table 6-1); not in RX2, where a gateway may be 13 dB louder.
        """
        mac = self.runner.mac
        rates, rate = mac.region.data_rates, mac.session.data_rate
        spare = snr_quarter_db + 10 * rates[rate][0] - 40 - _SPARE_QUARTER_DB
        while (
            spare >= 10 and rate + 1 < len(rates) and rates[rate + 1] == (rates[rate][0] - 1, rates[rate][1])
        ):
            rate += 1
            spare -= 10
        mac.set_adr(mac.session.adr, rate)
        self.runner.keep()

    def take_outcome(self, outcome) -> None:  # type: ignore[no-untyped-def]
        """Account for a transmission and take what came back."""
        self.delivery.spend_airtime(outcome.airtime_us)
        self.delivery.frame_ms = self.runner.mac.longest_ms()
        self.airtime_ms += outcome.airtime_us // 1000
        mac = self.runner.mac
        if outcome.heard:
            self.on_heard()
        if mac.device_time is not None:
            if self.keeper.synchronise(*mac.device_time):
                self.on_jump()
            mac.device_time = None
        for f_port, payload in outcome.downlinks:
            if f_port == downlink.F_PORT:
                self._settle(payload)
            else:
                self.on_downlink(f_port, payload)

    def _fetch(self, record_id: int) -> "bytes | None":
        record: bytes | None = self.journal.read(record_id)
        if record is None or not record[4] & UNSYNCED or not self.keeper.known:
            return record
        if record_id < self.keeper.memory.first_id:
            return record  # of an earlier power-on: its time is lost
        return self.keeper.restamp(record)

    def _compose(self, ask: bool, holds: bool) -> uplink.UplinkWriter:
        """The next payload: as many records as fit."""
        delivery, journal = self.delivery, self.journal
        oldest_id = -1
        whole = b""  # the last record that was read
        writer = uplink.UplinkWriter(
            self.profile_id, journal.generation, delivery.floor, self.runner.mac.max_payload(), ask
        )
        for record_id in delivery.queue(journal.next_id, uplink.MAX_RECORDS, holds):
            record = self._fetch(record_id)
            if record is None:
                if oldest_id < 0:
                    oldest_id = journal.oldest_id
                if record_id < oldest_id:
                    delivery.drop_below(oldest_id)  # the ring has moved on
                    break
                if whole:  # torn by a power cut: unless the server hears of it, it stays missing for ever
                    writer.add(record_id, lost_record(whole))
                continue
            if record[4] & UNSYNCED and not self.keeper.known:
                break  # the server could not place it; the time comes with the first downlink
            writer.add(record_id, record)
            whole = record
        return writer

    def _settle(self, payload: bytes) -> None:
        try:
            generation, base, top, runs = downlink.decode_acknowledgement(payload)
        except ValueError as error:
            print("downlink ignored:", error)
            return
        journal = self.journal
        if generation == journal.generation and self.delivery.settle(base, top, runs, journal.next_id):
            self.on_settled()

    def _report(self, what: str, outcome) -> None:  # type: ignore[no-untyped-def]
        """One console line about the link."""
        figures = (
            outcome.wait_ms,
            outcome.heard,
            outcome.window,
            outcome.rssi_dbm,
            outcome.snr_quarter_db // 4,
            self.runner.late_min_us,
            self.runner.late_max_us,
        )
        text = "wait_ms=%d heard=%d window=%d rssi=%d snr=%d late_us=%d..%d"
        print(what, outcome.code, outcome.reason, text % figures)


def _ignore(f_port: int, payload: bytes) -> None:
    print("downlink on port", f_port, "ignored")


def _nothing() -> None:
    pass


def _no() -> bool:
    return False
