# SPDX-License-Identifier: MIT
"""Hostile and unlucky lives of a node's configuration: forged commands, and power cuts amid good ones.

The campaigns return counts; `make test` runs a seeded sample, `make nightly` all of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from command_bench import DEV_EUI, KEY, LATER_S, NOW_S, WATER, boot, foreign_cmac, order
from communode.node.app.config import MAX_LIFE_S, TRIAL_WAKINGS, Config
from communode.node.codec import command
from communode.node.codec.command import (
    ALARM,
    ASK_AFTER,
    DEFAULTS,
    INTERVAL,
    OK,
    PARTS,
    POLYNOMIAL,
    PROFILE,
    REBOOT,
    RECORDS,
    REJOIN,
    REPLAY,
    SELF_TEST,
    TWO_POINT,
)
from communode.node.schema.alarms import ABOVE, BELOW
from communode.node.schema.quantities import AIR_TEMPERATURE, BATTERY
from flash_model import PowerCut, RamFlash

Part = tuple[int, tuple[float, ...]]


def random_parts(rng: random.Random) -> list[Part]:
    """Parts that an owner could mean: possible under both profiles, none twice."""
    choices: list[Part] = [
        (INTERVAL, (rng.randint(61, 86_400),)),
        (ASK_AFTER, (rng.randint(1, 100),)),
        (ALARM, (BATTERY, rng.choice((ABOVE, BELOW)), rng.randint(2500, 4000), rng.randint(0, 100), 600)),
        (TWO_POINT, (AIR_TEMPERATURE, NOW_S, 1, 0, rng.randint(-500, 500), 20_000, 20_000)),
        (POLYNOMIAL, (AIR_TEMPERATURE, NOW_S, 1, float(rng.randint(-500, 500)), 1.0)),
        (RECORDS, (NOW_S - rng.randint(1, 1000), NOW_S)),
        (REBOOT, ()),
        (REJOIN, ()),
        (SELF_TEST, ()),
        (DEFAULTS, ()),
        (PROFILE, (WATER,)),
    ]
    return rng.sample(choices, rng.randint(1, 4))


@dataclass
class Forgeries:
    """What a campaign of bad commands has seen."""

    inputs: int = 0
    valid_mic: int = 0
    crashes: int = 0
    state_changes_on_reject: int = 0
    accepted: int = 0  # of those meant to be refused
    locked_out: int = 0  # good commands of the owner that were refused
    codes: dict[int, int] = field(default_factory=dict)


class Forger:
    """Makes commands that must be refused, from good ones that the node has or has not seen."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.seen: list[bytes] = []  # accepted ones, and such as came out of order
        self.counter = 0

    def fresh(self) -> bytes:
        """A good command that the node has not heard."""
        return order(self.counter + self.rng.randint(1, 1000), *random_parts(self.rng))

    def replayed(self) -> tuple[bytes, int | None, bool]:
        """One that was accepted, or was overtaken by one that was."""
        return self.rng.choice(self.seen), NOW_S, True

    def reordered(self) -> tuple[bytes, int | None, bool]:
        """A good one that arrives after its successor."""
        return order(self.rng.randint(0, self.counter), *random_parts(self.rng)), NOW_S, True

    def expired(self) -> tuple[bytes, int | None, bool]:
        """Too late, without limit, from too far ahead, or with the node not knowing the time."""
        payload = self.fresh()
        fate = self.rng.randrange(4)
        if fate == 0:
            return payload, LATER_S + self.rng.randint(1, 1 << 28), True
        if fate == 1:
            return payload, None, True
        expiry_s = 0 if fate == 2 else self.rng.randint(NOW_S + MAX_LIFE_S + 1, 0xFFFF_FFFF)
        return order(self.counter + 1, *random_parts(self.rng), expiry_s=expiry_s), NOW_S, True

    def flipped(self) -> tuple[bytes, int | None, bool]:
        """One to three wrong bits."""
        payload = bytearray(self.fresh())
        for bit in self.rng.sample(range(8 * len(payload)), self.rng.randint(1, 3)):
            payload[bit // 8] ^= 1 << bit % 8
        return bytes(payload), NOW_S, False

    def truncated(self) -> tuple[bytes, int | None, bool]:
        """A part of one, or one with something behind."""
        payload = self.fresh()
        if self.rng.random() < 0.2:
            return payload + self.rng.randbytes(self.rng.randint(1, 20)), NOW_S, False
        return payload[: self.rng.randrange(len(payload))], NOW_S, False

    def misdirected(self) -> tuple[bytes, int | None, bool]:
        """For another node, or by somebody else."""
        parts = random_parts(self.rng)
        if self.rng.random() < 0.5:
            dev_eui = bytearray(DEV_EUI)
            dev_eui[self.rng.randrange(8)] ^= 1 << self.rng.randrange(8)
            return order(self.counter + 1, *parts, dev_eui=bytes(dev_eui)), NOW_S, False
        return order(self.counter + 1, *parts, key=self.rng.randbytes(16)), NOW_S, False

    def senseless(self) -> tuple[bytes, int | None, bool]:
        """Well sealed, but with a part that is broken, unknown or impossible, behind good ones."""
        rng = self.rng
        body = b"".join(command.pack_part(*part) for part in random_parts(rng))
        fate = rng.randrange(4)
        if fate == 0:
            body += bytes((rng.choice([kind for kind in range(256) if kind not in PARTS]), 0))
        elif fate == 1:
            body += bytes((rng.choice(list(PARTS)), rng.randint(40, 255))) + rng.randbytes(rng.randint(0, 39))
        elif fate == 2:
            body = body[: rng.randrange(len(body))]
            body += b"\x01\x04\xff\xff\xff\xff" if _is_whole(body) else b""
        else:
            body += b"\x07\x01\x7f"  # a profile that no image has; twice a profile is no better
        return command.seal(DEV_EUI, command.make_command(self.counter + 1, LATER_S, body), _MAC), NOW_S, True

    def noise(self) -> tuple[bytes, int | None, bool]:
        """Anything."""
        return self.rng.randbytes(self.rng.randint(0, 60)), NOW_S, False


_MAC = foreign_cmac(KEY)


def _is_whole(body: bytes) -> bool:
    at = 0
    while at + 1 < len(body):
        at += 2 + body[at + 1]
    return at == len(body)


def forge(inputs: int, seed: int, tally: Forgeries | None = None) -> Forgeries:
    """Send `inputs` bad commands to a node that takes a good one now and then; flash must not change."""
    rng = random.Random(seed)
    tally = tally or Forgeries()
    forger = Forger(rng)
    flash = RamFlash(4)
    config = boot(flash, _MAC)
    makers: tuple[Callable[[], tuple[bytes, int | None, bool]], ...] = (
        forger.replayed,
        forger.reordered,
        forger.expired,
        forger.flipped,
        forger.truncated,
        forger.misdirected,
        forger.senseless,
        forger.noise,
    )
    for number in range(inputs):
        if number % 50 == 0:
            config = _live(config, flash, forger, tally)
            before = (bytes(flash.data), _visible(config))
        payload, now_s, sealed = rng.choice(makers)()
        tally.inputs += 1
        tally.valid_mic += sealed
        try:
            code = config.take(payload, now_s)
        except Exception:
            tally.crashes += 1
            continue
        tally.codes[code] = tally.codes.get(code, 0) + 1
        tally.accepted += code == OK
        if _visible(config) != before[1] or bytes(flash.data) != before[0]:
            tally.state_changes_on_reject += 1
            before = (bytes(flash.data), _visible(config))
    return tally


def _live(config: Config, flash: RamFlash, forger: Forger, tally: Forgeries) -> Config:
    """Something happens to the node between the forgeries: a good command, a waking, a power loss."""
    late = forger.fresh()
    payload = order(forger.counter + 1001, *random_parts(forger.rng))
    tally.locked_out += config.take(payload, NOW_S) != OK
    forger.counter += 1001
    forger.seen += [late, payload]
    if forger.rng.random() < 0.5:
        config = boot(flash, _MAC)
    config.begin_waking()
    if forger.rng.random() < 0.7:
        config.heard_downlink()
    while config.next_answer():
        config.answer_sent()
    for action in config.actions:
        config.finish(action)
    return config


def _visible(config: Config) -> tuple[Any, ...]:
    settings = config.settings.to_parts()
    stored = config._stored
    return config.counter, settings, config.actions, config.records, stored.trial, tuple(stored.answers)


def flip_every_bit(payload: bytes, config: Config, flash: RamFlash) -> int:
    """Each bit of a good command, wrong; how many of them were refused without a trace."""
    before = (bytes(flash.data), _visible(config))
    refused = 0
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        code = config.take(bytes(damaged), NOW_S)
        refused += code != OK and (bytes(flash.data), _visible(config)) == before
    return refused


# --- power cuts ---

TORN = (0.0, 0.3, 0.9, 1.0)
Step = Callable[[Config], object]


@dataclass
class Cuts:
    """What a campaign of power cuts has seen."""

    cut_points: int = 0
    torn: int = 0
    nested: int = 0
    neither_old_nor_new: int = 0
    counters_gone_back: int = 0
    not_exactly_once: int = 0
    last_good_lost: int = 0


class Life:
    """A node that takes commands; `good` is what must come back when the one on trial cuts it off."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.flash = RamFlash(4)
        self.counter = 0
        self.good = b""

    def steps(self) -> Iterator[tuple[Step, bytes]]:
        """What a command's life writes to flash, a step at a time; with the command where it is taken."""
        self.counter += self.rng.randint(1, 5)
        payload = order(self.counter, *random_parts(self.rng))
        yield lambda config: config.take(payload, NOW_S), payload
        for action in boot(self.flash, _MAC).actions:
            yield lambda config, action=action: config.finish(action), b""
        yield lambda config: config.answer_sent(), b""
        if self.rng.random() < 0.7:
            yield lambda config: config.begin_waking(), b""
            yield lambda config: config.heard_downlink(), b""
        elif self.rng.random() < 0.5:
            for _ in range(TRIAL_WAKINGS):
                yield lambda config: config.begin_waking(), b""

    def go_on(self, step: Step) -> None:
        """The step without a cut."""
        config = boot(self.flash, _MAC)
        step(config)
        if not config.on_trial:
            self.good = config.settings.to_parts()


def cut_power(points: int, seed: int, tally: Cuts | None = None) -> Cuts:
    """Cut the power at every flash operation of commands' lives, torn in several ways, some nested."""
    tally = tally or Cuts()
    points += tally.cut_points
    rng = random.Random(seed)
    life = Life(rng)
    while True:
        for step, payload in life.steps():
            before = _visible(boot(life.flash, _MAC))
            twin = life.flash.copy()
            config = boot(twin, _MAC)
            step(config)
            after = _visible(boot(twin, _MAC))
            operations = twin.operations
            step(boot(twin, _MAC))
            twice = _visible(boot(twin, _MAC))
            for cut in range(operations):
                for torn in TORN:
                    flash = _cut(life.flash, step, cut, torn, rng)
                    tally.cut_points += 1
                    tally.torn += 0.0 < torn < 1.0
                    allowed = [before, after]
                    if rng.random() < 0.5:
                        # The first cut may have come when all was done: the step is then done again.
                        flash = _cut(flash, step, rng.randrange(3), rng.choice(TORN), rng)
                        allowed.append(twice)
                        tally.nested += 1
                    _judge(life, flash, allowed, payload, tally)
                    if tally.cut_points >= points:
                        return tally
            life.go_on(step)


def _cut(source: RamFlash, step: Step, cut: int, torn: float, rng: random.Random) -> RamFlash:
    """The flash after a power cut at the given operation of a step (or after the step, if it has fewer)."""
    flash = source.copy()
    config = boot(flash, _MAC)
    flash.cut_at, flash.torn = cut, torn
    flash.rng.seed(rng.random())
    with suppress(PowerCut):
        step(config)
    flash.cut_at = -1
    return flash


def _judge(life: Life, flash: RamFlash, allowed: list[Any], payload: bytes, tally: Cuts) -> None:
    """Power is back: the state is the old or the new one, and the command is still done exactly once."""
    before, after = allowed[:2]
    config = boot(flash, _MAC)
    found = _visible(config)
    tally.neither_old_nor_new += found not in allowed
    tally.counters_gone_back += config.counter < before[0]
    if payload:
        code = config.take(payload, NOW_S)
        right = REPLAY if found == after else OK
        tally.not_exactly_once += code != right or _visible(config) != after
    good = life.good if config.on_trial else config.settings.to_parts()
    if life.rng.random() < 0.2:
        for _ in range(TRIAL_WAKINGS):
            config = boot(flash, _MAC)
            config.begin_waking()
        tally.last_good_lost += config.settings.to_parts() != good
