# SPDX-License-Identifier: MIT
# What a node says besides readings: alarms at once, answers to commands, a status once a day. Pure.
#
# It also takes what the owner says: commands (FPort 4) and acknowledged alarms (FPort 5). Not here: the alarm
# machine (alarms.py), configuration (config.py, imported only when there is one or a command comes), bytes
# (codec/), transmissions (lorawan/runner.py).

from micropython import const

from ..codec import alarm as alarm_codec
from ..codec import status as status_codec
from ..power.budget import Budget
from ..schema import events as codes
from ..schema.quantities import ABSENT, FAULT
from ..storage.events import Events
from .alarms import Alarms
from .tally import Tally
from .watches import Watches

RTC_ALARMS = const(4)
RTC_EVENTS = const(5)
RTC_BUDGET = const(6)
RTC_WATCHES = const(7)
RTC_TALLY = const(8)
STATE_ALARMS = const(6)
STATE_EVENTS = const(7)
STATE_TALLY = const(8)
STATE_CONFIG = const(3)

COMMAND_PORT = const(4)
_WATCHDOG_RESET = const(3)


def _perform(config, cycle) -> None:  # type: ignore[no-untyped-def]
    # A function of its own, so that nothing of what is forgotten after it stays in use.
    from .actions import perform

    perform(config, cycle)


class Reporter:
    """Built at each waking around the same state log and retained memory as the cycle."""

    def __init__(self, node, state, keeper, generation: int) -> None:  # type: ignore[no-untyped-def]
        """`generation` is the journal's: occurrences of alarms are counted with it."""
        self.node = node
        self.state = state
        self.keeper = keeper
        self.generation = generation
        self.config = None
        self.alarms: Alarms | None = None
        self._rows: tuple = ()
        self._answers_anew = False
        sections = node.retained.sections
        now_ms = node.clock.now_ms()
        self.events = Events()
        self.events.load(sections.get(RTC_EVENTS) or state.load(STATE_EVENTS))
        if state.load(STATE_CONFIG) is not None:
            self._open_config()
        kept = sections.get(RTC_ALARMS) if node.is_wake else None
        self._set_alarms(kept or state.load(STATE_ALARMS), sections.get(RTC_WATCHES), kept is not None)
        self.budget = Budget(sections.get(RTC_BUDGET))
        self.tally = Tally(now_ms)
        kept = sections.get(RTC_TALLY)
        self.tally.load(kept or state.load(STATE_TALLY), now_ms, kept is not None)
        self.tally.note_start(node.reset_cause)
        if not node.is_wake:
            state.commit(STATE_TALLY, self.tally.to_bytes())
            if node.reset_cause == _WATCHDOG_RESET:
                self.note(codes.WATCHDOG)

    # --- settings ---

    def begin_waking(self) -> None:
        """Before anything is done: a trial counts a waking, and what was set since comes into force."""
        if self.config is None:
            return
        counter, tried = self.config.counter, self.config.on_trial
        self.config.begin_waking()
        if tried and not self.config.on_trial:
            self.note(codes.CONFIG_REVERTED, counter & 0xFF)
        if tuple(self.setting("alarms")) != self._rows:
            now_ms = self.node.clock.now_ms()
            kept = self.alarms.to_bytes(now_ms) if self.alarms else self.state.load(STATE_ALARMS)
            self._set_alarms(kept, self.watches.to_bytes() if self.alarms else None, self.alarms is not None)

    def _set_alarms(self, kept: "bytes | None", watched: "bytes | None", slept: bool) -> None:
        # Alarms as the settings have them, standing where `kept` says.
        self._rows = tuple(self.setting("alarms"))
        self.alarms = Alarms(self._rows) if self._rows else None
        if self.alarms is not None:
            self.alarms.load(kept, self.node.clock.now_ms(), slept)
            self.watches = Watches(self._rows)
            self.watches.load(watched, slept)

    def wants_downlink(self) -> bool:
        """Whether any answer of the network would be worth asking for."""
        return self.config is not None and bool(self.config.wants_downlink)

    def _open_config(self):  # type: ignore[no-untyped-def]
        if self.config is None:
            self.config = self.node.make_config(self.state)
        return self.config

    def setting(self, name: str):  # type: ignore[no-untyped-def]
        """``interval_s`` or ``alarms``: the owner's, else the profile's."""
        if self.config is not None:
            return getattr(self.config.settings, name)
        return self.node.profile.get(name, ())

    def calibrations(self) -> tuple:
        """The profile's calibrations, and in the place of the same quantity those that the owner has sent."""
        profiled = self.node.profile.get("calibrations", ())
        if not profiled and self.config is None:
            return ()
        from ..sampling.calibration import from_bytes
        from .settings import calibration_of

        chosen = {}
        for data in profiled:
            try:
                calibration = from_bytes(data)
            except ValueError:
                continue  # it was refused when the node started (refusal.py)
            chosen[calibration.code] = calibration
        if self.config is not None:
            for code in self.node.quantities:
                given = self.config.settings.calibration(code)
                if given is not None:
                    chosen[code] = calibration_of(*given)
        return tuple(chosen.values())

    # --- noting ---

    def note(self, code: int, detail: int = 0) -> None:
        """An event for the daily status."""
        now_s = self.keeper.at(self.node.clock.now_ms()) // 1000 if self.keeper.known else 0
        self.events.note(code, detail, now_s)

    def judge(self, readings: dict, time_s: int) -> None:
        """Look at a sampling taken at `time_s`: alarms that change are in flash before anybody is told."""
        now_ms = self.node.clock.now_ms()
        for sensor in self.node.profile["sensors"]:
            code = sensor["quantities"][0]
            if readings.get(code, (None, ABSENT))[1] in (FAULT, ABSENT):
                self.note(codes.SENSOR_FAULT, code)
        if self.alarms is None:
            return
        local_s = self._local_s(time_s) if self.keeper.known else None
        changed = self.alarms.evaluate(readings, now_ms, self.watches.feed(readings, now_ms // 1000, local_s))
        if changed:
            self.keep_alarms()

    def _local_s(self, time_s: int) -> int:
        from .daylight import local_s

        profile = self.node.profile
        return local_s(time_s, profile.get("utc_offset_s", 3600), profile.get("summer_time", True))

    def wants_reading(self, now_ms: int) -> bool:
        """Whether a sampling now would raise an alarm whose hold-off has passed."""
        return self.alarms is not None and self.alarms.wants_reading(now_ms)

    def keep_alarms(self) -> None:
        """Alarms to flash."""
        self.state.commit(STATE_ALARMS, self.alarms.to_bytes(self.node.clock.now_ms()))

    # --- telling ---

    def tell_urgent(self, sender) -> None:  # type: ignore[no-untyped-def]
        """Alarms before everything else, confirmed; a raise even when the day's airtime is used up."""
        if self.alarms is None:
            return
        clock = self.node.clock
        reports = self.alarms.due(clock.now_ms())
        if not reports or not (self.alarms.urgent() or sender.delivery.may_send(clock.now_ms())):
            return
        reports = reports[: alarm_codec.capacity(sender.runner.mac.max_payload())]
        if not reports:
            return
        journal = sender.journal
        newest = journal.next_id - 1 if journal.next_id else alarm_codec.NO_RECORD
        payload = alarm_codec.encode(journal.generation, newest, self.keeper.stamp(clock.now_ms()), reports)
        outcome = sender.exchange(alarm_codec.F_PORT, payload, confirmed=True)
        if outcome.code == "sent":
            self.alarms.told(reports, clock.now_ms(), outcome.acked)

    def tell_rest(self, sender) -> None:  # type: ignore[no-untyped-def]
        """Answers to commands, and the daily status, as far as fair use allows.

        Before the records, which would spend every answer that the day allows as long as frames get lost.
        """
        if self.config is not None:
            self._answer_command(sender)
        now_ms = self.node.clock.now_ms()
        if self.tally.due(now_ms) and sender.delivery.may_send(now_ms) and sender.delivery.may_ask(now_ms):
            self._tell_status(sender)

    def tell_new_answer(self, sender) -> None:  # type: ignore[no-untyped-def]
        """The answer to what was asked for in this waking: at once, for somebody may be waiting."""
        if self._answers_anew and self.config is not None:
            self._answers_anew = False
            self._answer_command(sender, True)

    def _answer_command(self, sender, anew: bool = False) -> None:  # type: ignore[no-untyped-def]
        # What is in flash stays there until the network has confirmed it; a refusal is said once.
        answer, kept = self.config.next_answer(), self.config.keeps_answer
        delivery, now_ms = sender.delivery, self.node.clock.now_ms()
        if answer is None or not delivery.may_send(now_ms):
            return
        if kept and not anew and not delivery.may_ask(now_ms):
            return
        outcome = sender.exchange(COMMAND_PORT, answer, confirmed=kept)
        if outcome.code == "sent" and kept:
            delivery.spend_answer()
        if outcome.code == "sent" and (outcome.acked or not kept):
            self.config.answer_sent()

    def _tell_status(self, sender) -> None:  # type: ignore[no-untyped-def]
        limit = sender.runner.mac.max_payload()
        if limit < status_codec.SIZE:
            return
        now_ms = self.node.clock.now_ms()
        status = status_codec.Status()
        status.profile = self.node.profile["id"]
        status.version = tuple([int(part) for part in self.node.version.split(".")[:3]])
        status.micropython = self.node.micropython
        status.configuration = self.config.counter if self.config is not None else 0
        status.uptime_s = now_ms // 1000
        status.battery_mv = self.node.battery_mv
        self.tally.note_heap(self.node.free_heap())
        self.tally.prepare(status, now_ms, self.budget.charge_mc())
        payload, told = status_codec.encode(status, self.events.counts(), limit)
        outcome = sender.exchange(status_codec.F_PORT, payload, confirmed=True)
        if outcome.code == "sent":
            sender.delivery.spend_answer()
        if outcome.code == "sent" and outcome.acked:
            self.events.settle(told)
            self.tally.settle(now_ms)
            self.state.commit(STATE_EVENTS, self.events.to_bytes())

    def act(self, cycle) -> None:  # type: ignore[no-untyped-def]
        """Do what an accepted command asks for."""
        if self.config is not None and self.config.actions:
            _perform(self.config, cycle)
            self.node.forget("app.actions")  # rarely needed
            self._answers_anew = True
            self.tell_new_answer(cycle.make_sender())

    # --- taking ---

    def take(self, f_port: int, payload: bytes) -> None:
        """A downlink that is not about records."""
        if not payload:
            return  # an acknowledgement or MAC commands alone
        if f_port == COMMAND_PORT:
            now_s = self.keeper.at(self.node.clock.now_ms()) // 1000 if self.keeper.known else None
            code = self._open_config().take(payload, now_s)
            print("command answered with", code)
            self._answers_anew = True
            if code:
                self.note(codes.REPLAY if code == 2 else codes.BAD_COMMAND, code)
        elif f_port == alarm_codec.F_PORT and self.alarms is not None:
            self._acknowledge(payload)
        else:
            print("downlink on port", f_port, "ignored")

    def _acknowledge(self, payload: bytes) -> None:
        try:
            generation, alarms = alarm_codec.decode_acknowledgement(payload)
        except ValueError as error:
            print("downlink ignored:", error)
            return
        if generation != self.generation:
            print("downlink ignored: of another journal")
            return
        now_ms = self.node.clock.now_ms()
        known = [self.alarms.acknowledge(kind, code, number, now_ms) for kind, code, number in alarms]
        if any(known):
            self.keep_alarms()

    def heard(self) -> None:
        """The MAC accepted a downlink: settings on trial are good."""
        if self.config is not None:
            self.config.heard_downlink()

    def save(self) -> None:
        """Everything into the sections of RTC memory."""
        sections = self.node.retained.sections
        if self.alarms is not None:
            sections[RTC_ALARMS] = self.alarms.to_bytes(self.node.clock.now_ms())
            sections[RTC_WATCHES] = self.watches.to_bytes()
        sections[RTC_EVENTS] = self.events.to_bytes()
        sections[RTC_BUDGET] = self.budget.to_bytes()
        sections[RTC_TALLY] = self.tally.to_bytes()
