# SPDX-License-Identifier: MIT
# Runs under MicroPython: the shipped main.py over the stand-ins of bare_world.py, and the moments of a node's
# life that the campaign on memory starts from (memory_on_micropython.py).
#
# Before importing it: the folder of the compiled `node` and `hardware` is in sys.path.

import cryptolib
from bare_world import Asleep, Modem, Sensor, WasReset, world
from node.app import wiring
from node.codec import alarm as alarm_codec
from node.codec import downlink
from node.hal import retained
from node.hal.flash import PartitionRegion
from node.lorawan import crypto, frame, mac
from node.lorawan.region.eu868 import REGION
from node.radio.modem import RxPacket
from node.storage import journal, state

# An image has no names for constants (communode.folding): these are SPEC.md's and TS001's.
READINGS_PORT, RECORDS_PORT, ALARM_PORT = 2, 3, 5
UNCONFIRMED_DOWN, ACK = 0x60, 0x20
DEV_EUI, JOIN_EUI = bytes(range(8)), bytes(range(8, 16))
APP_KEY, COMMAND_KEY = bytes(range(16)), bytes(range(16, 32))
GPS_S = 1456444818  # 2026-03-02
NORMAL = ((11, 900, 0), (12, 460, 0), (13, 20, 0), (14, 3900, 0))
FULL = ((11, 220, 0), (12, 980, 0), (13, 20, 0), (14, 3900, 0))
LATER_MS = 60000
_NAMES = ("__name__", "sys", "time", "machine", "pack", "hardware", "run", "wire", "error")

program = [None]  # main.py, compiled
commands = [b"", b""]  # sealed for this node: new settings; things to do


def aes(key):
    return cryptolib.aes(key, 1)


class BareNode(wiring.Node):
    """The node with a radio and sensors of this world."""

    def __init__(self, hardware):
        super().__init__(hardware)
        self.free_heap = lambda: 50000  # it is told: what is sent must not depend on what is tried here
        self.board["battery"] = None

    def make_modem(self):
        return Modem(RxPacket)

    def make_sensors(self):
        return [Sensor()]


class Moment:
    """All that outlives a waking. Made once and filled again: what is large stays where it is."""

    def __init__(self):
        self.flash, self.rtc = bytearray(world.flash), bytearray(world.rtc)
        self.take()

    def take(self):
        self.flash[:] = world.flash
        self.rtc[:] = world.rtc
        self.rest = (world.rtc_used, world.now_us, world.random)

    def restore(self):
        world.flash[:] = self.flash
        world.rtc[:] = self.rtc
        world.rtc_used, world.now_us, world.random = self.rest
        world.uplinks = 0


class Scope:
    """main.py's names. They have their places already: a real node starts it with an empty heap."""

    def __init__(self):
        self.names = dict.fromkeys(_NAMES)


def live(cause, answers=(), readings=NORMAL, before=None):
    """One waking, main.py and all: "asleep", "reset", "later" (main.py's own last resort), or what came out."""
    world.cause, world.answers, world.readings = cause, answers, readings
    world.uplinks = world.slept_ms = 0
    scope = Scope()
    try:
        if before is not None:
            before()
        exec(program[0], scope.names)
    except Asleep:
        return "later" if world.slept_ms == LATER_MS else "asleep"
    except WasReset:
        return "reset"
    except BaseException as error:
        return error
    return None


def session_now():
    """The session as a node that starts now finds it."""
    found = mac.Mac(REGION, aes, DEV_EUI, JOIN_EUI, APP_KEY)
    sections = retained.Retained().sections
    log = state.StateLog(PartitionRegion("state"))
    found.restore(log.load(1), sections.get(1), world.now_us // 1000)
    return found.session


def records_now():
    """Generation and the records of the journal, by id."""
    found = journal.Journal(PartitionRegion("journal"), 0)
    return found.generation, {number: found.read(number) for number in range(found.next_id)}


def accept(number):
    """A join-accept."""
    address = (0x26000000 + number).to_bytes(4, "little")
    clear = number.to_bytes(3, "little") + b"\x13\0\0" + address + b"\x03\x01"
    sealed = clear + crypto.cmac(aes(APP_KEY), b"\x20" + clear)[:4]
    return b"\x20" + aes(APP_KEY).decrypt(sealed)


def answers_for(session, *contents):
    """Downlinks to the next uplinks: each None or (f_opts, f_port, payload)."""
    security = frame.Security(session.dev_addr, aes(session.nwk_s_key), aes(session.app_s_key))
    fcnt = session.fcnt_down
    made = []
    for content in contents:
        if content is None:
            made.append(None)
            continue
        f_opts, f_port, payload = content
        made.append(frame.build_data(security, UNCONFIRMED_DOWN, ACK, fcnt, f_opts, f_port, payload))
        fcnt += 1
    return tuple(made)


def time_answer():
    return b"\x0d" + (GPS_S + world.now_us // 1000000).to_bytes(4, "little") + b"\0"


EMPTY = (b"", None, b"")


# --- the duties: each makes its moment and returns (reset cause, answers, readings) of its waking -----------


def joined(wakings):
    assert live(1, (accept(1),)) == "asleep"
    session = session_now()
    assert session.joined
    assert live(4, answers_for(session, (time_answer(), None, b""))) == "asleep"
    for _ in range(wakings):
        assert live(4) == "asleep"


def duty_join():
    world.random = 7
    return 1, (accept(1),), NORMAL


def duty_record():
    joined(2)
    return 4, (), NORMAL


def duty_start():
    joined(2)
    return 2, (), NORMAL


def duty_backfill():
    joined(4)
    generation, _ = records_now()
    missing = downlink.encode_acknowledgement(generation, 1, [(3, 1), (1, 1)])
    return 4, answers_for(session_now(), (b"", RECORDS_PORT, missing), EMPTY, EMPTY), NORMAL


def duty_alarm():
    joined(1)
    for _ in range(2):
        assert live(4, (), FULL) == "asleep"
    return 4, answers_for(session_now(), EMPTY, EMPTY), FULL


def duty_acknowledge():
    joined(1)
    for _ in range(2):
        assert live(4, (), FULL) == "asleep"
    assert live(4, answers_for(session_now(), EMPTY), FULL) == "asleep"
    generation, _ = records_now()
    payload = alarm_codec.encode_acknowledgement(generation, [(1, 12, 1)])
    return 4, answers_for(session_now(), (b"", ALARM_PORT, payload)), FULL


def duty_command():
    joined(2)
    command = commands[0]
    return 4, answers_for(session_now(), (b"", 4, command), EMPTY), NORMAL


def duty_actions():
    joined(4)
    command = commands[1]
    return 4, answers_for(session_now(), (b"", 4, command), EMPTY, EMPTY, EMPTY), NORMAL


def duty_trial():
    joined(2)
    command = commands[0]
    assert live(4, answers_for(session_now(), (b"", 4, command))) == "asleep"
    return 4, answers_for(session_now(), EMPTY, EMPTY), NORMAL


def duty_status():
    joined(6)
    return 4, answers_for(session_now(), EMPTY, EMPTY), NORMAL
