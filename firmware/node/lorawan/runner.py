# SPDX-License-Identifier: MIT
# Executes the plans of the MAC over a modem, a clock and a store that are handed in. The only file of this
# package that does I/O, and the only one the application needs:
#
#   runner = Runner(mac, modem, clock, store, entropy)     restores the session: after deep sleep do it again
#   runner.join()                            -> Outcome    one join-request with its two windows
#   runner.send(f_port, payload, confirmed)  -> Outcome    one uplink with its repetitions and windows
#   mac.max_payload(), mac.request_device_time(), mac.device_time, mac.request_link_check(), mac.link_check
#   mac.session.joined, .lost (join again), .adr;  mac.battery = ...
#   mac.set_adr(...), and runner.keep() where the node may sleep deeply before the next uplink
#   runner.windows, .late_min_us, .late_max_us, .received, .lead_us    statistics since the last boot
#
# modem: radio/modem.py.
# clock: ticks_us, ticks_diff, ticks_add, sleep_ms, sleep_us as in MicroPython's `time`, and now_ms() -> int,
#   monotonic, including sleep and deep sleep, starting anywhere after a power cut.
# store: load() -> bytes | None and commit(bytes), atomic, for flash; where the node sleeps deeply also
#   cache_load() -> bytes | None and cache_save(bytes) in memory that survives sleep (RTC RAM, 512 bytes). A
#   store without a cache costs one commit for each uplink, and time asleep does not count for duty cycles.
# entropy: n -> n bytes, as os.urandom; used for channels and pauses, never for keys.
#
# Order, always: flash, then cache, then air; nothing is written between the start of a transmission and the
# end of its last window; a downlink is in flash before the caller sees it.
#
# Receive windows on a slow runtime. A window opens `lead + error` early and listens for
# ceil((lead + 2 error) / Ts) + 6 symbols, so that whatever happens up to `lead` late, six symbols of preamble
# remain (a LoRa receiver needs five to six). error = 500 us + delay * clock_ppm / 10^6; 100 ppm covers both
# crystals at their worst; a node that sleeps lightly by an RC oscillator wants 5000. lead = 20 ms is twice
# what soft interrupts and scheduling on an ESP32 were seen to cost (10 ms, micropython #3894); it costs
# 0.1 mC a window at 5 mA, where a SF7 uplink costs 14 mC. All is configured and the heap collected right
# after the uplink; one short command is left for the deadline. Lateness is measured; when it nears the lead,
# the lead grows, and is kept in the session.

import gc

from micropython import const

from ..radio.airtime import symbol_time_us, time_on_air_us
from ..radio.modem import RadioError
from .exchange import Downlink, Joined, MacError, Plan, Wait

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from ..radio.modem import Clock, LoraParameters, Modem, RxPacket
    from .mac import Mac

    class NodeClock(Clock):
        """The modem's clock and the node's time."""

        def now_ms(self) -> int: ...

    class Store:
        """Flash; see the head of this file for the cache that it may also have."""

        def load(self) -> "bytes | None": ...
        def commit(self, record: bytes) -> None: ...

    class Entropy:
        """``n`` random bytes."""

        def __call__(self, count: int) -> bytes: ...


_LEAD_MS = const(20)
_MAX_LEAD_MS = const(100)
_MIN_SYMBOLS = const(6)
_ERROR_US = const(500)
_SPIN_US = const(1500)  # the last stretch before a deadline is not slept in milliseconds
_TX_MARGIN_US = const(500000)
_TIMEOUT_LAG_MS = const(10)
_REST_US = const(200000)  # a wait so long lets the radio sleep
_PREPARE_US = const(50000)  # then it is woken and set up so early, TCXO and a late processor included
# Pauses that `join` and `send` sleep themselves; longer ones are the caller's (Outcome.wait_ms).
_OWN_PAUSE_MS = const(5000)
_MAX_REPETITIONS = const(15)
_LISTEN_ATTEMPTS = const(8)


class Outcome:
    """What became of a join or an uplink.

    ``code``: ``joined``; ``no_accept`` (join sent, nothing came; next attempt in ``wait_ms``); ``sent``;
    ``wait`` (the payload was not sent, ask again in ``wait_ms``; ``reason`` as in Wait); a code of MacError;
    a code of RadioError (``sent`` tells whether the uplink was out already), among them ``channel_busy``
    where the region asks for silence first.
    ``downlinks`` are (f_port, payload) for the application; ``acked`` for a confirmed uplink; ``pending``:
    the network has more, send soon; ``heard``: some downlink came. ``rssi_dbm``, ``snr_quarter_db`` and
    ``window`` (1 or 2) of the last one.
    """

    def __init__(self) -> None:
        self.code = ""
        self.reason = ""
        self.sent = False
        self.wait_ms = 0
        self.heard = False
        self.acked = False
        self.pending = False
        self.downlinks: list[tuple[int, bytes]] = []
        self.window = 0
        self.rssi_dbm = 0
        self.snr_quarter_db = 0
        self.transmissions = 0
        self.airtime_us = 0


class Runner:
    """See the head of this file. ``clock_ppm`` is the error of the clock while waiting for a window."""

    def __init__(
        self,
        mac: "Mac",
        modem: "Modem",
        clock: "NodeClock",
        store: "Store",
        entropy: "Entropy",
        clock_ppm: int = 100,
    ) -> None:
        self.mac = mac
        self.clock_ppm = clock_ppm
        self.windows = 0
        self.received = 0
        self.late_min_us = 0
        self.late_max_us = 0
        self._modem = modem
        self._clock = clock
        self._store = store
        self._entropy = entropy
        self._cache_save = getattr(store, "cache_save", None)
        self._radio_used = True  # since it was last put to sleep; after power-up it is in standby
        self._unsafe = False  # flash does not hold what the MAC believes it does
        cache_load = getattr(store, "cache_load", None)
        if self._cache_save is None:
            mac.cached = False
        mac.min_power_dbm = modem.min_power_dbm
        mac.restore(store.load(), cache_load() if cache_load else None, clock.now_ms())
        mac.seed(int.from_bytes(entropy(4), "little"))

    @property
    def lead_us(self) -> int:
        """How early windows open, beside the clock error."""
        return 1000 * (self.mac.session.rx_lead_ms or _LEAD_MS)

    def join(self) -> Outcome:
        """Send one join-request and listen. Never raises for what the air or the radio does."""
        outcome = Outcome()
        mac, clock = self.mac, self._clock
        try:
            plan = mac.join(clock.now_ms())
            if self._slept(plan):
                plan = mac.join(clock.now_ms())
            if isinstance(plan, Plan):
                outcome.code = "no_accept"
                self._exchange(plan, outcome)
                if not outcome.heard:
                    outcome.wait_ms = max(0, mac.session.quiet_until_ms - mac.session.time_ms(clock.now_ms()))
            else:
                _refuse(plan, outcome)
        except (MacError, RadioError) as error:
            outcome.code = error.code
        self._settle(outcome)
        return outcome

    def send(self, f_port: "int | None", payload: bytes = b"", confirmed: bool = False) -> Outcome:
        """Send one uplink, NbTrans times unless answered, after MAC answers that leave it no room.

        ``f_port`` None sends an empty frame: for MAC answers and acknowledgements alone.
        """
        outcome = Outcome()
        mac, clock = self.mac, self._clock
        try:
            for _ in range(2):
                plan = mac.uplink(clock.now_ms(), f_port, payload, confirmed)
                if self._slept(plan):
                    plan = mac.uplink(clock.now_ms(), f_port, payload, confirmed)
                outcome.sent = False
                if not isinstance(plan, Plan):
                    _refuse(plan, outcome)
                    break
                self._transmit(plan, outcome)
                outcome.code = "sent"
                if plan.complete:
                    break
        except (MacError, RadioError) as error:
            outcome.code = error.code
        self._settle(outcome)
        return outcome

    def keep(self) -> None:
        """What was set in the MAC since the last uplink outlives deep sleep, where the store has a cache."""
        self._save_cache()

    # --- inside -----------------------------------------------------------------------------------------

    def _slept(self, answer: "Plan | Wait | None") -> bool:
        """Sleep over a short pause: True when it is time to ask the MAC again."""
        if not isinstance(answer, Wait) or answer.ms > _OWN_PAUSE_MS:
            return False
        self._clock.sleep_ms(answer.ms + 1)
        return True

    def _transmit(self, plan: Plan, outcome: Outcome) -> None:
        """A data frame and its repetitions. A repetition that would have to wait long is left out."""
        mac, clock = self.mac, self._clock
        try:
            for _ in range(_MAX_REPETITIONS):
                self._exchange(plan, outcome)
                again = mac.repeat(clock.now_ms())
                if self._slept(again):
                    again = mac.repeat(clock.now_ms())
                if not isinstance(again, Plan):
                    break
                plan = again
        finally:
            mac.close()

    def _settle(self, outcome: Outcome) -> None:
        """The radio sleeps, and what was learned is kept."""
        if self._radio_used:
            self._radio_used = False
            try:
                self._modem.sleep()
            except RadioError as error:
                if not outcome.sent:
                    outcome.code = error.code
        self._save_cache()

    def _commit(self) -> None:
        self._unsafe = True
        self._store.commit(self.mac.flash_record(self._clock.now_ms()))
        self._unsafe = False

    def _save_cache(self) -> None:
        if self._cache_save and not self._unsafe:
            self._cache_save(self.mac.cache_record(self._clock.now_ms()))

    def _exchange(self, plan: Plan, outcome: Outcome) -> None:
        """One transmission and its windows. Raises RadioError."""
        clock = self._clock
        modem = self._modem
        if plan.commit or self._unsafe:
            self._commit()
        self._save_cache()
        self._radio_used = True
        if self.mac.region.listen_us:
            self._await_silence(plan)
        modem.prepare_tx(plan.uplink, plan.wire, plan.power_dbm)
        modem.start_tx()
        outcome.transmissions += 1
        outcome.airtime_us += plan.airtime_us
        done = self._await_tx(plan.airtime_us)
        outcome.sent = True
        sent_ms = clock.now_ms() - clock.ticks_diff(clock.ticks_us(), done) // 1000
        try:
            self._listen_twice(plan, done, sent_ms, outcome)
        finally:
            self.mac.finish(clock.now_ms())

    def _listen_twice(self, plan: Plan, done: int, sent_ms: int, outcome: Outcome) -> None:
        """RX1, and RX2 unless something was received; ``done`` ticks and ``sent_ms`` of the uplink's end."""
        clock = self._clock
        for window in (1, 2):
            rx = plan.rx1 if window == 1 else plan.rx2
            delay_us = plan.rx1_delay_us if window == 1 else plan.rx2_delay_us
            packet = self._listen(rx, clock.ticks_add(done, delay_us), delay_us)
            if packet is None:
                continue
            data_rate = plan.rx1_data_rate if window == 1 else plan.rx2_data_rate
            got = self.mac.receive(plan, packet.payload, data_rate, packet.snr_quarter_db, sent_ms)
            if got is None:
                continue
            self.received += 1
            outcome.heard = True
            outcome.window = window
            outcome.rssi_dbm = packet.rssi_dbm
            outcome.snr_quarter_db = packet.snr_quarter_db
            self._commit()
            if isinstance(got, Joined):
                outcome.code = "joined"
            elif isinstance(got, Downlink):
                outcome.acked = outcome.acked or got.acked
                outcome.pending = got.pending
                if got.f_port is not None:
                    outcome.downlinks.append((got.f_port, got.payload))
            break

    def _await_silence(self, plan: Plan) -> None:
        """Listen before talk: the channel must be quiet for as long as the region says. Raises RadioError."""
        clock, modem, region = self._clock, self._modem, self.mac.region
        for attempt in range(1, _LISTEN_ATTEMPTS + 1):
            modem.prepare_tx(plan.uplink, plan.wire, plan.power_dbm)  # only for its frequency
            begin = clock.ticks_us()
            quiet = True
            while quiet and clock.ticks_diff(clock.ticks_us(), begin) < region.listen_us:
                quiet = modem.rssi_dbm() < region.listen_dbm
            modem.standby()
            if quiet:
                return
            clock.sleep_ms(10 * attempt + self._entropy(1)[0] % (20 * attempt))
        raise RadioError("channel_busy")

    def _await_tx(self, airtime_us: int) -> int:
        """Wait for TxDone; returns its ticks. Raises RadioError ``tx_timeout``."""
        clock = self._clock
        clock.sleep_ms(max(0, airtime_us - 2000) // 1000)
        for _ in range(_TX_MARGIN_US // 250):
            done = self._modem.poll_tx()
            if done is not None:
                return done
            clock.sleep_us(250)
        raise RadioError("tx_timeout")

    def _listen(self, rx: "LoraParameters", nominal: int, delay_us: int) -> "RxPacket | None":
        """Open the window whose packet should begin at ticks ``nominal``; None when nothing valid came."""
        clock = self._clock
        modem = self._modem
        error_us = _ERROR_US + delay_us * self.clock_ppm // 1000000
        lead_us = self.lead_us
        symbol_us = symbol_time_us(rx.spreading_factor, rx.bandwidth_hz)
        symbols = _MIN_SYMBOLS - (lead_us + 2 * error_us) // -symbol_us
        opening = clock.ticks_add(nominal, -lead_us - error_us - modem.rx_latency_us)
        # The window before this one took its time: the other end of a preamble may still be caught, not more.
        if clock.ticks_diff(opening, clock.ticks_us()) < -lead_us:
            return None
        gc.collect()
        left_us = clock.ticks_diff(opening, clock.ticks_us())
        if left_us > _REST_US:  # asleep it takes a thousandth of what standby does
            modem.sleep()
            clock.sleep_ms((left_us - _PREPARE_US) // 1000)
        modem.prepare_rx(rx, symbols)
        left_us = clock.ticks_diff(opening, clock.ticks_us())
        if left_us > _SPIN_US:
            clock.sleep_ms((left_us - _SPIN_US) // 1000)
            left_us = clock.ticks_diff(opening, clock.ticks_us())
        if left_us > 0:
            clock.sleep_us(left_us)
        self._note_lateness(clock.ticks_diff(modem.start_rx(), opening))
        # An empty window ends so late, with what the modem takes to say it; a packet waits. Then it may be
        # receiving the longest packet there is.
        clock.sleep_ms(symbols * symbol_us // 1000 + _TIMEOUT_LAG_MS)
        step_ms = 2 + symbol_us // 4000
        for _ in range((time_on_air_us(rx, 255) // 1000 + 100) // step_ms):
            packet = modem.poll_rx()
            if packet is False:
                return None
            if packet is not None and packet is not True:
                return packet
            clock.sleep_ms(step_ms)
        modem.standby()
        return None

    def _note_lateness(self, late_us: int) -> None:
        """Keep the figures; a lead that was nearly used up grows to twice the lateness."""
        if not self.windows or late_us < self.late_min_us:
            self.late_min_us = late_us
        if not self.windows or late_us > self.late_max_us:
            self.late_max_us = late_us
        self.windows += 1
        if late_us > self.lead_us * 3 // 4:
            self.mac.session.rx_lead_ms = min(late_us // 500, _MAX_LEAD_MS)


def _refuse(wait: Wait, outcome: Outcome) -> None:
    outcome.code = "wait"
    outcome.wait_ms = wait.ms
    outcome.reason = wait.reason
