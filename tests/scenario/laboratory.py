# SPDX-License-Identifier: MIT
"""A certification laboratory in virtual time: the node's firmware on a virtual board, and a test harness.

The harness is the network: it opens what the node sends with an implementation of another author
(pamoja-lorawan) and answers with whatever a test wants, also what no honest network would send, at any
microsecond. A test is a generator: it yields what is to be sent after the present uplink (a `Reply`, or
None) and gets the next uplink. Not here: physics (the air is lossless) and our network server.

Vocabulary and numbering: LoRaWAN End Device Certification Requirements; commands: TS009-1.1.0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import communode.build
import pytest
from communode.boards import load_board
from communode.identity import Identity, dev_eui_from_mac
from communode.node.lorawan import crypto
from communode.node.radio.airtime import time_on_air_us
from communode.node.radio.modem import LoraParameters
from communode.nvs_image import make_image
from communode.profiles import load_profile
from communode.virtual.air import Air
from communode.virtual.board import BoardSettings, VirtualProcessorBoard
from communode.virtual.flash import FlashFile
from communode.virtual.kernel import Kernel
from communode.virtual.medium import Transmission
from communode.virtual.world import World
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pamoja import lorawan as foreign

JOIN_EUI = bytes.fromhex("02c0ffee000000ce")
APP_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
NET_ID = 0x13
JOIN_DELAY_S = 5
CERTIFICATION_PORT = 224
RX2_HZ = 869_525_000
LAB_MAIN = """
import pack
pack.mount()
import hardware
from node.app.laboratory import live
from node.app.wiring import wire
live(wire(hardware))
"""


class Block:
    """One AES key, for what pamoja does not build: frames that break the rules."""

    def __init__(self, key: bytes) -> None:
        self._cipher = Cipher(algorithms.AES(key), modes.ECB())

    def encrypt(self, block: bytes) -> bytes:
        return self._cipher.encryptor().update(bytes(block))


@dataclass(frozen=True)
class Reply:
    """A downlink. ``window`` 1 or 2; ``offset_us`` off the exact instant; ``wire`` replaces all framing."""

    f_port: int | None = None
    payload: bytes = b""
    f_opts: bytes = b""
    confirmed: bool = False
    ack: bool = False
    pending: bool = False
    window: int = 1
    offset_us: int = 0
    bad_mic: bool = False
    fcnt: int | None = None
    wire: bytes | None = None


@dataclass(frozen=True)
class Uplink:
    """What the node sent; ``data`` is None for a join-request."""

    sent: Transmission
    data: Any = None
    request: Any = None
    adr_ack_req: bool = False

    @property
    def data_rate(self) -> int:
        """EU868 index."""
        return 12 - self.sent.spreading_factor

    @property
    def commands(self) -> bytes:
        """MAC commands, wherever they are."""
        return bytes(self.data.payload if self.data.fport == 0 else self.data.fopts)

    @property
    def answer(self) -> bytes:
        """What the node says on the port of the harness."""
        return bytes(self.data.payload) if self.data.fport == CERTIFICATION_PORT else b""


Script = Generator[Reply | None, Uplink, None]
Part = Generator[Reply | None, Uplink, Uplink]


@dataclass
class Plan:
    """What the network believes that the node does."""

    rx1_delay_s: int = 1
    rx1_dr_offset: int = 0
    rx2_data_rate: int = 0
    rx2_hz: int = RX2_HZ
    rx1_hz: dict[int, int] = field(default_factory=dict)  # DlChannelReq: by uplink frequency


class Laboratory:
    """One node under test and its harness."""

    def __init__(
        self, flash_path: Path, folder: Path, *, drift_ppm: float = 0.0, board: str = "virtual"
    ) -> None:
        self.kernel = Kernel()
        self.air = Air(path_loss_db=100.0)
        self.plan = Plan()
        self.session: Any = None
        self.dev_nonces: list[int] = []
        self.join_nonce = 0
        self.fcnt_up = -1
        self.fcnt_down = 0
        self.uplinks: list[Uplink] = []
        self._stack = ExitStack()
        self._script: Script | None = None
        self._flash = self._stack.enter_context(FlashFile(flash_path, load_board(board).flash_size))
        self.mac = bytes.fromhex("0200c0000001")
        settings = BoardSettings(mac=self.mac, drift_ppm=drift_ppm, radio_settings={"air": self.air})
        made = load_board(board)
        self.board = VirtualProcessorBoard(
            made, load_profile("air"), self._flash, self.kernel, World(seed=1), settings
        )
        console = os.open(folder / "console.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        self._stack.callback(os.close, console)
        self._stack.callback(os.close, nothing)
        self._stack.callback(self.board.halt)
        self.board.console = (nothing, console)
        self.console = folder / "console.txt"
        self.air.subscribe(self._on_air)

    def close(self) -> None:
        """Switch everything off."""
        self._stack.close()

    def run(self, script: Callable[[Laboratory], Script], limit_s: int = 100_000) -> None:
        """Power on, and follow ``script`` to its end; the virtual time that may take is limited."""
        self._script = script(self)
        next(self._script)  # up to its first yield, which waits for the first uplink
        self.board.power_on()
        self.kernel.call_at(limit_s * 1_000_000, self._stop)
        self.kernel.run()
        assert self._script is None, f"the script did not end; console:\n{self.console.read_text()}"
        assert self.board.violations == []

    def _stop(self) -> None:
        self.board.halt()
        self.board.stopped = True

    # --- the air ------------------------------------------------------------------------------------------

    def _on_air(self, sent: Transmission) -> None:
        if sent.source == self.mac.hex() and self._script is not None:
            self.kernel.call_at(sent.end_us, lambda: self._advance(sent))

    def _advance(self, sent: Transmission) -> None:
        if self._script is None:
            return
        uplink = self.open(sent)
        self.uplinks.append(uplink)
        try:
            reply = self._script.send(uplink)
        except StopIteration:
            self._script = None
            self._stop()
            return
        if reply is not None:
            self._send(reply, uplink)

    def open(self, sent: Transmission) -> Uplink:
        """Check and decrypt an uplink; its counter must be new, or that of a repetition."""
        wire = sent.payload
        assert sent.crc
        assert not sent.invert_iq
        if wire[0] == 0:
            request = foreign.parse_join_request(wire, APP_KEY)
            assert bytes(request.app_eui) == JOIN_EUI
            assert bytes(request.dev_eui) == dev_eui_from_mac(self.mac)
            return Uplink(sent, request=request)
        assert self.session is not None, "data before a join"
        fcnt = int.from_bytes(wire[6:8], "little")
        data = self.session.decode(wire, fcnt)
        again = self.uplinks and self.uplinks[-1].sent.payload == wire
        assert fcnt == self.fcnt_up + (0 if again else 1), f"FCntUp {fcnt} after {self.fcnt_up}"
        self.fcnt_up = fcnt
        return Uplink(sent, data=data, adr_ack_req=bool(wire[5] & 0x40))

    def _send(self, reply: Reply, uplink: Uplink) -> None:
        sent, plan = uplink.sent, self.plan
        joining = uplink.data is None
        delay_s = (JOIN_DELAY_S if joining else plan.rx1_delay_s) + reply.window - 1
        if reply.window == 1:
            frequency_hz = (
                sent.frequency_hz if joining else plan.rx1_hz.get(sent.frequency_hz, sent.frequency_hz)
            )
            data_rate = uplink.data_rate if joining else max(0, uplink.data_rate - plan.rx1_dr_offset)
        else:
            frequency_hz = RX2_HZ if joining else plan.rx2_hz
            data_rate = 0 if joining else plan.rx2_data_rate
        wire = self.frame(reply) if reply.wire is None else reply.wire
        parameters = LoraParameters(frequency_hz, 12 - data_rate, 125_000, invert_iq=True, crc=False)
        start_us = sent.end_us + delay_s * 1_000_000 + reply.offset_us
        down = Transmission(
            source="harness",
            start_us=start_us,
            end_us=start_us + time_on_air_us(parameters, len(wire)),
            frequency_hz=frequency_hz,
            spreading_factor=parameters.spreading_factor,
            bandwidth_hz=125_000,
            coding_rate=5,
            preamble_symbols=8,
            invert_iq=True,
            sync_word=0x34,
            crc=False,
            implicit=False,
            payload=wire,
            power_dbm=14,
        )
        self.kernel.call_at(start_us, lambda: self.air.transmit(down))

    def frame(self, reply: Reply) -> bytes:
        """A data frame; what pamoja refuses to build (MAC commands in two places) is put together here."""
        fcnt = self.fcnt_down if reply.fcnt is None else reply.fcnt
        if reply.fcnt is None and not reply.bad_mic:
            self.fcnt_down += 1
        if reply.f_port is None or (reply.f_port == 0 and reply.f_opts):
            wire = self._assemble(reply, fcnt)
        else:
            wire = bytes(
                self.session.encode_downlink(
                    fcnt,
                    reply.f_port,
                    reply.payload,
                    confirmed=reply.confirmed,
                    ack=reply.ack,
                    fpending=reply.pending,
                    fopts=reply.f_opts or None,
                )
            )
        return wire[:-1] + bytes((wire[-1] ^ 1,)) if reply.bad_mic else wire

    def _assemble(self, reply: Reply, fcnt: int) -> bytes:
        f_ctrl = reply.ack << 5 | reply.pending << 4 | len(reply.f_opts)
        m_hdr = 0xA0 if reply.confirmed else 0x60
        message = bytes((m_hdr,)) + self.dev_addr.to_bytes(4, "little") + bytes((f_ctrl,))
        message += (fcnt & 0xFFFF).to_bytes(2, "little") + reply.f_opts
        if reply.f_port is not None:
            block = Block(self.nwk_s_key)
            clear = reply.payload
            message += b"\0" + crypto.crypt_payload(block, crypto.DOWNLINK, self.dev_addr, fcnt, clear)
        return message + crypto.data_mic(Block(self.nwk_s_key), crypto.DOWNLINK, self.dev_addr, fcnt, message)

    # --- parts of scripts -----------------------------------------------------------------------------------

    def accept(self, uplink: Uplink, cf_list: bytes | None = None, **changes: Any) -> Reply:
        """A join-accept for ``uplink``, and the session that comes of it."""
        request, plan = uplink.request, self.plan
        assert request is not None, "a data frame where a join-request was expected"
        self.dev_nonces.append(request.dev_nonce)
        self.join_nonce += 1
        self.dev_addr = 0x26010000 + self.join_nonce
        settings = plan.rx1_dr_offset << 4 | plan.rx2_data_rate
        grant = foreign.grant(self.join_nonce, NET_ID, self.dev_addr, settings, plan.rx1_delay_s, cf_list)
        self.session = grant.session(APP_KEY, request.dev_nonce)
        nonces = (self.join_nonce, NET_ID, request.dev_nonce)
        self.nwk_s_key = crypto.session_key(Block(APP_KEY), crypto.NWK_S_KEY, *nonces)
        self.fcnt_up, self.fcnt_down = -1, 0
        return replace(Reply(wire=bytes(grant.accept(APP_KEY, request.dev_nonce))), **changes)

    def activate(self, data_rate: int | None = 5, cf_list: bytes | None = None, **changes: Any) -> Part:
        """2.1: power on, join, test mode: uplinks every 5 s, no duty cycle. Returns the next uplink."""
        uplink = yield None
        uplink = yield self.accept(uplink, cf_list, **changes)
        assert uplink.data is not None, "the join-accept was not taken"
        uplink = yield from self.order("0500", uplink)
        uplink = yield from self.order("0601", uplink)
        if data_rate is not None:
            block = bytes((3, data_rate << 4, 0xFF if cf_list else 7, 0, 1))
            uplink = yield Reply(f_opts=block)
            assert uplink.commands == b"\x03\x07"
            assert uplink.data_rate == data_rate
        return uplink

    def order(self, hexes: str, uplink: Uplink, **changes: Any) -> Part:
        """Give a TS009 command after the present uplink; the uplink that follows it."""
        return (yield replace(Reply(CERTIFICATION_PORT, bytes.fromhex(hexes)), **changes))

    def echo(self, payload: bytes, **changes: Any) -> Part:
        """EchoIncPayloadReq: whether the node received is seen by its answer. The uplink that follows."""
        uplink = yield replace(Reply(CERTIFICATION_PORT, b"\x08" + payload), **changes)
        return uplink


def echoed(payload: bytes) -> bytes:
    """What the node answers to an echo."""
    return b"\x08" + bytes(byte + 1 & 0xFF for byte in payload)


def make_flash(path: Path, defect: tuple[str, str, str] | None = None) -> Path:
    """The flash of a node in laboratory mode: a build for the virtual body, and an identity.

    ``defect`` (module below ``node``, text, other text) builds a node that is wrong, to see it found out.
    """
    board, profile = load_board("virtual"), load_profile("air")
    files, sources = communode.build.app_files, communode.build.node_sources

    def app_files(*arguments: Any) -> dict[str, bytes]:
        return {**files(*arguments), "main.py": LAB_MAIN.encode()}

    def node_sources(*arguments: Any) -> dict[str, bytes]:
        found = sources(*arguments)
        if defect:
            module, good, bad = defect
            assert good.encode() in found[module]
            found[module] = found[module].replace(good.encode(), bad.encode())
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(communode.build, "app_files", app_files)
        patch.setattr(communode.build, "node_sources", node_sources)
        made = communode.build.build(board, profile, body="virtual")
    write_flash(path, made, bytes.fromhex("0200c0000001"), APP_KEY)
    return path


def write_flash(path: Path, made: communode.build.Build, mac: bytes, app_key: bytes) -> None:
    """Put a build and an identity into a flash file, as a programmer clipped to the chip would."""
    identity = Identity(dev_eui_from_mac(mac), JOIN_EUI, app_key, bytes(16))
    with FlashFile(path, made.manifest["flash_size"]) as flash:
        for region in made.regions:
            flash.program(region.offset, region.data)
        nvs = made.partition("nvs")
        flash.program(nvs.offset, make_image(identity.blobs(), nvs.size))
