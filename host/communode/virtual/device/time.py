# SPDX-License-Identifier: MIT
# `time` as the ESP32 port has it (epoch 2000, 30-bit ticks), over virtual or real time.
# In virtual time nothing waits: sleeping moves the local clock, and reading it costs what it costs.

import utime as _unix
from link import LINK as _link

_TICKS_PERIOD = 1 << 30
_EPOCH_2000 = 946684800

TICK_US = 6  # set at boot from the cost table: one ticks call and the loop around it
RTC = [0, 0]  # RTC microseconds (epoch 2000) at local time RTC[1]
SKEW = [0]  # what light sleep lasted longer than its RC oscillator believes: ticks and RTC do not know it
ARMED = []  # called with the remaining microseconds while sleeping: timers and interrupts


def _now():
    if _link.realtime:
        return _unix.time_ns() // 1000 - _link.base_us - SKEW[0]
    _link.time_us += TICK_US
    return _link.time_us - SKEW[0]


def ticks_us():
    return _now() & (_TICKS_PERIOD - 1)


def ticks_ms():
    return (_now() // 1000) & (_TICKS_PERIOD - 1)


def ticks_cpu():
    return (_now() * 160) & (_TICKS_PERIOD - 1)


def ticks_add(ticks, delta):
    return (ticks + delta) & (_TICKS_PERIOD - 1)


def ticks_diff(end, start):
    return ((end - start + _TICKS_PERIOD // 2) & (_TICKS_PERIOD - 1)) - _TICKS_PERIOD // 2


def sleep_us(us):
    if us <= 0:
        return
    end = _now() + us
    while ARMED:
        left = end - _now()
        if left <= 0:
            return
        ARMED[0](left)
    if _link.realtime:
        _unix.sleep_us(max(0, end - _now()))
    else:
        _link.time_us = max(end + SKEW[0], _link.time_us)


def sleep_ms(ms):
    sleep_us(int(ms) * 1000)


def sleep(seconds):
    sleep_us(int(seconds * 1000000))


def time_ns():
    return (RTC[0] + _now() - RTC[1]) * 1000


def time():
    return (RTC[0] + _now() - RTC[1]) // 1000000


def gmtime(seconds=None):
    if seconds is None:
        seconds = time()
    return _unix.gmtime(seconds + _EPOCH_2000)[:8]


localtime = gmtime


def mktime(fields):
    return int(_unix.mktime(tuple(fields) + (0,) * (9 - len(fields)))) - _EPOCH_2000
