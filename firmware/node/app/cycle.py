# SPDX-License-Identifier: MIT
# The node's day, one waking at a time: take a record if one is due, keep it, send what is to be sent, sleep.
#
# The order is the data flow: drivers -> sampling -> codec -> storage -> codec -> lorawan -> radio. What is
# taken is in the journal before anything is sent; what went wrong ends in a hard reset, after which flash is
# the truth.

import gc
import sys

from micropython import const

from ..codec.record import pack_record, pack_values
from ..power.budget import BOOT, BOOT_MS, COMPUTE, RX, RX_UA, RX_WINDOW_MS, SENSE, SLEEP, TX, TX_UA
from ..sampling.plan import next_due_ms
from ..sampling.sample import take_sample
from ..schema import events as codes
from ..storage.delivery import Delivery
from .guard import WATCHDOG_MS, BootBrake, Watchdog, interval_factor, may_transmit
from .memory import Memory
from .reporter import Reporter
from .sender import Sender
from .timekeeping import Timekeeper
from .wiring import RTC_APP, RTC_DELIVERY, RTC_REPETITIONS, STATE_BRAKE, STATE_DELIVERY

_WINDOW_MS = const(2500)  # on power-on and reset, for tools that want in
_POLL_MS = const(50)
_SLICE_MS = const(60000)  # a node that stays awake feeds its watchdog this often
_POWER_ON = const(1)
_DAY_MS = const(86400000)

DUTIES = ("sample", "send")


class Cycle:
    """One waking; a node that stays awake runs it again and again."""

    def __init__(self, node, watchdog: Watchdog) -> None:  # type: ignore[no-untyped-def]
        self.node = node
        self.clock = node.clock
        self.watchdog = watchdog
        sections = node.retained.sections
        self.memory = Memory(sections.get(RTC_APP) if node.reset_cause != _POWER_ON else None)
        self.keeper = Timekeeper(self.memory)
        self.state = node.open_state(self.memory.state_hint)
        self.journal = node.open_journal(self.memory.journal)
        now_ms = self.clock.now_ms()
        self.fresh = self.memory.journal is None
        self.delivery = Delivery(max(0, self.journal.next_id - self.journal.capacity), now_ms)
        self.delivery.load(sections.get(RTC_DELIVERY) or self.state.load(STATE_DELIVERY), now_ms)
        if self.fresh:
            self.memory.first_id = self.journal.next_id
            self.memory.due_ms = now_ms
        self.reporter = Reporter(node, self.state, self.keeper, self.journal.generation)
        self.sense_ms = 0
        self.windows = 0  # receive windows that are in the account of charge
        self.boots = 1  # starts that are not
        self.stays = node.stays_awake  # whether more than one waking is lived without a boot
        self.sensors: list | None = None
        self.sender: Sender | None = None

    def make_sender(self) -> Sender:
        """Joining and sending, set up when first needed."""
        if self.sender is None:
            runner = self.node.make_runner(self.state)
            self.sender = Sender(runner, self.journal, self.delivery, self.keeper, self.node.profile["id"])
            self.sender.on_settled = self._keep_delivery
            self.sender.on_heard = self.reporter.heard
            self.sender.on_downlink = self.reporter.take
            self.sender.on_jump = self._note_jump
            self.sender.wants_downlink = self.reporter.wants_downlink
        return self.sender

    def _keep_delivery(self) -> None:
        self.state.commit(STATE_DELIVERY, self.delivery.to_bytes())

    def _note_jump(self) -> None:
        self.reporter.note(codes.CLOCK_JUMP)

    def run(self) -> int:
        """Do all that is due; return how long to sleep in ms."""
        begun_ms = self.clock.now_ms()
        if self.stays:
            gc.collect()
        self.memory.wakings += 1
        self.sense_ms = 0
        self.reporter.begin_waking()
        battery_mv = self.node.read_battery_mv()
        factor = interval_factor(battery_mv)
        sends = may_transmit(battery_mv)
        if not sends:
            self.reporter.note(codes.LOW_BATTERY)
        if self.fresh and sends:
            self.make_sender().join(self.clock.now_ms())  # the first record is worth more with a time
            self.fresh = False
        now_ms = self.clock.now_ms()
        if now_ms >= self.memory.due_ms or (factor and self.reporter.wants_reading(now_ms)):
            self.take_record(factor)
        self.watchdog.progress("sample")
        if sends:
            self.talk()
            self.reporter.act(self)
        self.watchdog.progress("send")
        wait_ms = self.wait_ms(sends)
        self.account(begun_ms, wait_ms)
        self.save()
        return wait_ms

    def talk(self) -> None:
        """Join if needed; then alarms, records, and the rest."""
        sender, reporter = self.make_sender(), self.reporter
        if not sender.join(self.clock.now_ms()):
            reporter.note(codes.JOIN_FAILED)
            return
        reporter.tell_urgent(sender)
        reporter.tell_rest(sender)
        sender.send(self.clock)
        reporter.tell_new_answer(sender)
        reporter.tally.note_lateness(sender.runner.late_max_us)

    def account(self, begun_ms: int, wait_ms: int) -> None:
        """The waking and the sleep after it, in the node's own account of charge."""
        budget, currents = self.reporter.budget, self.node.board["currents"]
        active_ua = currents["active"]
        awake_ms = self.clock.now_ms() - begun_ms
        sender = self.sender
        airtime_ms = sender.airtime_ms if sender else 0
        windows = sender.runner.windows - self.windows if sender else 0
        napped_ms = self.node.napped_ms()
        budget.add(BOOT, BOOT_MS * self.boots, active_ua)
        self.boots = 0
        budget.add(SENSE, self.sense_ms, currents["light_sleep"] if self.node.may_nap else active_ua)
        budget.add(COMPUTE, awake_ms - self.sense_ms - napped_ms, active_ua)
        budget.add(TX, airtime_ms, TX_UA)
        budget.add(RX, windows * RX_WINDOW_MS, RX_UA)
        budget.add(SLEEP, napped_ms, currents["light_sleep"])
        budget.add(SLEEP, wait_ms, currents[self.node.rest(wait_ms)])
        if sender:
            self.reporter.tally.note_airtime(airtime_ms * 1000)
            sender.airtime_ms = 0
            self.windows = sender.runner.windows

    def wait_ms(self, sends: bool) -> int:
        """Time to the next thing that is due."""
        wake_ms = self.memory.due_ms
        if self.reporter.alarms is not None:
            wake_ms = min(wake_ms, self.reporter.alarms.next_ms(self.clock.now_ms()) or wake_ms)
        if sends and self.sender is not None and not self.sender.joined:
            wake_ms = min(wake_ms, self.memory.retry_ms)
        return max(100, wake_ms - self.clock.now_ms())

    def take_record(self, factor: int) -> None:
        """Sample everything and put the record into the journal; `factor` stretches the interval, 0 skips."""
        node = self.node
        interval_ms = max(self.reporter.setting("interval_s"), node.profile.get("floor_s", 0)) * 1000
        if factor:
            begun_ms = self.clock.now_ms()
            readings = self.sample()
            self.mark_stale(readings)
            now_ms = self.clock.now_ms()
            self.sense_ms = now_ms - begun_ms
            time_s, flags = self.keeper.stamp(now_ms)
            record_id = self.journal.append(
                pack_record(time_s, flags, pack_values(node.quantities, readings))
            )
            print("record", record_id, time_s, readings)
            self.reporter.judge(readings, time_s)
        now_ms = self.clock.now_ms()
        if now_ms >= self.memory.due_ms:  # a sampling between two of the plan leaves the plan as it is
            self.memory.due_ms = next_due_ms(self.memory.due_ms, now_ms, interval_ms * (factor or 6))

    def sample(self) -> dict:
        """{quantity: (value, quality)} of all sensors."""
        node = self.node
        node.power(True)
        if self.sensors is None:
            self.sensors = node.make_sensors()
        clock, keeper = self.clock, self.keeper
        day = keeper.at(clock.now_ms()) // _DAY_MS if keeper.known else None
        calibrations = self.reporter.calibrations()
        readings = take_sample(self.sensors, clock.now_ms, _difference, self.sleep_ms, calibrations, day)
        node.power(False)
        if "leaning" in node.profile:
            from ..sampling.leaning import suppress

            suppress(readings, node.profile["leaning"])
        return readings

    def mark_stale(self, readings: dict) -> None:
        """Call stale what sensors repeat that cannot; how often they did outlives sleep and resets."""
        if "repetition" in self.node.profile:
            from ..sampling.repetition import mark_stale

            sections = self.node.retained.sections
            kept = sections.get(RTC_REPETITIONS)
            sections[RTC_REPETITIONS] = mark_stale(readings, self.node.profile["repetition"], kept)

    def sleep_ms(self, duration_ms: int) -> None:
        """Wait for a sensor."""
        if duration_ms >= self.node.nap_from_ms and self.node.may_nap:
            self.node.nap(duration_ms)
        else:
            self.clock.sleep_ms(duration_ms)

    def save(self) -> None:
        """Leave everything in RTC memory for the next waking."""
        if self.stays:
            gc.collect()  # what is kept now lives long: it is to find the lowest hole, not the largest
        self.memory.journal = self.journal.position
        self.memory.state_hint = self.state.position
        sections = self.node.retained.sections
        sections[RTC_APP] = self.memory.to_bytes()
        sections[RTC_DELIVERY] = self.delivery.to_bytes()
        self.reporter.save()
        self.node.retained.save()


def _difference(end: int, start: int) -> int:
    return end - start


def run(node) -> None:  # type: ignore[no-untyped-def]
    """main.py: returns to the prompt only without an identity, or by Ctrl-C."""
    if not node.is_wake:
        print("communode", node.version, node.board["name"], node.profile["name"])
    if node.identity is None:
        print("not provisioned: communode provision --port PORT")
        return
    if not node.is_wake:
        print("starting; Ctrl-C for the prompt, Enter for the console")
    try:
        if node.profile.get("certification"):
            from .laboratory import live

            live(node, node.start_watchdog(WATCHDOG_MS))
        _live(node)
    except Exception as error:
        try:
            gc.collect()
            sys.print_exception(error)  # type: ignore[attr-defined]
            _note_end(node, codes.MEMORY_ERROR if isinstance(error, MemoryError) else codes.PANIC)
        finally:
            node.reset()


def _note_end(node, code: int) -> None:  # type: ignore[no-untyped-def]
    # Into RTC memory, which survives the reset; for the daily status.
    from ..storage.events import Events
    from .reporter import RTC_EVENTS

    events = Events()
    events.load(node.retained.sections.get(RTC_EVENTS))
    events.note(code, 0, 0)
    node.retained.sections[RTC_EVENTS] = events.to_bytes()
    node.retained.save()


def _hold_window(node) -> str:  # type: ignore[no-untyped-def]
    """Wait for somebody; what was typed."""
    for _ in range(_WINDOW_MS // _POLL_MS):
        node.clock.sleep_ms(_POLL_MS)
        text = node.terminal.read()
        if text:
            return str(text)
    return ""


def _serve_console(cycle: Cycle, feed) -> None:  # type: ignore[no-untyped-def]
    # A function of its own, as is the next: nothing of what is forgotten after it stays in use.
    from .session import serve

    cycle.reporter.note(codes.CONSOLE)
    serve(cycle, cycle.node.terminal.read, print, feed)


def _judge(cycle: Cycle) -> None:
    from .refusal import judge

    judge(cycle)


def _live(node) -> None:  # type: ignore[no-untyped-def]
    typed = "" if node.is_wake else _hold_window(node)
    feed = node.start_watchdog(WATCHDOG_MS)  # after the window: nothing can stop it again
    watchdog = Watchdog(feed, DUTIES)
    cycle = Cycle(node, watchdog)
    if typed:
        _serve_console(cycle, feed)
        node.forget("app.session", "app.console", "schema.event_names")  # not needed before the next reset
    if not node.is_wake:
        _judge(cycle)
        node.forget("app.refusal")  # nor this
    brake = BootBrake(cycle.state.load(STATE_BRAKE))
    if not node.is_wake:
        wait_ms = brake.wait_ms()
        brake.failed()
        cycle.state.commit(STATE_BRAKE, brake.to_bytes())
        if wait_ms:
            cycle.reporter.note(codes.BOOT_LOOP, brake.failures)
            print("too many failed starts: trying again in", wait_ms, "ms")
            cycle.save()  # the hints that a waking from deep sleep believes
            node.sleep_deep(wait_ms)
    while True:
        wait_ms = cycle.run()
        if brake.succeeded():
            cycle.state.commit(STATE_BRAKE, brake.to_bytes())
            cycle.save()
        rest = node.rest(wait_ms)
        if rest == "deep_sleep":
            node.sleep_deep(wait_ms)
        elif rest == "light_sleep":
            node.nap(wait_ms)
            cycle.stays = True
        else:
            _stay(node, watchdog, wait_ms)


def _stay(node, watchdog: Watchdog, wait_ms: int) -> None:  # type: ignore[no-untyped-def]
    while wait_ms > 0:
        node.clock.sleep_ms(min(wait_ms, _SLICE_MS))
        wait_ms -= _SLICE_MS
        for duty in DUTIES:
            watchdog.progress(duty)
