# SPDX-License-Identifier: MIT
# Runs under MicroPython: what a node touches, without hardware - the modules machine, esp32, time and os, flash,
# RTC memory, a network that hears everything. The campaign that uses it starves the node of memory, so what
# belongs to the world is made beforehand: it takes nothing of the node's heap while the node runs, but what a
# real driver would (a packet that was received).
#
# Not here: physics, chips, what the campaign does and judges (memory_on_micropython.py).

import sys

SECTOR = 4096
STATE_BYTES = 10 * SECTOR
JOURNAL_BYTES = 3 * SECTOR
RTC_BYTES = 2048
_AIR_BYTES = 4096


class Asleep(BaseException):
    """The node sleeps deeply: its waking is over."""


class WasReset(BaseException):
    """The node has reset itself."""


ASLEEP, RESET = Asleep(), WasReset()


class World:
    """All that is outside of the node, and what it remembers of it."""

    def __init__(self):
        self.flash = bytearray(b"\xff" * (STATE_BYTES + JOURNAL_BYTES))
        self.rtc = bytearray(RTC_BYTES)
        self.rtc_used = 0
        self.now_us = 1000000
        self.cause = 1
        self.air = bytearray(_AIR_BYTES)  # frames, each after its length
        self.air_used = 0
        self.uplinks = 0  # of this waking
        self.answers = ()  # to the uplinks of this waking, None for none
        self.readings = ()
        self.random = 0
        self.operations = 0  # on flash
        self.on_operation = None
        self.breaches = 0  # of the rules of flash
        self.identity = ()
        self.slept_ms = 0

    def copy_from(self, data, into, offset):
        """Bytes into one of the world's arrays, without a slice."""
        for index in range(len(data)):
            into[offset + index] = data[index]

    def on_air(self, wire):
        """A frame is out: it is remembered for ever."""
        self.air[self.air_used] = len(wire)
        self.copy_from(wire, self.air, self.air_used + 1)
        self.air_used += 1 + len(wire)
        self.uplinks += 1

    def frames(self):
        """What was on air since this was last asked."""
        found, at = [], 0
        while at < self.air_used:
            size = self.air[at]
            found.append(bytes(self.air[at + 1 : at + 1 + size]))
            at += 1 + size
        self.air_used = 0
        return found


world = World()


class Partition:
    """A part of the world's flash, which counts as broken when somebody programs what is not erased."""

    TYPE_DATA = 1

    def __init__(self, label):
        self._start = 0 if label == "state" else STATE_BYTES
        self._size = STATE_BYTES if label == "state" else JOURNAL_BYTES

    @staticmethod
    def find(kind, label):
        return [Partition(label)]

    def info(self):
        return (1, 64, self._start, self._size, "", False)

    def readblocks(self, block, buffer, offset):
        flash, at = world.flash, self._start + block * SECTOR + offset
        for index in range(len(buffer)):
            buffer[index] = flash[at + index]

    def writeblocks(self, block, data, offset):
        flash, at = world.flash, self._start + block * SECTOR + offset
        for index in range(len(data)):
            if data[index] & ~flash[at + index]:
                world.breaches += 1
            flash[at + index] &= data[index]
        self._done()

    def ioctl(self, op, block):
        flash, at = world.flash, self._start + block * SECTOR
        for index in range(SECTOR):
            flash[at + index] = 0xFF
        self._done()

    def _done(self):
        world.operations += 1
        if world.on_operation is not None:
            world.on_operation()


class Nvs:
    """The identity."""

    def __init__(self, name):
        pass

    def get_blob(self, key, buffer):
        data = world.identity[("dev_eui", "join_eui", "app_key", "command_key").index(key)]
        world.copy_from(data, buffer, 0)
        return len(data)


class Rtc:
    """RTC memory: as the port has it, a copy in and a copy out."""

    def memory(self, data=None):
        if data is None:
            return bytes(memoryview(world.rtc)[: world.rtc_used])
        world.copy_from(data, world.rtc, 0)
        world.rtc_used = len(data)
        return None


class Watchdog:
    def __init__(self, timeout):
        pass

    def feed(self):
        pass


class Pin:
    OUT, IN = 3, 1

    def __init__(self, number, mode=1, value=0):
        pass

    def __call__(self, level=None):
        return 0


class _Namespace:
    pass


def _sleep_us(duration_us):
    world.now_us += max(0, duration_us)


def _sleep_ms(duration_ms):
    world.now_us += max(0, duration_ms) * 1000


def _sleep_deeply(duration_ms):
    world.now_us += duration_ms * 1000
    world.slept_ms = duration_ms
    raise ASLEEP


def _reset():
    raise RESET


def _ticks_us():
    world.now_us += 1
    return world.now_us


def _urandom(count):
    world.random += 1
    return bytes([(world.random * 37 + index * 11) & 0xFF for index in range(count)])


def _install():
    """Put the stand-ins where the firmware looks for modules."""
    machine, esp32, time, os = _Namespace(), _Namespace(), _Namespace(), _Namespace()
    machine.DEEPSLEEP_RESET = 4
    machine.reset_cause = lambda: world.cause
    machine.lightsleep, machine.deepsleep, machine.reset = _sleep_ms, _sleep_deeply, _reset
    machine.RTC, machine.WDT, machine.Pin = Rtc, Watchdog, Pin
    machine.ADC = machine.SPI = machine.UART = machine.I2C = machine.SoftI2C = None
    esp32.Partition, esp32.NVS = Partition, Nvs
    time.ticks_us = _ticks_us
    time.ticks_ms = lambda: _ticks_us() // 1000
    time.ticks_diff = lambda end, start: end - start
    time.ticks_add = lambda ticks, delta: ticks + delta
    time.sleep_ms, time.sleep_us, time.sleep = _sleep_ms, _sleep_us, lambda s: _sleep_ms(int(s * 1000))
    time.time_ns = lambda: world.now_us * 1000
    os.urandom = _urandom
    for name, module in (("machine", machine), ("esp32", esp32), ("time", time), ("os", os), ("onewire", os)):
        sys.modules[name] = module


_install()


class Modem:
    """A radio for which everything arrives, and that hears what the world answers to the n-th uplink."""

    min_power_dbm = -9
    max_power_dbm = 22
    rx_latency_us = 0

    def __init__(self, packet):
        self._packet = packet
        self._wire = b""

    def prepare_tx(self, parameters, payload, power_dbm):
        self._wire = payload

    def start_tx(self):
        world.on_air(self._wire)
        return _ticks_us()

    def poll_tx(self):
        return _ticks_us()

    def prepare_rx(self, parameters, symbols):
        pass

    def start_rx(self):
        return _ticks_us()

    def poll_rx(self):
        number = world.uplinks - 1
        if number >= len(world.answers) or world.answers[number] is None:
            return False
        return self._packet(world.answers[number], -80, 30, _ticks_us())

    def standby(self):
        pass

    sleep = standby


class Sensor:
    """All of the profile's quantities at once."""

    def start(self):
        return 50

    def read(self):
        return world.readings

    def stop(self):
        pass
