# SPDX-License-Identifier: MIT
# The wire between the application processor (this MicroPython) and the board around it (the host).
#
# One request, one reply, over a socket pair; `post` sends without waiting. Every frame carries the
# processor's local time. Runs on MicroPython's unix port only and is no part of the firmware.
#
# request: op u8, seq u8, a u16, b i32, length u32, time_us u64; reply: value i64, time_us u64,
# length u32, events u16, seq u16. Little endian. The operations are named in `communode.virtual.protocol`.

import struct

_REQUEST = "<BBHiIQ"
_REPLY = "<qQIHH"
_HEADER = 20
_LIMIT = 8192


class Link:
    def __init__(self, fd, realtime):
        self._file = open(fd, "r+b", 0)
        self._out = bytearray(_HEADER + _LIMIT)
        self._view = memoryview(self._out)
        self._head = bytearray(24)
        self._seq = 0
        self._owed = 0  # payload bytes of a reply that an interrupt left unread
        self.realtime = realtime
        self.time_us = 0  # local time: world microseconds
        self.call_us = 0  # what one call into the hardware layer costs
        self.events = 0  # interrupts that the board reported

    def _send(self, op, a, b, data):
        size = len(data) if data else 0
        if size > _LIMIT:
            raise OSError(22)
        self.time_us += self.call_us
        self._seq = (self._seq + 1) & 0xFF
        struct.pack_into(_REQUEST, self._out, 0, op, self._seq, a, b, size, self.time_us)
        if size:
            self._view[_HEADER : _HEADER + size] = data
        self._file.write(self._view[: _HEADER + size])
        return self._seq

    def post(self, op, a=0, b=0, data=None):
        self._send(op, a, b, data)

    def call(self, op, a=0, b=0, data=None, into=None):
        """Ask the board; return the value. A reply's bytes go to `into`, or are returned where it is None."""
        if self._owed:
            self._file.read(self._owed)
            self._owed = 0
        seq = self._send(op, a, b, data)
        head = self._head
        while True:
            if not self._file.readinto(head):  # the board is gone, and nothing can be asked any more
                raise SystemExit
            value, now, size, events, answered = struct.unpack(_REPLY, head)
            if answered == seq:
                break
            if size:  # the late answer to a request that Ctrl-C interrupted
                self._file.read(size)
        self._owed = size
        self.time_us = now
        self.events |= events
        if not size:
            if value < 0:
                raise OSError(-value)
            return value
        if into is not None:
            self._file.readinto(into, size)
            self._owed = 0
            return value
        received = self._file.read(size)
        self._owed = 0
        return received
