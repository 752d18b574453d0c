# SPDX-License-Identifier: MIT
# The node's day, one waking at a time: take a record if one is due, keep it, send what is to be sent, sleep.
#
# The order is the data flow: drivers -> sampling -> codec -> storage -> codec -> lorawan -> radio.

from micropython import const

from ..codec import downlink, uplink
from ..codec.record import UNSYNCED, pack_record, pack_values, uncertainty_code
from ..sampling.plan import next_due_ms
from ..sampling.sample import take_sample
from ..storage.delivery import Delivery
from .memory import Memory
from .wiring import RTC_APP, RTC_DELIVERY, STATE_DELIVERY

_WINDOW_MS = const(2500)  # on power-on and reset, for tools that want in
_UNIX_2000 = const(946684800)
_GPS_TO_2000_S = const(630720013)  # 2000-01-01 UTC in GPS seconds: 13 leap seconds had passed
_LEAP_SINCE_2000_S = const(5)  # 18 leap seconds since 2017 (IERS Bulletin C)
_RESYNC_MS = const(21600000)
_DRIFT_PPM = const(1000)  # bound of the RC oscillator after the port's calibration
_FRAMES = const(4)  # most frames a waking
_LONG_NAP_MS = const(1000)  # longer waits are light sleep


class Cycle:
    """One waking."""

    def __init__(self, node: "object") -> None:
        self.node = node
        self.clock = node.clock
        sections = node.retained.sections
        self.memory = Memory(sections.get(RTC_APP) if node.reset_cause != 1 else None)
        self.state = node.open_state(self.memory.state_hint)
        self.journal = node.open_journal(self.memory.journal)
        now_ms = self.clock.now_ms()
        self.delivery = Delivery(max(0, self.journal.next_id - self.journal.capacity), now_ms)
        self.delivery.load(sections.get(RTC_DELIVERY) or self.state.load(STATE_DELIVERY), now_ms)
        if self.memory.journal is None:
            self.memory.first_id = self.journal.next_id
            self.memory.due_ms = now_ms
        self.runner = None
        # A UART hears nothing in light sleep.
        self.may_nap = not any([sensor["bus"].startswith("uart") for sensor in node.profile["sensors"]])

    # --- time ---

    def synchronise(self, device_time: tuple) -> None:
        """Take the network's time: GPS seconds, 1/256 s, and the node time of that instant."""
        gps_s, fraction, at_ms = device_time
        since_2000_ms = (gps_s - _GPS_TO_2000_S - _LEAP_SINCE_2000_S) * 1000 + fraction * 1000 // 256
        self.memory.offset_ms = since_2000_ms - at_ms
        self.memory.synced_ms = at_ms

    def stamp(self, now_ms: int) -> tuple:
        """(seconds, flags) of a record taken at node time `now_ms`."""
        if not self.memory.offset_ms:
            return now_ms // 1000, UNSYNCED
        since_ms = now_ms - self.memory.synced_ms
        uncertain_s = 1 + since_ms // 1000 * _DRIFT_PPM // 1000000
        return (now_ms + self.memory.offset_ms) // 1000, uncertainty_code(uncertain_s)

    # --- taking ---

    def sleep_ms(self, duration_ms: int) -> None:
        """Wait for a sensor."""
        if duration_ms >= _LONG_NAP_MS and self.may_nap:
            self.node.nap(duration_ms)
        else:
            self.clock.sleep_ms(duration_ms)

    def ticks_ms(self) -> int:
        """Node time for sampling: it must go on in light sleep, as ticks need not."""
        return self.clock.now_ms()

    def take_record(self) -> None:
        """Sample everything and put the record into the journal."""
        node = self.node
        node.power(True)
        readings = take_sample(node.make_sensors(), self.ticks_ms, _difference, self.sleep_ms)
        node.power(False)
        now_ms = self.clock.now_ms()
        time_s, flags = self.stamp(now_ms)
        body = pack_values(node.quantities, readings)
        record_id = self.journal.append(pack_record(time_s, flags, body))
        self.memory.due_ms = next_due_ms(self.memory.due_ms, now_ms, node.profile["interval_s"] * 1000)
        print("record", record_id, time_s, readings)

    # --- sending ---

    def join(self) -> bool:
        """Join if needed and allowed now; whether the node is joined."""
        runner = self.runner
        if self._joined():
            return True
        if self.clock.now_ms() < self.memory.retry_ms:
            return False
        outcome = runner.join()
        self.report("join", outcome)
        if self._joined():
            return True
        self.memory.retry_ms = self.clock.now_ms() + max(1000, outcome.wait_ms)
        return False

    def report(self, what: str, outcome: "object") -> None:
        """One console line about the link."""
        print(
            what,
            outcome.code,
            outcome.reason,
            "wait_ms=%d heard=%d window=%d rssi=%d snr=%d late_us=%d..%d"
            % (
                outcome.wait_ms,
                outcome.heard,
                outcome.window,
                outcome.rssi_dbm,
                outcome.snr_quarter_db // 4,
                self.runner.late_min_us,
                self.runner.late_max_us,
            ),
        )

    def _joined(self) -> bool:
        session = self.runner.mac.session
        return session.joined and not session.lost

    def fetch(self, record_id: int) -> "bytes | None":
        """A record as it goes on air: one that was taken before the first synchronisation gets its time now."""
        record = self.journal.read(record_id)
        if record is None:
            return None
        if record[4] & UNSYNCED and record_id >= self.memory.first_id and self.memory.offset_ms:
            taken_s = int.from_bytes(record[:4], "little")
            time_s = taken_s + self.memory.offset_ms // 1000
            since_s = abs(self.memory.synced_ms // 1000 - taken_s)
            flags = uncertainty_code(2 + since_s * _DRIFT_PPM // 1000000)
            return pack_record(time_s, flags, record[5:])
        return record

    def compose(self, ask: bool) -> "uplink.UplinkWriter":
        """The next payload: as many records as fit."""
        delivery = self.delivery
        next_id = self.journal.next_id
        writer = uplink.UplinkWriter(
            self.node.profile["id"],
            self.journal.generation,
            delivery.floor,
            self.runner.mac.max_payload(),
            ask,
        )
        for record_id in delivery.queue(next_id, uplink.MAX_RECORDS):
            record = self.fetch(record_id)
            if record is None:
                delivery.drop(record_id)
            elif record[4] & UNSYNCED and not self.memory.offset_ms:
                break  # the server could not place it; the time comes with the first downlink
            else:
                writer.add(record_id, record)
        return writer

    def send(self) -> None:
        """Send what is to be sent, as far as duty cycle and this waking's share of frames allow."""
        for _ in range(_FRAMES):
            if not self.delivery.may_send(self.clock.now_ms()):
                print("send: the day's airtime is used up")
                return
            ask = self.delivery.wants_answer(self.journal.next_id) and self.delivery.may_ask(self.clock.now_ms())
            if self._sync_is_due() or ask:
                self.runner.mac.request_device_time()  # before asking for room: it takes one byte of it
            writer = self.compose(ask)
            payload = writer.to_bytes()
            if not payload and self.memory.offset_ms:
                return
            outcome = self.runner.send(uplink.F_PORT if payload else None, payload)
            self.report("send", outcome)
            if outcome.code != "sent":
                return
            self.delivery.mark_sent(writer.ids)
            self.delivery.spend_airtime(outcome.airtime_us)
            if writer.ask:
                self.delivery.spend_answer()
            if self.runner.mac.device_time is not None:
                self.synchronise(self.runner.mac.device_time)
                self.runner.mac.device_time = None
            for f_port, data in outcome.downlinks:
                self.take_downlink(f_port, data)
            if payload and not (outcome.downlinks and self.delivery.any_missing()):
                return

    def _sync_is_due(self) -> bool:
        return not self.memory.offset_ms or self.clock.now_ms() - self.memory.synced_ms > _RESYNC_MS

    def take_downlink(self, f_port: int, payload: bytes) -> None:
        """An application downlink; what is not understood is ignored, and said."""
        if f_port != downlink.F_PORT:
            print("downlink on port", f_port, "ignored")
            return
        try:
            generation, base, start, count, have = downlink.decode_acknowledgement(payload)
        except ValueError as error:
            print("downlink ignored:", error)
            return
        if generation == self.journal.generation and self.delivery.settle(
            base, start, count, have, self.journal.next_id
        ):
            self.state.commit(STATE_DELIVERY, self.delivery.to_bytes())

    # --- the whole ---

    def run(self) -> int:
        """Do all that is due; return how long to sleep in ms."""
        now_ms = self.clock.now_ms()
        fresh = self.memory.journal is None
        self.runner = self.node.make_runner(self.state)
        if fresh:
            self.join()  # the first record is worth more with a time
        if now_ms >= self.memory.due_ms:
            self.take_record()
        if self.join():
            self.send()
        self.save()
        wake_ms = self.memory.due_ms
        if not self._joined():
            wake_ms = min(wake_ms, self.memory.retry_ms)
        return max(100, wake_ms - self.clock.now_ms())

    def save(self) -> None:
        """Leave everything in RTC memory for the next waking."""
        self.memory.journal = self.journal.position
        self.memory.state_hint = self.state.position
        sections = self.node.retained.sections
        sections[RTC_APP] = self.memory.to_bytes()
        sections[RTC_DELIVERY] = self.delivery.to_bytes()
        self.node.retained.save()


def _difference(end: int, start: int) -> int:
    return end - start


def run(node: "object") -> None:
    """main.py: does not return unless the board has no identity or somebody pressed Ctrl-C."""
    if not node.is_wake:
        print("communode", node.version, node.board["name"], node.profile["name"])
        if node.identity is None:
            print("not provisioned: communode provision --port PORT")
            return
        print("starting; Ctrl-C for the prompt")
        node.clock.sleep_ms(_WINDOW_MS)
    elif node.identity is None:
        return
    node.sleep_deep(Cycle(node).run())
