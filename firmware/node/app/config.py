# SPDX-License-Identifier: MIT
# The node's configuration: commands accepted, kept over power cuts, taken back when they cut it off. Pure.
#
# Not here: the bytes of commands (codec/command.py), what may be set (settings.py), doing what a command asks
# for (cycle.py: it reads the properties below and calls `finish`).
#
# State before deed: counter, new settings, pending actions and the answer are one record in the state log, so
# a command is accepted by one atomic write and a power cut finds it accepted or unheard of; what it asks for
# is done afterwards, from that record. The counter in it never goes down, so nothing is accepted twice.
# A refusal writes nothing at all. Nothing in RAM changes before flash has changed: a MemoryError on the way
# leaves the old state.
#
# New settings are on trial for TRIAL_WAKINGS wakings. They are confirmed by the first downlink that the
# network sends in a later waking than the one that brought them; without any, the settings before them come
# back. Each waking on trial is counted in flash before it does anything: settings that crash the node, or
# brown it out, count down as well.
#
# How the cycle uses it (the order matters):
#   begin_waking()                 first of all
#   settings...                    interval_s, alarms, calibration(quantity), ask_after, profile
#   wants_downlink                 while true, uplinks ask the network for an answer (DeviceTimeReq, say)
#   heard_downlink()               for every downlink that the MAC accepted, before its payload is looked at
#   take(payload, now_s)           for a payload on codec.command.F_PORT
#   next_answer(), answer_sent()   the payload of an uplink on that port, and that it went on the air
#   actions, finish(action)        REBOOT: finish, then reset; the others: do, then finish

import struct

from micropython import const

from ..codec.command import (
    EXPIRED,
    MALFORMED,
    NO_TIME,
    OK,
    OUT_OF_RANGE,
    REBOOT,
    RECORDS,
    REJOIN,
    REPLAY,
    REVERTED,
    SELF_TEST,
    SELF_TESTED,
    WHOLE,
    Refusal,
    claimed_counter,
    make_answer,
    open_command,
    seal,
    unpack_parts,
)
from .settings import Abilities, Settings

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from ..codec.command import Mac
    from ..storage.state import StateLog

STATE_CONFIG = const(3)  # kinds of the state log
STATE_LAST_GOOD = const(4)

TRIAL_WAKINGS = const(24)
MAX_LIFE_S = const(2678400)  # 31 days: a command that lies in a queue for longer is nobody's wish any more
MAX_ANSWERS = const(4)

_VERSION = const(1)
_FORMAT = "<BIBBIIB"
_HEAD = const(16)
_ANSWER = "<IBB"
_ANSWER_SIZE = const(6)
_ACTIONS = (REBOOT, REJOIN, SELF_TEST, RECORDS)


class Stored:
    """What one record in flash holds. Changed only as a copy that is then committed."""

    def __init__(self, settings: Settings) -> None:
        self.counter = 0  # of the last command that was accepted
        self.trial = 0  # wakings left on trial; 0: confirmed
        self.actions = 0  # bit i: _ACTIONS[i] is to be done
        self.records = (0, 0)  # first and last second of the records asked for
        self.answers = []  # (counter, code, detail), oldest first
        self.settings = settings

    def copy(self) -> "Stored":
        """The same, to be changed."""
        twin = Stored(self.settings)
        twin.counter = self.counter
        twin.trial = self.trial
        twin.actions = self.actions
        twin.records = self.records
        twin.answers = list(self.answers)
        return twin

    def add_answer(self, counter: int, code: int, detail: int = WHOLE) -> None:
        """Put an answer into the queue; the oldest gives way."""
        self.answers.append((counter, code, detail))
        if len(self.answers) > MAX_ANSWERS:
            self.answers.pop(0)

    def to_bytes(self) -> bytes:
        """SPEC.md, "Configuration record"."""
        first_s, last_s = self.records
        count = len(self.answers)
        head = struct.pack(_FORMAT, _VERSION, self.counter, self.trial, self.actions, first_s, last_s, count)
        for item in self.answers:
            head += struct.pack(_ANSWER, *item)
        return head + self.settings.to_parts()


def read_stored(data: "bytes | None", abilities: Abilities) -> "tuple[Stored, bool]":
    """(what a record holds, whether its settings are possible here); where they are not, only the counter.

    That is no damage: another image has other profiles.
    """
    stored = Stored(Settings(abilities))
    if data is None or len(data) < _HEAD or data[0] != _VERSION:
        return stored, False
    _, counter, trial, actions, first_s, last_s, count = struct.unpack_from(_FORMAT, data)
    stored.counter = counter
    at = _HEAD + count * _ANSWER_SIZE
    settings = Settings(abilities)
    try:
        if at > len(data) or count > MAX_ANSWERS or trial > TRIAL_WAKINGS or actions >> len(_ACTIONS):
            return stored, False
        for kind, values in unpack_parts(data[at:]):
            if not settings.apply(kind, values):
                return stored, False
    except Refusal:
        return stored, False
    stored.trial = trial
    stored.actions = actions
    stored.records = (first_s, last_s)
    stored.settings = settings
    for start in range(_HEAD, at, _ANSWER_SIZE):
        stored.answers.append(struct.unpack_from(_ANSWER, data, start))
    return stored, True


class Config:
    """The configuration in force, over a state log (`load(kind)`, `commit(kind, bytes)`)."""

    def __init__(self, state: "StateLog", abilities: Abilities, dev_eui: bytes, mac: "Mac") -> None:
        """`dev_eui` as printed; `mac` is AES-CMAC under the node's command key."""
        self._state = state
        self._abilities = abilities
        self._dev_eui = dev_eui
        self._mac = mac
        self._refusal = None  # (counter, code, detail): answered from RAM, never written
        self._may_refuse = True  # one refusal is answered a waking
        self._damaged = False
        data = state.load(STATE_CONFIG)
        stored, sound = read_stored(data, abilities)
        good, _ = read_stored(state.load(STATE_LAST_GOOD), abilities)
        stored.counter = max(stored.counter, good.counter)
        if not sound:
            stored.settings = good.settings
            if data is not None:
                stored.add_answer(stored.counter, REVERTED)
                self._damaged = True
        self._stored = stored

    # --- what holds ---

    @property
    def settings(self) -> Settings:
        """The settings in force; not to be changed in place."""
        return self._stored.settings

    @property
    def counter(self) -> int:
        """Counter of the last command that was accepted: names the configuration in the status uplink."""
        return self._stored.counter

    @property
    def on_trial(self) -> bool:
        """Whether the settings can still be taken back."""
        return self._stored.trial > 0

    @property
    def wants_downlink(self) -> bool:
        """Whether any downlink now would confirm the settings: uplinks should ask the network for one."""
        return 0 < self._stored.trial < TRIAL_WAKINGS

    @property
    def actions(self) -> tuple:
        """Kinds of the actions that wait: REBOOT, REJOIN, SELF_TEST, RECORDS."""
        return tuple([kind for bit, kind in enumerate(_ACTIONS) if self._stored.actions >> bit & 1])

    @property
    def records(self) -> tuple:
        """First and last second since 2000 of the records that RECORDS asks for."""
        return self._stored.records

    # --- the trial ---

    def begin_waking(self) -> None:
        """Count a waking of the trial, if there is one; settings that have used theirs up are taken back."""
        self._may_refuse = True
        fresh = self._stored.copy()
        if fresh.trial == 1:
            good, _ = read_stored(self._state.load(STATE_LAST_GOOD), self._abilities)
            fresh.settings = good.settings
            fresh.trial = 0
            fresh.add_answer(fresh.counter, REVERTED)
        elif fresh.trial:
            fresh.trial -= 1
        elif not self._damaged:
            return
        self._commit(fresh)
        self._damaged = False

    def heard_downlink(self) -> None:
        """The network was heard: settings that a waking was begun with are good."""
        if self.wants_downlink:
            fresh = self._stored.copy()
            fresh.trial = 0
            self._commit(fresh)

    # --- commands ---

    def take(self, payload: bytes, now_s: "int | None") -> int:
        """Accept or refuse a command as a whole; the code of the answer. `now_s`: since 2000, None = unknown.

        Only OSError of the flash and MemoryError come out of here; both leave the old state in force.
        """
        try:
            self._accept(payload, now_s)
        except Refusal as refusal:
            if self._may_refuse:
                self._refusal = (claimed_counter(payload), refusal.code, refusal.detail)
            return refusal.code
        return OK

    def _accept(self, payload: bytes, now_s: "int | None") -> None:
        counter, expiry_s, body = open_command(self._dev_eui, payload, self._mac)
        if counter <= self._stored.counter:
            raise Refusal(REPLAY)
        if not expiry_s:
            raise Refusal(MALFORMED)
        if now_s is None:
            raise Refusal(NO_TIME)
        if now_s > expiry_s:
            raise Refusal(EXPIRED)
        if expiry_s - now_s > MAX_LIFE_S:
            raise Refusal(OUT_OF_RANGE)
        parts = unpack_parts(body)
        if not parts:
            raise Refusal(MALFORMED)
        fresh = self._stored.copy()
        fresh.settings = fresh.settings.copy()
        fresh.counter = counter
        for index, (kind, values) in enumerate(parts):
            if kind in _ACTIONS:
                fresh.actions |= 1 << _ACTIONS.index(kind)
                if kind == RECORDS:
                    if values[0] > values[1]:
                        raise Refusal(OUT_OF_RANGE, index)
                    fresh.records = values
            elif not fresh.settings.apply(kind, values):
                raise Refusal(OUT_OF_RANGE, index)
        fresh.add_answer(counter, OK)
        if fresh.settings.to_parts() != self._stored.settings.to_parts():
            if not self._stored.trial:
                self._keep_last_good()
            fresh.trial = TRIAL_WAKINGS
        self._commit(fresh)

    def _keep_last_good(self) -> None:
        good = Stored(self._stored.settings)
        good.counter = self._stored.counter
        data = good.to_bytes()
        if self._state.load(STATE_LAST_GOOD) != data:
            self._state.commit(STATE_LAST_GOOD, data)

    def _commit(self, fresh: Stored) -> None:
        self._state.commit(STATE_CONFIG, fresh.to_bytes())
        self._stored = fresh

    # --- answers and actions ---

    def next_answer(self) -> "bytes | None":
        """The payload of the next uplink on codec.command.F_PORT, or None when nothing waits."""
        item = self._stored.answers[0] if self._stored.answers else self._refusal
        if item is None:
            return None
        return seal(self._dev_eui, make_answer(item[0], item[1], item[2], self.counter), self._mac)

    @property
    def keeps_answer(self) -> bool:
        """Whether the next answer is in flash, to be told until it is confirmed; a refusal is not."""
        return bool(self._stored.answers)

    def answer_sent(self) -> None:
        """That payload went on the air, and was confirmed where it is kept."""
        if self._stored.answers:
            fresh = self._stored.copy()
            fresh.answers.pop(0)
            self._commit(fresh)
        elif self._refusal:
            self._refusal = None
            self._may_refuse = False

    def finish(self, action: int) -> None:
        """An action is done (REBOOT: is about to be)."""
        fresh = self._stored.copy()
        fresh.actions &= ~(1 << _ACTIONS.index(action))
        self._commit(fresh)

    def finish_self_test(self, failed: int) -> None:
        """The self-test is done: bits 0-5 the profile's sensors, 6 flash, 7 radio have failed."""
        fresh = self._stored.copy()
        fresh.actions &= ~(1 << _ACTIONS.index(SELF_TEST))
        fresh.add_answer(fresh.counter, SELF_TESTED, failed)
        self._commit(fresh)
