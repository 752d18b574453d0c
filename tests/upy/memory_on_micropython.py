# SPDX-License-Identifier: MIT
# Runs under MicroPython: every duty of a waking with only n bytes of heap left, for every n from none to enough.
#
# Arguments: the folder with the compiled `node` and `hardware`, main.py, two commands sealed for this
# node, the name of a duty, the step between two n and the first of them in blocks, and the gate to try ("": all).
#
# A gate is a function of the firmware: when it is called, the heap is filled until n bytes are left, and the
# duty goes on with those. What happens then is judged: the node goes to sleep or resets itself, whatever n is;
# flash is, byte for byte, as some moment of the waking with enough memory left it; no counter was used twice on
# air; and with the memory back, after a reset as well as after a power cut, its next wakings find everything:
# records, session, settings. Not here: the world (bare_world.py), the imports of a waking (the code is there).

import gc
import sys
from binascii import crc32, unhexlify

sys.path.insert(0, sys.argv[1])

import bare_node
import hardware  # noqa: F401
from bare_node import Moment, live, records_now, session_now
from bare_world import Modem, world
from node.app import config as settings
from node.app import cycle, reporter, sender, tally, wiring
from node.codec import uplink
from node.hal import retained
from node.lorawan import crypto, mac, runner
from node.storage import journal, state
from node.storage.delivery import Delivery

MAIN, COMMANDS, DUTY, STEP, FIRST, ONLY = sys.argv[2:8]
BLOCK = 32  # bytes of heap that are given away at once, on 64 bits
_LOADED = set()  # modules
MOST_BYTES = 65536  # twice what any duty takes
MOST_WAKINGS = 12  # until a node that lost its session has joined again
ENOUGH = 24  # so many n in a row without a failure end a gate
PLACES = (
    (wiring.Node, "__init__"),
    (wiring.Node, "open_state"),
    (cycle.Cycle, "__init__"),
    (cycle.Cycle, "run"),
    (cycle.Cycle, "take_record"),
    (cycle.Cycle, "talk"),
    (cycle.Cycle, "account"),
    (cycle.Cycle, "save"),
    (wiring.Node, "make_runner"),
    (journal.Journal, "append"),
    (journal.Journal, "read"),
    (state.StateLog, "commit"),
    (state.StateLog, "_open_sector"),
    (retained.Retained, "save"),
    (reporter.Reporter, "judge"),
    (reporter.Reporter, "take"),
    (reporter.Reporter, "act"),
    (reporter.Reporter, "tell_urgent"),
    (reporter.Reporter, "tell_rest"),
    (tally.Tally, "settle"),
    (settings.Config, "take"),
    (settings.Config, "begin_waking"),
    (settings.Config, "answer_sent"),
    (sender.Sender, "send"),
    (sender.Sender, "_settle"),
    (runner.Runner, "join"),
    (runner.Runner, "send"),
    (runner.Runner, "_exchange"),
    (mac.Mac, "uplink"),
    (mac.Mac, "receive"),
    (Modem, "start_tx"),
    (Modem, "poll_rx"),
)
_SEEN = ("Reporter.take", "Sender._settle")
_CALLS = 4  # of one function in a waking, each a gate of its own


# --- the heap --------------------------------------------------------------------------------------------


class Gate:
    """Fills the heap when the chosen call comes."""

    def __init__(self):
        self.left = -1  # calls until it closes; below 0: never
        self.name = ""
        self.bytes = 0
        self.chain = None
        self.reserve = None
        self.calls = {}
        self.seen = 0  # bit i: the application saw the answer to uplink i of this waking

    def passed(self, name):
        if self.left >= 0 and name == self.name:
            self.left -= 1
            if self.left < 0:
                self.close()

    def close(self):
        """Fill the heap but for one piece of `bytes`."""
        gc.collect()
        if self.bytes:
            self.reserve = bytearray(self.bytes)
        chain, size = None, 65536
        while size >= BLOCK:
            try:
                while True:
                    chain = (chain, bytearray(size)) if size > BLOCK else (chain,)
            except MemoryError:
                size //= 2
        self.chain = chain
        self.reserve = None
        gc.collect()

    def open(self):
        self.left = -1
        self.chain = None
        gc.collect()


gate = Gate()


def guard(owner, name):
    """Make a method of the firmware a gate."""
    real = getattr(owner, name)
    label = owner.__name__ + "." + name
    gate.calls[label] = 0

    def guarded(*given, **named):
        gate.passed(label)
        gate.calls[label] += 1
        if label in _SEEN:
            gate.seen |= 1 << world.uplinks - 1
        return real(*given, **named)

    setattr(owner, name, guarded)


# --- what is judged --------------------------------------------------------------------------------------


class Judge:
    """Of one duty: what flash may look like, what was on air before, and what was found wrong."""

    def __init__(self, duty):
        self.cause, self.answers, self.readings = duty()
        self.earlier = world.frames()
        self.before, self.after = Moment(), Moment()
        self.keys = {}  # by address
        self.fcnt_down = self.learn().fcnt_down
        self.allowed = {crc32(world.flash)}
        self.judged = set()
        self.faults = 0
        self.points = 0
        self.failures = 0
        gate.calls = dict.fromkeys(gate.calls, 0)
        world.on_operation = lambda: self.allowed.add(crc32(world.flash))
        ended = self.waking()
        world.on_operation = None
        assert ended == "asleep", ended
        self.calls = dict(gate.calls)
        self.later = world.frames()

    def waking(self, before=None):
        self.before.restore()
        gate.seen = 0
        return live(self.cause, self.answers, self.readings, before)

    def starve(self, label, call, size):
        """The waking, with `size` bytes left from a call of a gate; whether that was enough."""
        gate.name, gate.left, gate.bytes = label, call, size
        ended = self.waking(gate.close if label == "main" else None)
        gate.open()
        for name in set(sys.modules) - _LOADED:
            del sys.modules[name]
        self.points += 1
        self.failures += ended != "asleep"
        self.where = "{} {} {}".format(label, call, size)
        self.judge(ended)
        return ended == "asleep"

    def fault(self, *words):
        self.faults += 1
        print("## fault", DUTY, self.where, *words)

    def judge(self, ended):
        frames = world.frames()
        if ended not in ("asleep", "reset", "later"):
            self.fault("came out of main.py:", repr(ended))
        if world.breaches:
            self.fault("unerased flash was programmed")
            world.breaches = 0
        if crc32(world.flash) not in self.allowed:
            self.fault("flash is as no moment of the waking left it")
        told = crc32(b"".join(frames), crc32(world.flash, crc32(world.rtc)))
        key = (told, world.rtc_used, world.now_us, gate.seen, ended)
        if key in self.judged:
            return
        self.judged.add(key)
        session = session_now()
        for index in range(len(self.answers)):
            if gate.seen >> index & 1 and session.joined and session.fcnt_down <= self.fcnt_down + index:
                self.fault("a downlink that the application saw would be taken again")
        self.after.take()
        for cause in (2 if ended == "reset" else 4, 1):
            self.after.restore()
            if cause == 1:
                world.rtc_used, world.now_us = 0, 1000000
            self.recover(cause, frames)

    def recover(self, cause, frames):
        """With its memory back the node goes on."""
        generation, kept = records_now()
        for number in range(MOST_WAKINGS):
            session = self.learn()
            at_home = session.joined and not session.lost
            if number > 1 and at_home and len(records_now()[1]) > len(kept):
                break
            answers = () if at_home else (bare_node.accept(2 + len(frames) + number),)
            ended = live(cause, answers)
            if ended != "asleep":
                self.fault("did not recover from", cause, repr(ended))
                return
            cause = 4
        else:
            self.fault("has no session or takes no records")
        new_generation, records = records_now()
        if kept and generation != new_generation:
            self.fault("the journal started anew")
        if any(records.get(number) != kept[number] for number in kept):
            self.fault("records were lost")
        frames = self.earlier + frames + world.frames()
        seen = set()
        for wire in frames:
            counter = wire[17:19] if wire[0] == 0 else wire[1:5] + wire[6:8]
            if counter in seen:
                self.fault("a counter was used twice", wire)
            seen.add(counter)
        delivery = Delivery(0)
        delivery.load(retained.Retained().sections[3], 0)
        lacking = set(records) - self.told(frames) - set(delivery.queue(len(records), 9999))
        if lacking:
            self.fault("records that will never be sent", sorted(lacking))

    def learn(self):
        """The session, whose key opens what was sent in it."""
        session = session_now()
        self.keys[session.dev_addr] = session.app_s_key
        return session

    def told(self, frames):
        """Ids of the records on air."""
        found = set()
        for wire in frames:
            at = 8 + (wire[5] & 15)
            if wire[0] == 0 or len(wire) - 4 <= at or wire[at] != bare_node.READINGS_PORT:
                continue
            addr, fcnt = int.from_bytes(wire[1:5], "little"), wire[6] | wire[7] << 8
            payload = crypto.crypt_payload(bare_node.aes(self.keys[addr]), 0, addr, fcnt, wire[at + 1 : -4])
            if payload:
                read = uplink.decode(payload, lambda profile: (11, 12, 13, 14))
                found |= {record["id"] for record in read["records"]}
        return found


def main():
    for index, sealed in enumerate(COMMANDS.split(",")):
        bare_node.commands[index] = unhexlify(sealed)
    with open(MAIN) as file:
        bare_node.program[0] = compile(file.read(), "main.py", "exec")
    world.identity = (bare_node.DEV_EUI, bare_node.JOIN_EUI, bare_node.APP_KEY, bare_node.COMMAND_KEY)
    wiring.wire = bare_node.BareNode
    for owner, name in PLACES:
        guard(owner, name)
    step, first = int(STEP), int(FIRST)
    judge = Judge(getattr(bare_node, "duty_" + DUTY))
    _LOADED.update(sys.modules)
    gates = [("main", 0)]
    for label in sorted(judge.calls):
        gates += [(label, call) for call in range(min(_CALLS, judge.calls[label]))]
    for label, call in gates:
        if ONLY not in ("", label):
            continue
        size, enough, least = first * BLOCK, 0, -1
        while enough < max(1, ENOUGH // step):
            if size > MOST_BYTES:
                judge.fault("is never enough")
                break
            if judge.starve(label, call, size):
                enough += 1
                least = size if enough == 1 else least
            else:
                enough = 0
            size += step * BLOCK
        print("## gate", label, call, "enough", least)
    print("## done", len(gates), judge.points, judge.failures, len(judge.judged), judge.faults)


main()
