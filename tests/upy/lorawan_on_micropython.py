# SPDX-License-Identifier: MIT
# Runs under MicroPython: arguments are the folder of `node` and the folder of the vectors.

import sys

sys.path.insert(0, sys.argv[1])
sys.path.insert(0, sys.argv[2])

import cryptolib
import lorawan as vectors
from node.lorawan import crypto, frame
from node.lorawan.mac import Mac
from node.lorawan.region.eu868 import REGION


def aes(key):  # type: ignore[no-untyped-def]
    return cryptolib.aes(key, 1)


count, failed = vectors.check(crypto, frame, aes)
for line in failed:
    print("FAILED", line)
print("vectors", count, "failed", len(failed))

# The record of a session that was filled to the brim survives being written and read.

mac = Mac(REGION, aes, bytes(range(8)), bytes(8), bytes(16))
mac.restore(None, None, 5)
mac.personalize(0x260B1234, bytes(range(16)), bytes(range(16, 32)))
for channel in range(3, 16):
    assert mac.region.new_channel(mac.session, channel, 863000000 + 200000 * channel, 0x50) == 3
mac.session.answers = bytes(51)
mac.session.dev_nonce = 65536
mac.seed(0x80000001)
plan = mac.uplink(5_000_000_000, 2, b"payload")
flash = mac.flash_record(5_000_000_000)
cache = mac.cache_record(5_000_000_000)
print("record", len(flash), len(cache), "plan", plan.commit, plan.uplink.frequency_hz > 863000000)
again = Mac(REGION, aes, bytes(range(8)), bytes(8), bytes(16))
again.restore(flash, cache, 5_000_001_000)
print("cache", again.session.fcnt_up, again.session.frequencies == mac.session.frequencies)
print("same", again.cache_record(5_000_000_000) == cache)
again.restore(flash, None, 0)
print("flash", again.session.fcnt_up)
