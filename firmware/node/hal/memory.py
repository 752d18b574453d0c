# SPDX-License-Identifier: MIT
# What is left of the heap, giving back that of modules, and which MicroPython this is.

import gc
import sys


def free_heap() -> int:
    """Bytes free now."""
    return gc.mem_free()


def forget(*names: str) -> None:
    """Give back the RAM of modules of this package, named from its root (``app.refusal``): the next import loads them.

    Whoever imported names from them must have let go of those. Dropping a module from `sys.modules` alone frees
    nothing, since the package that it is in has it as an attribute.
    """
    for name in names:
        package, _, own = (__name__.rsplit(".", 2)[0] + "." + name).rpartition(".")
        if sys.modules.pop(package + "." + own, None):
            delattr(sys.modules[package], own)


def micropython_minor() -> int:
    """27 of MicroPython 1.27."""
    return sys.implementation.version[1]
