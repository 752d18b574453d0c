# SPDX-License-Identifier: MIT
# Runs under a 32-bit MicroPython: what a node's whole application takes of the heap. Everything is imported,
# also what a waking imports only when it is needed; nothing of it touches hardware.
#
# Then what is dropped again after its use is imported, and given back.
#
# MODULES and DROPPED are put before it by the test.

import gc


def used():  # type: ignore[no-untyped-def]
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


before = used()
for name in MODULES:  # type: ignore[name-defined]  # noqa: F821
    __import__(name)
    gc.collect()
print("code", used() - before)

from node.hal.memory import forget  # noqa: E402

before = used()
for name in DROPPED:  # type: ignore[name-defined]  # noqa: F821
    __import__("node." + name)
print("dropped", used() - before)
forget(*DROPPED)  # type: ignore[name-defined]  # noqa: F821
print("kept", used() - before)
