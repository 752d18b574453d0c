# SPDX-License-Identifier: MIT
# LoRaWAN 1.0.x PHYPayloads: building and opening, with MIC and encryption. Pure, and without state.
#
# Not here: what a frame means (mac.py, commands.py). Whatever is malformed, not for us or not authentic is a
# FrameError with a stable code; nothing is returned of a frame before its MIC is right.
# Source: L2 = TS001-1.0.4, chapters 4 and 6.2.

from struct import pack, unpack_from

from micropython import const

from . import crypto

JOIN_REQUEST = const(0x00)
JOIN_ACCEPT = const(0x20)
UNCONFIRMED_UP = const(0x40)
UNCONFIRMED_DOWN = const(0x60)
CONFIRMED_UP = const(0x80)
CONFIRMED_DOWN = const(0xA0)

# FCtrl
ADR = const(0x80)
ADR_ACK_REQ = const(0x40)
ACK = const(0x20)
F_PENDING = const(0x10)  # downlink; class B in an uplink

MAX_F_OPTS = const(15)


class FrameError(Exception):
    """A frame that must be ignored; ``code`` is stable.

    ``type`` not what is expected here, ``truncated``, ``f_opts`` MAC commands in two places, ``address`` for
    somebody else, ``counter`` exhausted, ``mic``.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Security:
    """Address and keys of one session; the keys as AES blocks."""

    def __init__(self, dev_addr: int, nwk: "crypto.Block", app: "crypto.Block") -> None:
        self.dev_addr = dev_addr
        self.nwk = nwk
        self.app = app

    def payload_block(self, f_port: "int | None") -> "crypto.Block":
        """The block that encrypts this port: port 0 belongs to the network (L2 4.3.3)."""
        return self.app if f_port else self.nwk


class Data:
    """A data frame that was authentic: ``payload`` is clear, ``f_port`` None when the frame has none."""

    def __init__(self, confirmed: bool, f_ctrl: int, fcnt: int, f_opts: bytes) -> None:
        self.confirmed = confirmed
        self.f_ctrl = f_ctrl
        self.fcnt = fcnt
        self.f_opts = f_opts
        self.f_port: int | None = None
        self.payload = b""


def build_data(
    security: Security,
    m_hdr: int,
    f_ctrl: int,
    fcnt: int,
    f_opts: bytes,
    f_port: "int | None",
    payload: bytes,
) -> bytes:
    """One data frame, either direction (bit 5 of ``m_hdr`` says which). FOptsLen is added to ``f_ctrl``."""
    direction = m_hdr >> 5 & 1
    addr = security.dev_addr
    message = pack("<BIBH", m_hdr, addr, f_ctrl | len(f_opts), fcnt & 0xFFFF) + f_opts
    if f_port is not None:
        block = security.payload_block(f_port)
        message += bytes((f_port,)) + crypto.crypt_payload(block, direction, addr, fcnt, payload)
    return message + crypto.data_mic(security.nwk, direction, addr, fcnt, message)


def open_data(security: Security, wire: bytes, next_fcnt: int) -> Data:
    """Check and decrypt a data frame of either direction.

    ``next_fcnt`` is the lowest 32-bit counter that is acceptable: the 16 bits on air are completed to the
    lowest value that is not below it, so that an old frame fails its MIC (L2 4.3.1.5). Raises FrameError.
    """
    size = len(wire) - 4
    if size < 8:
        raise FrameError("truncated")
    m_hdr, addr, f_ctrl, fcnt16 = unpack_from("<BIBH", wire, 0)
    if not UNCONFIRMED_UP <= m_hdr <= CONFIRMED_DOWN or m_hdr & 0x1F:
        raise FrameError("type")
    if addr != security.dev_addr:
        raise FrameError("address")
    start = 8 + (f_ctrl & 15)
    if start > size:
        raise FrameError("truncated")
    f_opts = wire[8:start]
    if f_opts and start < size and wire[start] == 0:
        raise FrameError("f_opts")
    fcnt = next_fcnt & ~0xFFFF | fcnt16
    if fcnt < next_fcnt:
        fcnt += 0x10000
    if fcnt >= 0xFFFFFFFF:  # the next one must still be a counter
        raise FrameError("counter")
    direction = m_hdr >> 5 & 1
    if crypto.data_mic(security.nwk, direction, addr, fcnt, wire[:size]) != wire[size:]:
        raise FrameError("mic")
    data = Data(m_hdr >= CONFIRMED_UP, f_ctrl, fcnt, f_opts)
    if start < size:
        f_port = wire[start]
        block = security.payload_block(f_port)
        data.f_port = f_port
        data.payload = crypto.crypt_payload(block, direction, addr, fcnt, wire[start + 1 : size])
    return data


def build_join_request(block: "crypto.Block", join_eui: bytes, dev_eui: bytes, dev_nonce: int) -> bytes:
    """A join-request; EUIs are 8 bytes as people write them (big-endian), ``block`` is of the AppKey."""
    message = pack("<B8s8sH", JOIN_REQUEST, bytes(reversed(join_eui)), bytes(reversed(dev_eui)), dev_nonce)
    return message + crypto.cmac(block, message)[:4]


class JoinAccept:
    """The fields of an authentic join-accept; ``cf_list`` is 16 bytes or empty."""

    def __init__(self, clear: bytes) -> None:
        self.join_nonce = int.from_bytes(clear[0:3], "little")
        self.net_id = int.from_bytes(clear[3:6], "little")
        self.dev_addr = int.from_bytes(clear[6:10], "little")
        self.dl_settings = clear[10]
        self.rx_delay = clear[11] & 15 or 1
        self.cf_list = clear[12:-4]


def open_join_accept(block: "crypto.Block", wire: bytes) -> JoinAccept:
    """Check and decrypt a join-accept with a block of the AppKey (L2 6.2.6). Raises FrameError."""
    if len(wire) not in (17, 33):
        raise FrameError("truncated")
    if wire[0] != JOIN_ACCEPT:
        raise FrameError("type")
    clear = block.encrypt(wire[1:17])
    if len(wire) == 33:
        clear += block.encrypt(wire[17:33])
    if crypto.cmac(block, wire[:1] + clear[:-4])[:4] != clear[-4:]:
        raise FrameError("mic")
    return JoinAccept(clear)
