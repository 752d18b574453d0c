# SPDX-License-Identifier: MIT
# Frozen in place of the port's _boot.py, which runs before boot.py. A node whose code is frozen needs no file
# system: one that cannot be mounted is reported and left alone, where the port's waits for a person. On waking
# from deep sleep nothing is mounted at all, which the shipped program does not miss.

import gc
import sys

import machine
import vfs
from flashbdev import bdev

sys.path[:] = [".frozen", "", "/lib"]  # no module is looked for in a file system first
if bdev and machine.reset_cause() != machine.DEEPSLEEP_RESET:
    try:
        vfs.mount(bdev, "/")
    except OSError as error:
        print("no file system:", error)
gc.collect()
