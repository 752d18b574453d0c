# SPDX-License-Identifier: MIT
"""A node's configuration on a raw flash in memory, and an owner with its key: for the tests of commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from communode.node.app.config import STATE_CONFIG, STATE_LAST_GOOD, Config
from communode.node.app.settings import Abilities
from communode.node.codec import command
from communode.node.schema.alarms import ABOVE, BELOW
from communode.node.schema.quantities import AIR_TEMPERATURE, BATTERY, CO2, PM25, WATER_LEVEL
from communode.node.storage.state import StateLog
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC

KEY = bytes(range(0x30, 0x40))
DEV_EUI = bytes.fromhex("70b3d57ed0001234")
NOW_S = 846_000_000  # in 2026
LATER_S = NOW_S + 86_400

AIR = 1
WATER = 2
AIR_PROFILE: dict[str, Any] = {
    "name": "air",
    "id": AIR,
    "interval_s": 600,
    "floor_s": 61,
    "sensors": (
        {"quantities": (CO2, AIR_TEMPERATURE, PM25)},
        {"quantities": (BATTERY,)},
    ),
    "alarms": ((CO2, ABOVE, 1500, 200, 600),),
}
WATER_PROFILE: dict[str, Any] = {
    "name": "water",
    "id": WATER,
    "interval_s": 900,
    "sensors": ({"quantities": (WATER_LEVEL,)}, {"quantities": (AIR_TEMPERATURE, BATTERY)}),
    "alarms": ((BATTERY, BELOW, 3000, 100, 0),),
}


class Flash:
    """A raw region in memory."""

    def __init__(self, sectors: int = 4) -> None:
        self.size = sectors * 4096
        self.data = bytearray(b"\xff" * self.size)

    def read(self, offset: int, buffer: bytearray) -> None:
        buffer[:] = self.data[offset : offset + len(buffer)]

    def program(self, offset: int, data: bytes) -> None:
        self.data[offset : offset + len(data)] = data

    def erase(self, offset: int) -> None:
        self.data[offset : offset + 4096] = b"\xff" * 4096


def foreign_cmac(key: bytes = KEY) -> Any:
    """AES-CMAC of a library that is not ours."""

    def mac(message: bytes) -> bytes:
        made = CMAC(algorithms.AES128(key))
        made.update(message)
        return made.finalize()

    return mac


def abilities() -> Abilities:
    """A node that can be an air or a water node, and was flashed as air."""
    return Abilities({AIR: AIR_PROFILE, WATER: WATER_PROFILE}, AIR)


def boot(flash: Any, mac: Any = None, able: Abilities | None = None) -> Config:
    """The configuration as a node finds it after a power loss."""
    return Config(StateLog(flash), able or abilities(), DEV_EUI, mac or foreign_cmac())


def order(
    counter: int,
    *parts: tuple[int, Iterable[float]] | int,
    expiry_s: int = LATER_S,
    key: bytes = KEY,
    dev_eui: bytes = DEV_EUI,
) -> bytes:
    """A sealed command of parts (kind, values), or kind alone."""
    body = b"".join(
        command.pack_part(part) if isinstance(part, int) else command.pack_part(part[0], tuple(part[1]))
        for part in parts
    )
    return command.seal(dev_eui, command.make_command(counter, expiry_s, body), foreign_cmac(key))


def kept(flash: Any) -> tuple[bytes | None, bytes | None]:
    """What a power loss would find."""
    log = StateLog(flash)
    return log.load(STATE_CONFIG), log.load(STATE_LAST_GOOD)


def answers(config: Config) -> list[tuple[int, int, int, int]]:
    """Send all answers that wait; (counter, code, detail, last counter) of each, with a good seal."""
    found = []
    while (payload := config.next_answer()) is not None:
        assert command.is_sealed(DEV_EUI, payload, foreign_cmac())
        found.append(command.open_answer(payload[: command.ANSWER_SIZE]))
        config.answer_sent()
    return found
