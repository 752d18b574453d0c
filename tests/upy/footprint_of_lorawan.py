# SPDX-License-Identifier: MIT
# Runs under MicroPython (32 bits): what LoRaWAN costs in RAM. Prints one line for the code that all regions
# share, then one for each region: code of the region alone, and what a joined node holds beside code.

import gc
import sys

REGIONS = ["eu868", "eu433", "us915", "au915", "in865", "kr920", "as923_1", "as923_2", "as923_3", "as923_4"]


def used():  # type: ignore[no-untyped-def]
    gc.collect()
    gc.collect()
    return gc.mem_alloc()


class Line:
    """An SPI bus, any pin, a clock and a store that cost nothing."""

    ticks = 0

    def __call__(self, level=None):  # type: ignore[no-untyped-def]
        return 0

    def write(self, data):  # type: ignore[no-untyped-def]
        pass

    def write_readinto(self, out, into):  # type: ignore[no-untyped-def]
        pass

    def ticks_us(self):  # type: ignore[no-untyped-def]
        return 0

    now_ms = ticks_us

    def load(self):  # type: ignore[no-untyped-def]
        return None

    cache_load = load
    cache_save = commit = write


def entropy(count):  # type: ignore[no-untyped-def]
    return bytes(count)


line = Line()
import cryptolib  # noqa: E402


def aes(key):  # type: ignore[no-untyped-def]
    return cryptolib.aes(key, 1)


before = used()
import node.lorawan.mac  # noqa: E402
import node.lorawan.region.plan  # noqa: E402
import node.lorawan.runner  # noqa: E402
import node.radio.sx126x  # noqa: E402

print("shared", used() - before)
for name in REGIONS:
    for loaded in [key for key in sys.modules if key.startswith("node.lorawan.region.")]:
        if not loaded.endswith(("plan", name)):
            del sys.modules[loaded]
    before = used()
    region = __import__("node.lorawan.region." + name, None, None, ("REGION",)).REGION
    if region.listen_us:
        __import__("node.radio.sx126x_listening")
    code = used() - before
    before = used()
    mac = node.lorawan.mac.Mac(region, aes, bytes(range(8)), bytes(8), bytes(16))
    modem = node.radio.sx126x.Sx126x(line, line, line, line, line, line)
    runner = node.lorawan.runner.Runner(mac, modem, line, line, entropy)
    mac.personalize(1, bytes(16), bytes(16))
    plan = mac.uplink(1000000, 1, b"")
    held = used() - before
    print("region", name, code, held)
    del region, mac, modem, runner, plan
