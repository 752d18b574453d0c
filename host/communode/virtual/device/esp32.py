# SPDX-License-Identifier: MIT
# `esp32` as MicroPython 1.27 has it: NVS (i32 and blobs only), Partition, wake sources.

import machine
import ops
from link import LINK as _link

WAKEUP_ALL_LOW = 0
WAKEUP_ANY_HIGH = 1

PARTITIONS = []  # (type, subtype, address, size, label, encrypted), from the flashed table


_NVS_NAMES = {4354: "ESP_ERR_NVS_NOT_FOUND", 4364: "ESP_ERR_NVS_INVALID_LENGTH"}


def _nvs(op, kind, value, data):
    try:
        return _link.call(op, kind, value, data)
    except OSError as error:  # as the port's check_esp_err: the negative code, and its name
        code = error.args[0]
        raise OSError(-code, _NVS_NAMES.get(code, "ESP_ERR_NVS")) from None


class NVS:
    _I32 = 0x14
    _BLOB = 0x42

    def __init__(self, namespace):
        if len(namespace) > 15:
            raise ValueError("namespace")
        self._space = namespace.encode() + b"\x00"

    def get_i32(self, key):
        data = _nvs(ops.NVS_GET, self._I32, 0, self._space + key.encode())
        return int.from_bytes(data, "little") - ((data[3] & 0x80) << 25)

    def set_i32(self, key, value):
        _nvs(ops.NVS_SET, self._I32, value, self._space + key.encode() + b"\x00")

    def get_blob(self, key, buffer):
        data = _nvs(ops.NVS_GET, self._BLOB, 0, self._space + key.encode())
        if data == 0:
            return 0
        if len(data) > len(buffer):
            raise OSError(-4364, _NVS_NAMES[4364])
        buffer[: len(data)] = data
        return len(data)

    def set_blob(self, key, value):
        _nvs(ops.NVS_SET, self._BLOB, 0, self._space + key.encode() + b"\x00" + bytes(value))

    def erase_key(self, key):
        _nvs(ops.NVS_ERASE, 0, 0, self._space + key.encode())

    def commit(self):
        _link.call(ops.NVS_COMMIT)


class Partition:
    TYPE_APP = 0
    TYPE_DATA = 1
    BOOT = 0
    RUNNING = 1

    def __init__(self, id, block_size=4096):
        if isinstance(id, tuple):
            self._info = id
        else:
            label = "factory" if id in (0, 1) else id
            found = [part for part in PARTITIONS if part[4] == label]
            if not found:
                raise OSError(2)
            self._info = found[0]
        self._start = self._info[2]
        self._size = self._info[3]
        self._block = block_size

    @staticmethod
    def find(type=0, subtype=0xFF, label=None, block_size=4096):
        return [
            Partition(part, block_size)
            for part in PARTITIONS
            if part[0] == type and subtype in (0xFF, part[1]) and label in (None, part[4])
        ]

    def info(self):
        return self._info

    def _check(self, start, size):
        if start < 0 or start + size > self._size:
            raise OSError(-261)  # ESP_ERR_INVALID_SIZE

    def readblocks(self, block, buf, offset=0):
        start = block * self._block + offset
        self._check(start, len(buf))
        view = memoryview(buf)
        for at in range(0, len(buf), 4096):
            size = min(4096, len(buf) - at)
            _link.call(ops.FLASH_READ, size, self._start + start + at, None, view[at : at + size])

    def writeblocks(self, block, buf, offset=None):
        start = block * self._block + (offset or 0)
        self._check(start, len(buf))
        if offset is None:
            for at in range(0, len(buf), 4096):
                self._erase(start + at)
        view = memoryview(buf)
        for at in range(0, len(buf), 4096):
            _link.call(ops.FLASH_PROGRAM, 0, self._start + start + at, view[at : at + 4096])

    def _erase(self, start):
        _link.call(ops.FLASH_ERASE, 0, self._start + start)

    def ioctl(self, op, arg):
        if op in (1, 2, 3):
            return 0
        if op == 4:
            return self._size // self._block
        if op == 5:
            return self._block
        if op == 6:
            self._check(arg * self._block, self._block)
            self._erase(arg * self._block)
            return 0
        return None

    def set_boot(self):
        raise OSError(-258)

    def get_next_update(self):
        raise OSError(2)

    @staticmethod
    def mark_app_valid_cancel_rollback():
        pass


class ULP:
    RESERVE_MEM = 2040

    def set_wakeup_period(self, period_index, period_us):
        if period_index:
            raise ValueError("the virtual ULP has one period")
        _link.call(ops.ULP_PERIOD, 0, period_us)

    def load_binary(self, load_addr, program_binary):
        _link.call(ops.ULP_LOAD, 0, load_addr, program_binary)

    def run(self, entry_point):
        _link.call(ops.ULP_RUN, 0, entry_point)


def wake_on_ulp(wake):
    pass  # no program of ours wakes the processor


def wake_on_ext0(pin=None, level=0):
    _link.call(ops.WAKE_PINS, level, 0, bytes([machine._pin_number(pin)]) if pin is not None else None)


def wake_on_ext1(pins=None, level=0):
    _link.call(ops.WAKE_PINS, level, 0, bytes([machine._pin_number(p) for p in pins]) if pins else None)


def gpio_deep_sleep_hold(enable):
    pass


def mcu_temperature():
    return 30


def raw_temperature():
    return 86


def idf_heap_info(capabilities):
    return [(180000, 90000, 80000, 70000)]
