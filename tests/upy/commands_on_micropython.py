# SPDX-License-Identifier: MIT
# Runs under MicroPython: arguments are the folder of `node`, then in hex command key, DevEUI and commands.
# Prints the code of each, then what a node that starts again finds in its flash.

import sys

sys.path.insert(0, sys.argv[1])

from binascii import hexlify, unhexlify

import cryptolib
from node.app.config import STATE_CONFIG, TRIAL_WAKINGS, Config
from node.app.settings import Abilities
from node.lorawan.crypto import cmac
from node.storage.state import StateLog


class Flash:
    size = 4 * 4096

    def __init__(self):
        self.data = bytearray(b"\xff" * self.size)

    def read(self, offset, buffer):
        buffer[:] = self.data[offset : offset + len(buffer)]

    def program(self, offset, data):
        self.data[offset : offset + len(data)] = data

    def erase(self, offset):
        self.data[offset : offset + 4096] = b"\xff" * 4096


key, dev_eui = unhexlify(sys.argv[2]), unhexlify(sys.argv[3])
profile = {"id": 1, "interval_s": 600, "floor_s": 61, "sensors": ({"quantities": (3, 1, 5, 14)},)}
profile["alarms"] = ((3, 1, 1500, 200, 600),)
flash = Flash()


def boot():
    return Config(
        StateLog(flash),
        Abilities({1: profile}, 1),
        dev_eui,
        lambda message: cmac(cryptolib.aes(key, 1), message),
    )


config = boot()
for payload in sys.argv[4:]:
    print(config.take(unhexlify(payload), 846000000))
config = boot()
print(config.settings.interval_s, config.counter)
print(hexlify(StateLog(flash).load(STATE_CONFIG)).decode())
print(hexlify(config.next_answer()).decode())
for _ in range(TRIAL_WAKINGS - 1):
    config = boot()
    config.begin_waking()
config.heard_downlink()
boot().begin_waking()
print(boot().settings.interval_s)
