# SPDX-License-Identifier: MIT
# `machine` as the ESP32 port of MicroPython 1.27 has it, in front of the virtual board.
# Constants carry the values of that port. What a board does not have raises as it does there.

import struct
import time as _time

import ops
import umachine as _unix
from buses import I2C, SPI, UART, SoftI2C, SoftSPI, _pin_number  # noqa: F401
from i2s import I2S  # noqa: F401
from link import LINK as _link

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
PIN_WAKE = 2
EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4
TOUCHPAD_WAKE = 5
ULP_WAKE = 6
SLEEP = 2
DEEPSLEEP = 4

BOOT = {}  # what the board said at boot: reset cause, wake reason, MAC, chip, gpio count
_IRQ = []  # the armed pins' handlers: [(pin, handler)]

_LARGEST_SKEW = 1 << 40  # negative values are errors on the wire

Signal = _unix.Signal


class Pin(_unix.PinBase):
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2
    WAKE_LOW = 4
    WAKE_HIGH = 5
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    def __init__(self, id, mode=-1, pull=-1, *, value=None, drive=0, hold=None):
        if isinstance(id, Pin):
            id = id.id
        if not isinstance(id, int) or not 0 <= id < BOOT["gpios"]:
            raise ValueError("invalid pin")
        self.id = id
        if mode != -1 or pull != -1 or value is not None:
            self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None, drive=0, hold=None):
        if value is not None:
            _link.post(ops.PIN_SET, self.id, 1 if value else 0)
        if mode != -1:
            _link.call(ops.PIN_MODE, self.id, mode | ((pull if pull and pull > 0 else 0) << 4))

    def value(self, level=None):
        if level is None:
            return _link.call(ops.PIN_GET, self.id)
        _link.post(ops.PIN_SET, self.id, 1 if level else 0)

    def __call__(self, level=None):
        return self.value(level)

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def irq(self, handler=None, trigger=3, wake=None, hard=False):
        if hard:
            raise ValueError("hard IRQ not supported")
        _IRQ[:] = [pair for pair in _IRQ if pair[0].id != self.id]
        if handler is None:
            trigger = 0
        else:
            _IRQ.append((self, handler))
        _link.call(ops.PIN_IRQ, self.id, trigger)
        _arm()

    def __repr__(self):
        return "Pin(%d)" % self.id


class ADC:
    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3
    WIDTH_12BIT = 3
    _FULL_UV = (950000, 1250000, 1750000, 3100000)

    def __init__(self, pin, *, atten=0):
        self._pin = _pin_number(pin)
        self._atten = atten

    def init(self, *, atten=0):
        self._atten = atten

    atten = lambda self, atten: self.init(atten=atten)  # noqa: E731

    def read_uv(self):
        return min(_link.call(ops.ADC_READ, self._pin), self._FULL_UV[self._atten])

    def read_u16(self):
        return self.read_uv() * 65535 // self._FULL_UV[self._atten]

    def read(self):
        return self.read_u16() >> 4


class _Memory:
    # RTC slow memory only: whatever else a program looks at, the board refuses.
    def __getitem__(self, address):
        value = _link.call(ops.MEM_READ, 0, address)
        return value - ((value & 0x80000000) << 1)  # the port makes a signed number of it

    def __setitem__(self, address, value):
        _link.call(ops.MEM_WRITE, 0, address, struct.pack("<I", value & 0xFFFFFFFF))


mem32 = _Memory()


class RTC:
    def memory(self, data=None):
        if data is None:
            received = _link.call(ops.RTC_GET)
            return received if received else b""
        if len(data) > 2048:
            raise ValueError("buffer too long")
        _link.call(ops.RTC_PUT, 0, 0, data)

    def datetime(self, fields=None):
        if fields is None:
            now = _time.gmtime()
            return (now[0], now[1], now[2], now[6], now[3], now[4], now[5], _time.time_ns() // 1000 % 1000000)
        seconds = _time.mktime((fields[0], fields[1], fields[2], fields[4], fields[5], fields[6]))
        _time.RTC[0] += seconds * 1000000 + fields[7] - _time.time_ns() // 1000
        _link.call(ops.RTC_SET, 0, 0, struct.pack("<q", _time.time_ns() // 1000))


class WDT:
    def __init__(self, id=0, timeout=5000):
        if timeout < 1:
            raise ValueError("timeout")
        _link.call(ops.WDT_START, 0, timeout)

    def feed(self):
        _link.call(ops.WDT_FEED)


class Counter:
    RISING = 1
    FALLING = 2
    UP = 1
    DOWN = 2

    def __init__(self, id, src=None, *, edge=1, direction=1, filter_ns=0):
        if not BOOT["pcnt"]:
            raise ValueError("no PCNT on this chip")
        self._pin = _pin_number(src)
        self._base = 0
        _link.call(ops.COUNTER, self._pin, 0)

    def value(self, value=None):
        count = _link.call(ops.COUNTER, self._pin, 1) - self._base
        if value is not None:
            self._base += count - value
        return count

    def deinit(self):
        _link.call(ops.COUNTER, self._pin, 2)


class Timer:
    ONE_SHOT = 0
    PERIODIC = 1
    _running = []

    def __init__(self, id, **keywords):
        self.id = id
        self._due_us = 0
        if keywords:
            self.init(**keywords)

    def init(self, *, mode=1, period=-1, freq=-1, callback=None, hard=False):
        self.deinit()
        self._mode = mode
        self._period_us = int(1000000 / freq) if freq > 0 else int(period * 1000)
        self._callback = callback
        self._due_us = _time._now() + self._period_us
        Timer._running.append(self)
        _arm()

    def deinit(self):
        if self in Timer._running:
            Timer._running.remove(self)
        _arm()

    def value(self):
        return max(0, (self._due_us - _time._now()) // 1000)


def _fire(left_us):
    """Sleep at most `left_us`, to the next timer or interrupt, and run what is due."""
    now = _time._now()
    nap = min([left_us] + [max(0, timer._due_us - now) for timer in Timer._running])
    if _IRQ or _link.realtime:
        _link.call(ops.SLEEP, 0, 0, struct.pack("<Q", min(nap, 5000) if _link.realtime else nap))
        if _IRQ:
            _interrupt()
    else:
        _link.time_us += nap
    now = _time._now()
    for timer in list(Timer._running):
        if timer._due_us <= now:
            if timer._mode == Timer.ONE_SHOT:
                timer.deinit()
            else:
                timer._due_us += timer._period_us
            if timer._callback:
                timer._callback(timer)


def _interrupt():
    pending = _link.call(ops.IRQ_TAKE)
    if pending:
        for pin, handler in list(_IRQ):
            if pin.id in pending:
                handler(pin)


def _arm():
    _time.ARMED[:] = [_fire] if (_IRQ or Timer._running) else []


def reset():
    _link.call(ops.RESET, 0)


def soft_reset():
    raise SystemExit


def reset_cause():
    return BOOT["cause"]


def wake_reason():
    return BOOT["wake"]


def deepsleep(time_ms=0):
    _link.call(ops.DEEP_SLEEP, 0, 0, struct.pack("<Q", int(time_ms)))


def lightsleep(time_ms=0):
    _time.SKEW[0] += _link.call(ops.LIGHT_SLEEP, 0, 0, struct.pack("<Q", int(time_ms))) - _LARGEST_SKEW


sleep = lightsleep


def idle():
    _time.sleep_us(100)


def unique_id():
    return BOOT["mac"]


def freq(hz=None):
    if hz is None:
        return BOOT["cpu_hz"]
    if hz not in (20000000, 40000000, 80000000, 160000000, 240000000):
        raise ValueError("frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz")
    BOOT["cpu_hz"] = hz


def disable_irq():
    return 0


def enable_irq(state):
    pass
