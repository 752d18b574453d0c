# SPDX-License-Identifier: MIT
# What is left of the heap, and which MicroPython this is.

import gc
import sys


def free_heap() -> int:
    """Bytes free now."""
    return gc.mem_free()


def micropython_minor() -> int:
    """27 of MicroPython 1.27."""
    return sys.implementation.version[1]
