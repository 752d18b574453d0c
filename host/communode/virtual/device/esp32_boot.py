# SPDX-License-Identifier: MIT
# What the ESP32 image does between reset and main.py, on the unix port: put the ESP32's modules in
# place, mount the flashed file system, run boot.py and main.py. Arguments: control fd, flash path, mode
# ("main" runs main.py, "raw" does not: a soft reset from the raw REPL).

import gc
import json
import os as _os
import sys as _sys

import link
import ops
import vfs as _vfs

_ctl, _path, _mode = int(_sys.argv[1]), _sys.argv[2], _sys.argv[3]


class _Proxy:
    """A built-in module with some attributes replaced (attributes of built-in modules are read-only)."""

    def __init__(self, module, **changed):
        self._module = module
        for name, value in changed.items():
            setattr(self, name, value)

    def __getattr__(self, name):
        return getattr(self._module, name)

    def __dir__(self):
        return dir(self._module)


class _FlashBlocks:
    """The `vfs` partition as a block device: reads come straight from the flash file, at a price."""

    def __init__(self, partition, us_per_kb, call_us):
        self._call_us = call_us
        self._partition = partition
        self._file = open(_path, "rb")
        self._start = partition.info()[2]
        self._us_per_kb = us_per_kb

    def readblocks(self, block, buf, offset=0):
        self._file.seek(self._start + block * 4096 + offset)
        self._file.readinto(buf)
        link.LINK.time_us += len(buf) * self._us_per_kb // 1024 + self._call_us

    def writeblocks(self, block, buf, offset=None):
        self._partition.writeblocks(block, buf, offset)

    def ioctl(self, op, arg):
        return self._partition.ioctl(op, arg)


class _Gc(_Proxy):
    def collect(self):
        link.LINK.time_us += _costs["gc_us"]
        return self._module.collect()


class _Aes:
    """cryptolib.aes with the ESP32 image's modes (ECB 1, CBC 2) and its cost."""

    def __init__(self, key, mode, iv=None):
        if mode not in (1, 2):
            raise ValueError("mode")
        import ucryptolib

        self._aes = ucryptolib.aes(key, mode, iv) if mode == 2 else ucryptolib.aes(key, mode)

    def encrypt(self, data, *out):
        link.LINK.time_us += _costs["aes_block_us"] * (len(data) // 16)
        return self._aes.encrypt(data, *out)

    def decrypt(self, data, *out):
        link.LINK.time_us += _costs["aes_block_us"] * (len(data) // 16)
        return self._aes.decrypt(data, *out)


link.LINK = link.Link(_ctl, False)
_boot = json.loads(link.LINK.call(ops.BOOT))
_costs = _boot["costs"]
link.LINK.realtime = _boot["realtime"]
link.LINK.call_us = _costs["call_us"]
link.LINK.base_us = _boot["base_us"]

import time  # noqa: E402

time.TICK_US = _costs["tick_us"]
time.RTC[0], time.RTC[1] = _boot["rtc_us"], _boot["rtc_at_us"]

import machine  # noqa: E402

machine.BOOT.update(
    cause=_boot["cause"],
    wake=_boot["wake"],
    mac=bytes(_boot["mac"]),
    cpu_hz=_boot["cpu_hz"],
    gpios=_boot["gpios"],
    pcnt=_boot["pcnt"],
)
if not _boot["pcnt"]:
    del machine.Counter

import esp32  # noqa: E402
import onewire  # noqa: E402, F401

esp32.PARTITIONS.extend(tuple(row) for row in _boot["partitions"])
if not _boot["ext0"]:
    del esp32.wake_on_ext0
if not _boot["ulp"]:
    del esp32.ULP
    del esp32.wake_on_ulp

_uname = ("esp32", "esp32", "1.27.0", "v1.27.0 on 2025-12-09", _boot["machine"])


def _urandom(count):
    return link.LINK.call(ops.RANDOM, 0, count)


from collections import namedtuple  # noqa: E402

_uname_type = namedtuple("uname_result", ("sysname", "nodename", "release", "version", "machine"))
_modules = _sys.modules
_modules["os"] = _modules["uos"] = _Proxy(
    _os,
    uname=lambda: _uname_type(*_uname),
    urandom=_urandom,
    dupterm=lambda stream=None, index=0: None,
    sync=lambda: None,
    mount=_vfs.mount,
    umount=_vfs.umount,
)
_modules["gc"] = _Gc(gc)
_implementation = namedtuple("implementation", ("name", "version", "_machine", "_mpy", "_build", "_thread"))(
    "micropython", (1, 27, 0, ""), _boot["machine"], _sys.implementation._mpy, "ESP32_GENERIC", "GIL"
)
_modules["sys"] = _Proxy(
    _sys, platform="esp32", implementation=_implementation, version="3.4.0; MicroPython v1.27.0 on 2025-12-09"
)
import micropython as _micropython  # noqa: E402

_modules["micropython"] = _Proxy(_micropython, alloc_emergency_exception_buf=lambda size: None)
_crypto = _Proxy(None, aes=_Aes)
_modules["cryptolib"] = _modules["ucryptolib_esp32"] = _crypto


def _mount():
    found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="vfs")
    if not found:
        return
    blocks = _FlashBlocks(found[0], _costs["vfs_read_us_per_kb"], _costs["vfs_read_us"])
    try:
        filesystem = _vfs.VfsLfs2(blocks)
    except OSError:
        first = bytearray(512)
        blocks.readblocks(0, first)
        if any(byte != 0xFF for byte in first):
            _vfs.umount("/")
            while True:  # as the stock image's inisetup does: only the host mends a corrupt file system
                print("The filesystem appears to be corrupted. If you had important data there, you")
                print("may want to make a flash snapshot to try to recover it.")
                time.sleep(3)
        _vfs.VfsLfs2.mkfs(blocks)
        filesystem = _vfs.VfsLfs2(blocks)
    _vfs.umount("/")
    _vfs.mount(filesystem, "/")
    _os.chdir("/")


def _run(name, scope):
    try:
        source = open(name)
    except OSError:
        return True
    try:
        with source:
            code = source.read()
        exec(compile(code, name, "exec"), scope)
    except SystemExit:
        raise
    except BaseException as error:  # the image prints it and goes on to the prompt
        _sys.print_exception(error)
        return False
    return True


def _charge_imports():
    """Loading a module costs time on a chip; here the import statement is made to say so."""
    import builtins

    original = builtins.__import__
    counted = [len(_modules)]

    def charged_import(*arguments):
        module = original(*arguments)
        fresh = len(_modules) - counted[0]
        if fresh > 0:
            link.LINK.time_us += fresh * _costs["import_us"]
        counted[0] = len(_modules)
        return module

    builtins.__import__ = charged_import


def _grow_table_of_names():
    # The table of names grows by doubling, each time in one piece. This shim's names must not make it grow in the
    # middle of the program, where a chip's does not: it is filled up to its next growth, which then holds the
    # program's.
    gc.collect()
    before = gc.mem_alloc()
    for number in range(0, 2000, 16):
        for small in range(16):
            getattr(gc, "_%x" % (number + small), None)
        taken = gc.mem_alloc()
        if taken - before > 12000:
            return
        before = taken


def start(scope):
    """Become an ESP32: mount, then boot.py and main.py in the names of the prompt."""
    _mount()
    _sys.path[:] = ["", ".frozen", "/lib"]
    _sys.argv[:] = [""]
    for name in ("json", "link", "ops", "esp32_boot"):
        _modules.pop(name, None)
    _charge_imports()
    _grow_table_of_names()
    gc.collect()
    link.LINK.post(ops.READY)
    if _run("boot.py", scope) and _mode == "main":
        _run("main.py", scope)
