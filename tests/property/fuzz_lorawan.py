# SPDX-License-Identifier: MIT
"""Structure-aware fuzzing of the LoRaWAN MAC: frames as an attacker, a broken network or the air makes them.

Half of the inputs carry a MIC that is right, so that what lies behind it is reached. The oracle, for each:
no exception escapes; what was rejected left the exact record byte for byte the same; a data frame that was
taken raised FCntDown, a join-accept raised JoinNonce; the session is still one that can be stored, read back
and sent with. Not here: that good frames do what they should (tests/unit).

`make test` runs a seeded sample, `make nightly` ten million inputs.
"""

from __future__ import annotations

import importlib
import random
from dataclasses import dataclass, field
from struct import pack
from typing import Any

from communode.node.lorawan import channels, crypto
from communode.node.lorawan.exchange import Downlink, Joined, MacError, Plan
from communode.node.lorawan.mac import Mac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

REGIONS = (
    *("eu868", "eu433", "us915", "au915", "in865", "kr920"),
    *("as923_1", "as923_2", "as923_3", "as923_4"),
)
DEV_EUI, JOIN_EUI, APP_KEY = bytes(range(8)), bytes(range(8, 16)), bytes(range(16))
_LIFE = 400  # inputs before a session is thrown away
_HOUR_MS = 3_600_000
# Identifiers and the length of what the network sends (TS001-1.0.4, chapter 5), and some unknown ones.
_COMMANDS = {2: 2, 3: 4, 4: 1, 5: 4, 6: 0, 7: 5, 8: 1, 9: 1, 10: 4, 13: 5, 1: 1, 11: 1, 0x10: 4, 0x80: 3}


class Aes:
    """One key; contexts are kept, as the campaign is made of blocks."""

    def __init__(self, key: bytes) -> None:
        cipher = Cipher(algorithms.AES(key), modes.ECB())
        self.encrypt = cipher.encryptor().update
        self.decrypt = cipher.decryptor().update


@dataclass
class Tally:
    """What a campaign has seen."""

    inputs: int = 0
    valid_mic: int = 0
    accepted: int = 0
    joins: int = 0
    crashes: int = 0
    state_changes_on_reject: int = 0
    counters_not_raised: int = 0
    broken_sessions: int = 0
    rejections: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Nothing found."""
        return not (
            self.crashes + self.state_changes_on_reject + self.counters_not_raised + self.broken_sessions
        )

    def note(self, what: str, wire: bytes, region: str) -> None:
        """Keep the first few finds, to be replayed."""
        if len(self.examples) < 20:
            self.examples.append(f"{what} {region} {wire.hex()}")


class Fuzzer:
    """One seed: the same inputs every time."""

    def __init__(self, seed: int, tally: Tally) -> None:
        self.rng = random.Random(seed)
        self.tally = tally
        self.root = Aes(APP_KEY)
        self.born = 0
        self.start_session()

    def run(self, inputs: int) -> None:
        """Try so many inputs."""
        for number in range(inputs):
            if number % _LIFE == 0:
                self.start_session()
            self.step()

    def start_session(self) -> None:
        """A new node in some region, joined or not yet."""
        rng = self.rng
        self.region = REGIONS[self.born % len(REGIONS)]
        self.born += 1
        self.now_ms = rng.randrange(1, _HOUR_MS)
        self.mac = self.make_mac()
        self.mac.restore(None, None, self.now_ms)
        self.mac.seed(rng.getrandbits(32))
        self.mac.session.dev_nonce = rng.choice((1, 5, 65536))
        self.mac.session.join_nonce = rng.choice((0, 7, 0xFFFFFE))
        if rng.random() < 0.9:
            self.mac.personalize(rng.getrandbits(32), rng.randbytes(16), rng.randbytes(16))
            self.mac.session.fcnt_down = rng.choice((0, 1, 40, 0xFFFF, 0x1FFFF, 0xFFFFFFF0))
            if rng.random() < 0.2:
                self.mac.session.adr = False
        self.follow()

    def make_mac(self) -> Mac:
        """A node without state."""
        region = importlib.import_module(f"communode.node.lorawan.region.{self.region}").REGION
        return Mac(region, Aes, DEV_EUI, JOIN_EUI, APP_KEY)

    def follow(self) -> None:
        """Take over what the node has now."""
        session = self.mac.session
        self.nwk, self.app = Aes(session.nwk_s_key), Aes(session.app_s_key)
        self.record = session.to_bytes(self.now_ms, True)
        uplink = channels.parameters(self.mac.region, 868_100_000, 0, False)
        self.plan = Plan(b"", uplink, session.data_rate)

    # --- one input --------------------------------------------------------------------------------------

    def step(self) -> None:
        """Make a frame, give it to the node, and judge."""
        rng, tally, mac = self.rng, self.tally, self.mac
        valid = rng.random() < 0.5
        joining = rng.random() < (0.5 if not mac.session.joined else 0.1)
        wire = self.join_accept(valid) if joining else self.data(valid)
        # A join-accept in a data window and the other way round are refused by their type.
        self.plan.joining = joining if rng.random() < 0.97 else not joining
        self.plan.data_rate = mac.session.data_rate
        rates = [rate for rate, known in enumerate(mac.region.data_rates) if known]
        data_rate = rates[-1] if rng.random() < 0.7 else rng.choice(rates)
        counters = (mac.session.fcnt_down, mac.session.join_nonce)
        tally.inputs += 1
        tally.valid_mic += valid
        try:
            got = mac.receive(self.plan, wire, data_rate, rng.randrange(-100, 60), self.now_ms)
        except Exception as error:
            tally.crashes += 1
            tally.note(repr(error), wire, self.region)
            self.start_session()
            return
        if got is None:
            self._judge_rejection(wire)
        else:
            self._judge_acceptance(got, wire, valid, counters)

    def _judge_rejection(self, wire: bytes) -> None:
        tally, mac = self.tally, self.mac
        tally.rejections[mac.rejection] = tally.rejections.get(mac.rejection, 0) + 1
        if mac.session.to_bytes(self.now_ms, True) != self.record:
            tally.state_changes_on_reject += 1
            tally.note("rejected, yet changed:", wire, self.region)
            self.follow()

    def _judge_acceptance(self, got: object, wire: bytes, valid: bool, counters: tuple[int, int]) -> None:
        tally, session = self.tally, self.mac.session
        tally.accepted += 1
        if isinstance(got, Joined):
            tally.joins += 1
            raised = session.join_nonce > counters[1] and session.fcnt_up == session.fcnt_down == 0
        else:
            raised = isinstance(got, Downlink) and session.fcnt_down > counters[0]
        if not raised or not valid:
            tally.counters_not_raised += 1
            tally.note("taken without a new counter or a MIC:", wire, self.region)
        try:
            self._live_on()
        except Exception as error:
            tally.broken_sessions += 1
            tally.note(f"afterwards {error!r}:", wire, self.region)
            self.start_session()
        self.follow()

    def _live_on(self) -> None:
        """The session can be stored and sent with, within the plan of its region."""
        mac, region = self.mac, self.mac.region
        flash, cache = mac.flash_record(self.now_ms), mac.cache_record(self.now_ms)
        assert len(flash) <= 512
        assert len(cache) <= 512
        again = self.make_mac()
        again.restore(flash, cache, self.now_ms)
        assert again.session.to_bytes(self.now_ms, True) == cache
        self.now_ms += (
            60_000
            + mac.session.quiet_until_ms
            - min(mac.session.quiet_until_ms, mac.session.time_ms(self.now_ms))
        )
        try:
            plan = mac.uplink(self.now_ms, 2, bytes(self.rng.randrange(12)))
        except MacError as error:
            # No channel left for the rate, or no room under a dwell time limit: said, and nothing is sent.
            if error.code in ("payload_too_long", "never_allowed"):
                return
            raise
        mac.close()
        if isinstance(plan, Plan):
            dynamic = (region.low_hz, region.high_hz)
            low_hz, high_hz = dynamic if region.dynamic else (902_000_000, 928_000_000)
            assert low_hz <= plan.uplink.frequency_hz <= high_hz
            assert len(plan.wire) - 5 <= region.payload_limit(mac.session, plan.data_rate)
            assert region.known_rate(plan.rx1_data_rate)
            assert region.known_rate(plan.rx2_data_rate)
            assert 1_000_000 <= plan.rx1_delay_us <= 15_000_000
            assert plan.power_dbm <= 36

    # --- making frames ----------------------------------------------------------------------------------

    def commands(self, room: int) -> bytes:
        """MAC commands: whole ones with random and with plausible contents, unknown ones, a cut-off end."""
        rng = self.rng
        out = b""
        while len(out) < room and rng.random() < 0.8:
            cid = rng.choice(tuple(_COMMANDS)) if rng.random() < 0.95 else rng.getrandbits(8)
            body = bytearray(rng.randbytes(_COMMANDS.get(cid, 0)))
            if cid in (5, 7, 10) and rng.random() < 0.7:
                region = self.mac.region
                frequency = rng.randrange(region.low_hz, region.high_hz + 1) // 100
                body[1:4] = rng.choice((frequency, 0)).to_bytes(3, "little")
                body[0] = rng.randrange(17)
            if cid == 3 and rng.random() < 0.5:
                for _ in range(rng.randrange(4)):  # a block
                    out += bytes((3,)) + bytes(body)
                body[3] = rng.choice((0x00, 0x01, 0x60, 0x70, 0x50))
            out += bytes((cid,)) + bytes(body)
        return out[:room]

    def data(self, valid: bool) -> bytes:
        """A data frame, at times not a downlink, not for us, too old, cut or stretched."""
        rng, session = self.rng, self.mac.session
        twist = rng.random()
        m_hdr = rng.choice((0x60, 0x60, 0x60, 0xA0)) if twist > 0.1 else rng.getrandbits(8)
        addr = session.dev_addr if rng.random() > 0.05 else rng.getrandbits(32)
        step = rng.choice((0, 0, 0, 1, 2, 50, 0x7FFF, 0xFFFF, 0x10000, -1, -2, -0x10000))
        fcnt = max(0, session.fcnt_down + step) & 0xFFFFFFFF
        f_port = rng.choice((None, 0, 0, 1, 2, 200, 224, rng.getrandbits(8)))
        f_opts = self.commands(15) if rng.random() < 0.6 and (f_port != 0 or rng.random() < 0.1) else b""
        size = rng.choice((0, 1, 11, 51, 200, 242, rng.randrange(256)))
        payload = self.commands(size) if f_port == 0 else rng.randbytes(size)
        size = len(f_opts) if rng.random() > 0.05 else rng.randrange(16)
        f_ctrl = (rng.getrandbits(4) << 4) | size
        message = pack("<BIBH", m_hdr, addr, f_ctrl, fcnt & 0xFFFF) + f_opts
        if f_port is not None:
            block = self.app if f_port else self.nwk
            message += bytes((f_port,)) + crypto.crypt_payload(block, crypto.DOWNLINK, addr, fcnt, payload)
        if rng.random() < 0.06:
            cut = rng.randrange(len(message))
            message = message[:cut] if rng.random() < 0.7 else message + rng.randbytes(9)
        message = message[:255]
        if valid:
            mic = crypto.data_mic(self.nwk, crypto.DOWNLINK, addr, fcnt, message)
        else:
            mic = self.wrong_mic(addr, fcnt, message)
        return message + mic

    def wrong_mic(self, addr: int, fcnt: int, message: bytes) -> bytes:
        """Random, off by a bit, of another counter or direction, or cut off."""
        rng = self.rng
        kind = rng.randrange(5)
        if kind == 0:
            return rng.randbytes(4)
        if kind == 1:
            return crypto.data_mic(self.nwk, crypto.UPLINK, addr, fcnt, message)
        if kind == 2:
            return crypto.data_mic(self.app, crypto.DOWNLINK, addr, fcnt, message)
        mic = crypto.data_mic(self.nwk, crypto.DOWNLINK, addr, fcnt, message)
        if kind == 3:
            return mic[: rng.randrange(4)]
        return (int.from_bytes(mic, "big") ^ 1 << rng.randrange(32)).to_bytes(4, "big")

    def join_accept(self, valid: bool) -> bytes:
        """A join-accept, encrypted as a join server does it: with the decryption of AES."""
        rng, session = self.rng, self.mac.session
        join_nonce = max(0, session.join_nonce + rng.choice((0, 0, 1, 5, -1, -5))) & 0xFFFFFF
        cf_list = b""
        if rng.random() < 0.6:
            region = self.mac.region
            cf_list = rng.randbytes(16)
            if rng.random() < 0.7:
                channels = [rng.randrange(region.low_hz, region.high_hz) // 100 for _ in range(5)]
                cf_list = b"".join(value.to_bytes(3, "little") for value in channels)
                cf_list += bytes((rng.choice((0, 1)),))
        settings = rng.getrandbits(8) if rng.random() < 0.5 else rng.randrange(6)
        clear = join_nonce.to_bytes(3, "little") + rng.randbytes(7) + bytes((settings, rng.getrandbits(8)))
        clear += cf_list
        head = bytes((0x20 if rng.random() < 0.97 else rng.getrandbits(8),))
        mic = crypto.cmac(self.root, head + clear)[:4]
        if not valid:
            mic = (int.from_bytes(mic, "big") ^ 1 << rng.randrange(32)).to_bytes(4, "big")
        wire = head + self.root.decrypt(clear + mic)
        return wire[: rng.randrange(len(wire))] if rng.random() < 0.03 else wire


def campaign(seed: int, inputs: int) -> Tally:
    """One campaign; the figures of `build/nightly/fuzz.json` come from here."""
    tally = Tally()
    Fuzzer(seed, tally).run(inputs)
    return tally


def figures(tally: Tally) -> dict[str, Any]:
    """One entry of ``targets``."""
    return {
        "name": "lorawan.mac.receive",
        "inputs": tally.inputs,
        "valid_mic": tally.valid_mic,
        "accepted": tally.accepted,
        "joins": tally.joins,
        "crashes": tally.crashes,
        "state_changes_on_reject": tally.state_changes_on_reject,
        "counters_not_raised": tally.counters_not_raised,
        "broken_sessions": tally.broken_sessions,
        "rejections": tally.rejections,
    }
