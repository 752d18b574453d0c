# SPDX-License-Identifier: MIT
"""Power cuts in the life of a LoRaWAN node: after every byte that its flash writes, torn, and in recovery.

The node is the real one - MAC, runner, state log - over a flash that can be cut in the middle of a byte and a
radio without physics: what is sent arrives, what is answered is heard. The world that remembers what was on
air and what the application was told is outside and never forgets. The oracle: a DevNonce goes on air once; a
frame counter of a session with one content only; a join that the node was told of is still joined, with the
same keys; a downlink that the application has seen is not taken again. Not here: windows (tests/scenario).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from campaigns import Tally
from communode.node.lorawan import crypto, frame
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region.eu868 import REGION
from communode.node.lorawan.runner import Runner
from communode.node.radio.modem import LoraParameters, RxPacket
from communode.node.storage.state import StateLog
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from flash_model import SECTOR, PowerCut, RamFlash

DEV_EUI, JOIN_EUI, APP_KEY = bytes(range(8)), bytes(range(8, 16)), bytes(range(16))
SECTORS = 4
MAC_KIND, OTHER_KIND = 1, 2
ERASE_POINTS = 8  # moments within the erasing of a sector
DEPTH = 2  # cuts after the first
_KEYS: dict[bytes, Aes] = {}


class Aes:
    """One key over a library."""

    def __init__(self, key: bytes) -> None:
        cipher = Cipher(algorithms.AES(key), modes.ECB())
        self.encrypt = cipher.encryptor().update
        self.decrypt = cipher.decryptor().update


def aes(key: bytes) -> Aes:
    """An AES block; kept, as reboots use the same few keys."""
    if key not in _KEYS:
        _KEYS[key] = Aes(key)
    return _KEYS[key]


class ByteFlash(RamFlash):
    """A flash whose power can go after any byte of a write, the next byte half done, and within an erase."""

    left = -1  # cut points until the power goes; -1: never
    passed = 0  # cut points so far

    def copy(self) -> ByteFlash:
        """The same contents, with power."""
        return ByteFlash(self.size // SECTOR, bytearray(self.data))

    def _spend(self, points: int) -> int:
        """How many of ``points`` are passed before the power goes; all of them: it does not."""
        self.passed += points
        if self.left < 0:
            return points
        done = min(self.left, points)
        self.left -= done
        return done

    def program(self, offset: int, data: bytes) -> None:
        done = self._spend(len(data))
        if done < len(data):
            self.cut_at, self.torn = self.operations, done / len(data) + 1e-9
        super().program(offset, data)

    def erase(self, offset: int) -> None:
        done = self._spend(ERASE_POINTS)
        if done < ERASE_POINTS:
            self.cut_at, self.torn = self.operations, done / ERASE_POINTS
        super().erase(offset)


class World:
    """What was on air and what the application was told."""

    def __init__(self) -> None:
        self.dev_nonces: set[int] = set()
        self.sent: dict[tuple[int, int], bytes] = {}  # (DevAddr, FCntUp): frame
        self.told: tuple[int, bytes] | None = None  # DevAddr and NwkSKey of a join that `join` returned from
        self.granted: dict[int, tuple[bytes, bytes]] = {}  # DevAddr: NwkSKey, AppSKey
        self.join_nonce = 0
        self.fcnt_down: dict[int, int] = {}
        self.seen: list[tuple[int, bytes]] = []  # DevAddr and wire of downlinks that the application saw
        self.last_down = b""

    def copy(self) -> World:
        """A copy that shares nothing."""
        twin = World()
        twin.dev_nonces, twin.sent = set(self.dev_nonces), dict(self.sent)
        twin.granted, twin.fcnt_down = dict(self.granted), dict(self.fcnt_down)
        twin.told, twin.join_nonce = self.told, self.join_nonce
        twin.seen, twin.last_down = self.seen[-3:], self.last_down
        return twin


class Radio:
    """A modem for whom everything arrives; it judges the counters of what it is given."""

    min_power_dbm = -9
    max_power_dbm = 22
    rx_latency_us = 0

    def __init__(self, node: Node) -> None:
        self._node = node
        self._answer: bytes | None = None
        self._down: LoraParameters | None = None

    def prepare_tx(self, parameters: LoraParameters, payload: bytes, power_dbm: int) -> None:
        self._payload = payload

    def start_tx(self) -> int:
        self._answer = self._node.on_air(self._payload)
        return self._node.clock.ticks_us()

    def poll_tx(self) -> int:
        return self._node.clock.ticks_us()

    def prepare_rx(self, parameters: LoraParameters, symbols: int) -> None:
        self._down = parameters

    def start_rx(self) -> int:
        return self._node.clock.ticks_us()

    def poll_rx(self) -> RxPacket | bool:
        answer, self._answer = self._answer, None
        if answer is None:
            return False
        return RxPacket(answer, -80, 30, self._node.clock.ticks_us())

    def sleep(self) -> None:
        pass

    standby = sleep


class Clock:
    """Moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def ticks_us(self) -> int:
        self.now += 1
        return self.now

    def ticks_diff(self, end: int, start: int) -> int:
        return end - start

    def ticks_add(self, ticks: int, delta_us: int) -> int:
        return ticks + delta_us

    def sleep_us(self, duration_us: int) -> None:
        self.now += duration_us

    def sleep_ms(self, duration_ms: int) -> None:
        self.now += 1000 * duration_ms

    def now_ms(self) -> int:
        return self.now // 1000


class Store:
    """One kind of the state log for the runner, and RTC memory."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def load(self) -> bytes | None:
        return self._node.log.load(MAC_KIND)

    def commit(self, record: bytes) -> None:
        self._node.log.commit(MAC_KIND, record)

    def cache_load(self) -> bytes | None:
        return self._node.cache

    def cache_save(self, record: bytes) -> None:
        self._node.cache = record


class Node:
    """One node, its flash and its world."""

    def __init__(self, flash: ByteFlash, seed: int, tally: Tally) -> None:
        self.flash, self.tally = flash, tally
        self.rng = random.Random(seed)
        self.world = World()
        self.clock = Clock()
        self.cache: bytes | None = None
        self.boots = 0
        self.boot()

    def fork(self) -> Node:
        """A copy that shares nothing but the tally; it wakes from deep sleep, as its RTC memory is whole."""
        twin = object.__new__(Node)
        twin.flash, twin.tally = self.flash.copy(), self.tally
        twin.rng = random.Random()
        twin.rng.setstate(self.rng.getstate())
        twin.world = self.world.copy()
        twin.clock = Clock()
        twin.clock.now = self.clock.now
        twin.cache = self.cache
        twin.boots = self.boots
        twin.boot(self.log.position)
        return twin

    def boot(self, hint: int = -1) -> None:
        """Build everything anew from flash and RTC memory."""
        self.boots += 1
        self.log = StateLog(self.flash, hint)
        self.mac = Mac(REGION, aes, DEV_EUI, JOIN_EUI, APP_KEY, 2)
        entropy = random.Random(self.boots).randbytes
        self.runner = Runner(self.mac, Radio(self), self.clock, Store(self), entropy)  # type: ignore[arg-type]

    def cut_power(self) -> None:
        """RTC memory and clock are gone; flash is what the cut has left."""
        self.flash = self.flash.copy()
        self.cache = None
        self.clock = Clock()
        self.boot()
        self._judge_context()

    def _judge_context(self) -> None:
        session, told = self.mac.session, self.world.told
        if told is not None:
            # Lost: not joined, or in another session than this one or a newer one that the network granted.
            keys = self.world.granted.get(session.dev_addr)
            newer = session.dev_addr >= told[0] and keys is not None and keys[0] == session.nwk_s_key
            if not session.joined or not newer:
                self.tally.contexts_lost += 1
        for dev_addr, wire in self.world.seen:
            if session.joined and dev_addr == session.dev_addr:
                plan = _plan(self.mac)
                before = session.fcnt_down
                if self.mac.receive(plan, wire, 5, 0, 0) is not None or session.fcnt_down != before:
                    self.tally.counters_reused += 1

    # --- the life of the node ----------------------------------------------------------------------------

    def step(self) -> None:
        """What the application does next: join, or send; now and then something else is stored, too."""
        rng, runner, world = self.rng, self.runner, self.world
        self.clock.now += 700_000_000
        kind = rng.random()
        if kind < 0.15:
            self.log.commit(OTHER_KIND, rng.randbytes(rng.choice((40, 300))))
        elif not self.mac.session.joined or kind < 0.25:
            if self.mac.session.joined:
                self.mac.session.join_epoch_ms = 0
            if runner.join().code == "joined":
                session = self.mac.session
                world.told = (session.dev_addr, session.nwk_s_key)
        else:
            self.answers = rng.random() < 0.5
            self.mac.session.nb_trans = rng.choice((1, 1, 2))
            outcome = runner.send(2, rng.randbytes(10), confirmed=rng.random() < 0.3)
            if outcome.heard:
                world.seen.append((self.mac.session.dev_addr, world.last_down))
        if rng.random() < 0.3:  # deep sleep in between
            self.boot(self.log.position)

    answers = False

    def on_air(self, wire: bytes) -> bytes | None:
        """The network: remembers everything, and answers."""
        world = self.world
        if wire[0] == frame.JOIN_REQUEST:
            dev_nonce = int.from_bytes(wire[17:19], "little")
            if dev_nonce in world.dev_nonces:
                self.tally.counters_reused += 1
            world.dev_nonces.add(dev_nonce)
            return self._accept(dev_nonce)
        addr, fcnt = int.from_bytes(wire[1:5], "little"), int.from_bytes(wire[6:8], "little")
        if world.sent.setdefault((addr, fcnt), wire) != wire:  # the same frame again is NbTrans
            self.tally.counters_reused += 1
        return self._downlink(addr) if self.answers else None

    def _accept(self, dev_nonce: int) -> bytes:
        world, root = self.world, aes(APP_KEY)
        world.join_nonce += 1
        addr = 0x26000000 + world.join_nonce
        clear = (
            world.join_nonce.to_bytes(3, "little") + b"\x13\0\0" + addr.to_bytes(4, "little") + b"\x03\x01"
        )
        clear += bytes.fromhex("184f84e85684b85e84886684586e8400")
        nonces = (world.join_nonce, 0x13, dev_nonce)
        world.granted[addr] = (
            crypto.session_key(root, crypto.NWK_S_KEY, *nonces),
            crypto.session_key(root, crypto.APP_S_KEY, *nonces),
        )
        mic = crypto.cmac(root, b"\x20" + clear)[:4]
        return b"\x20" + root.decrypt(clear + mic)

    def _downlink(self, addr: int) -> bytes:
        world = self.world
        fcnt = world.fcnt_down.get(addr, 0)
        world.fcnt_down[addr] = fcnt + 1
        nwk, app = world.granted[addr]
        security = frame.Security(addr, aes(nwk), aes(app))
        orders = (b"", b"\x06", b"\x08\x02", b"\x05\x03\xd2\xad\x84", b"\x03\x50\xff\x00\x01")[fcnt % 5]
        m_hdr = frame.CONFIRMED_DOWN if fcnt % 3 == 0 else frame.UNCONFIRMED_DOWN
        world.last_down = frame.build_data(security, m_hdr, frame.ACK, fcnt, orders, 5, b"down")
        return world.last_down


def _plan(mac: Mac) -> Any:
    """A plan that `receive` can judge a replayed frame with."""

    class Replay:
        joining = False
        data_rate = mac.session.data_rate

    return Replay()


def explore(
    seed: int, tally: Tally, limit: int, chosen: Callable[[random.Random], bool] = lambda rng: True
) -> Node:
    """Live, and cut each step of the life after each byte (or those that are ``chosen``), nested; stops after
    ``limit`` cut points, and returns the node that was never cut."""
    rng = random.Random(seed ^ 0x5EED)
    node = Node(ByteFlash(SECTORS), seed, tally)
    while True:
        probe = node.fork()
        probe.step()
        for point in range(probe.flash.passed):
            if chosen(rng):
                _cut(node, point, rng, DEPTH)
                if tally.cut_points >= limit:
                    return node
        node.step()


def _cut(node: Node, point: int, rng: random.Random, depth: int) -> None:
    """Cut a copy of ``node`` after so many bytes, let it recover, and cut that again."""
    twin = node.fork()
    twin.flash.left = point
    twin.flash.rng.seed(rng.random())
    try:
        while True:  # the step that was probed, and more when that one wrote less this time
            twin.step()
    except PowerCut:
        pass
    node.tally.cut_points += 1
    if depth and rng.random() < 0.5:
        node.tally.nested += 1
        # The reboot itself writes nothing; what comes first after it does.
        twin.cut_power()
        _cut(twin, rng.randrange(400), rng, depth - 1)
        return
    twin.cut_power()
    for _ in range(2):
        twin.step()
