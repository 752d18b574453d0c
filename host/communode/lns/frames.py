# SPDX-License-Identifier: MIT
"""PHYPayloads of LoRaWAN 1.0.x, parsed and built: join-request, join-accept, data frames.

Parsing authenticates nothing: MICs are checked by whoever holds the keys. EUIs are 16 lower-case
hex digits, big-endian (as printed on labels); DevAddr, nonces and counters are integers.

Sources: L2 = TS001-1.0.4 chapters 4 and 6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from communode.lns import keys

MAX_F_OPTS = 15
_JOIN_REQUEST_LENGTH = 23
_SHORTEST_DATA = 12  # MHDR, FHDR without FOpts, MIC
_CF_LIST_LENGTH = 16


class MType(IntEnum):
    """Message types (L2 4.2.1)."""

    JOIN_REQUEST = 0
    JOIN_ACCEPT = 1
    UNCONFIRMED_UP = 2
    UNCONFIRMED_DOWN = 3
    CONFIRMED_UP = 4
    CONFIRMED_DOWN = 5
    RFU = 6
    PROPRIETARY = 7


class FrameError(ValueError):
    """These bytes are not the frame they were taken for."""


def message_type(phy: bytes) -> MType:
    """The type of a PHYPayload; FrameError when empty or not LoRaWAN R1."""
    if not phy:
        raise FrameError("empty PHYPayload")
    if phy[0] & 0x1F:
        raise FrameError(f"MHDR {phy[0]:02x} is not LoRaWAN R1")
    return MType(phy[0] >> 5)


@dataclass(frozen=True)
class JoinRequest:
    """A join-request (L2 6.2.5)."""

    join_eui: str
    dev_eui: str
    dev_nonce: int

    @classmethod
    def from_wire(cls, phy: bytes) -> JoinRequest:
        """Parse without checking the MIC; FrameError when malformed."""
        if message_type(phy) is not MType.JOIN_REQUEST or len(phy) != _JOIN_REQUEST_LENGTH:
            raise FrameError("not a join-request")
        join_eui, dev_eui, dev_nonce = struct.unpack_from("<QQH", phy, 1)
        return cls(f"{join_eui:016x}", f"{dev_eui:016x}", dev_nonce)

    def to_wire(self, app_key: bytes) -> bytes:
        """The signed PHYPayload (a device's side; the server needs it in self-tests only)."""
        fields = struct.pack("<BQQH", 0, int(self.join_eui, 16), int(self.dev_eui, 16), self.dev_nonce)
        return fields + keys.short_cmac(app_key, fields)


def join_request_is_authentic(phy: bytes, app_key: bytes) -> bool:
    """Whether the MIC of a join-request verifies under ``app_key``."""
    return keys.equal(keys.short_cmac(app_key, phy[: -keys.MIC_LENGTH]), phy[-keys.MIC_LENGTH :])


@dataclass(frozen=True)
class JoinAccept:
    """A join-accept (L2 6.2.6); ``rx_delay`` in seconds, ``cf_list`` empty or 16 bytes."""

    join_nonce: int
    net_id: int
    dev_addr: int
    dl_settings: int
    rx_delay: int
    cf_list: bytes = b""

    def to_wire(self, app_key: bytes) -> bytes:
        """The PHYPayload: signed, then AES-*decrypted* so that the device only ever encrypts."""
        if len(self.cf_list) not in (0, _CF_LIST_LENGTH):
            raise FrameError("a CFList has 16 bytes")
        fields = (
            self.join_nonce.to_bytes(3, "little")
            + self.net_id.to_bytes(3, "little")
            + struct.pack("<IBB", self.dev_addr, self.dl_settings, self.rx_delay)
            + self.cf_list
        )
        mhdr = bytes((MType.JOIN_ACCEPT << 5,))
        mic = keys.short_cmac(app_key, mhdr + fields)
        return mhdr + keys.decrypt_blocks(app_key, fields + mic)

    @classmethod
    def from_wire(cls, phy: bytes, app_key: bytes) -> JoinAccept:
        """Decrypt and check; FrameError when malformed or not signed with ``app_key``."""
        if message_type(phy) is not MType.JOIN_ACCEPT or len(phy) not in (17, 33):
            raise FrameError("not a join-accept")
        plain = keys.encrypt_blocks(app_key, phy[1:])
        fields, mic = plain[: -keys.MIC_LENGTH], plain[-keys.MIC_LENGTH :]
        if not keys.equal(keys.short_cmac(app_key, phy[:1] + fields), mic):
            raise FrameError("join-accept with a wrong MIC")
        dev_addr, dl_settings, rx_delay = struct.unpack_from("<IBB", fields, 6)
        return cls(
            int.from_bytes(fields[0:3], "little"),
            int.from_bytes(fields[3:6], "little"),
            dev_addr,
            dl_settings,
            rx_delay,
            fields[12:],
        )


@dataclass(frozen=True)
class DataFrame:
    """A data frame in either direction; ``fcnt`` is the 16 bits on air, ``payload`` still encrypted.

    ``bit4`` of FCtrl means ClassB in uplinks and FPending in downlinks.
    """

    mtype: MType
    dev_addr: int
    fcnt: int
    adr: bool = False
    adr_ack_req: bool = False
    ack: bool = False
    bit4: bool = False
    f_opts: bytes = b""
    f_port: int | None = None
    payload: bytes = b""

    @property
    def uplink(self) -> bool:
        """Whether a device sent it."""
        return self.mtype in (MType.UNCONFIRMED_UP, MType.CONFIRMED_UP)

    @property
    def confirmed(self) -> bool:
        """Whether it asks for an acknowledgement."""
        return self.mtype in (MType.CONFIRMED_UP, MType.CONFIRMED_DOWN)

    @classmethod
    def from_wire(cls, phy: bytes) -> DataFrame:
        """Parse without keys; FrameError when malformed (L2 4.3)."""
        mtype = message_type(phy)
        if mtype in (MType.JOIN_REQUEST, MType.JOIN_ACCEPT, MType.RFU, MType.PROPRIETARY):
            raise FrameError("not a data frame")
        if len(phy) < _SHORTEST_DATA:
            raise FrameError("data frame too short")
        dev_addr, f_ctrl, fcnt = struct.unpack_from("<IBH", phy, 1)
        body = phy[8 : -keys.MIC_LENGTH]
        length = f_ctrl & 0x0F
        if length > len(body):
            raise FrameError("FOpts reach beyond the frame")
        f_opts, rest = body[:length], body[length:]
        f_port = rest[0] if rest else None
        if f_port == 0 and f_opts:
            raise FrameError("FOpts together with port 0")
        return cls(
            mtype,
            dev_addr,
            fcnt,
            bool(f_ctrl & 0x80),
            bool(f_ctrl & 0x40),
            bool(f_ctrl & 0x20),
            bool(f_ctrl & 0x10),
            f_opts,
            f_port,
            rest[1:],
        )

    def to_wire(self, nwk_s_key: bytes, app_s_key: bytes, fcnt: int) -> bytes:
        """Encrypt ``payload`` (plaintext here) and sign with the 32-bit ``fcnt``.

        FrameError for FOpts over 15 bytes, FOpts with port 0, or a payload without a port.
        """
        if len(self.f_opts) > MAX_F_OPTS or (self.f_port == 0 and self.f_opts):
            raise FrameError("FOpts too long, or together with port 0")
        if self.f_port is None and self.payload:
            raise FrameError("a payload needs a port")
        direction = keys.UPLINK if self.uplink else keys.DOWNLINK
        flags = self.adr << 7 | self.adr_ack_req << 6 | self.ack << 5 | self.bit4 << 4
        head = struct.pack("<BIBH", self.mtype << 5, self.dev_addr, flags | len(self.f_opts), fcnt & 0xFFFF)
        message = head + self.f_opts
        if self.f_port is not None:
            key = app_s_key if self.f_port else nwk_s_key
            message += bytes((self.f_port,))
            message += keys.crypt_payload(key, direction, self.dev_addr, fcnt, self.payload)
        return message + keys.data_mic(nwk_s_key, direction, self.dev_addr, fcnt, message)


def data_is_authentic(phy: bytes, frame: DataFrame, nwk_s_key: bytes, fcnt: int) -> bool:
    """Whether the MIC verifies with the full 32-bit counter ``fcnt``."""
    direction = keys.UPLINK if frame.uplink else keys.DOWNLINK
    expected = keys.data_mic(nwk_s_key, direction, frame.dev_addr, fcnt, phy[: -keys.MIC_LENGTH])
    return keys.equal(expected, phy[-keys.MIC_LENGTH :])


def open_payload(frame: DataFrame, nwk_s_key: bytes, app_s_key: bytes, fcnt: int) -> bytes:
    """The plaintext of FRMPayload."""
    key = nwk_s_key if frame.f_port == 0 else app_s_key
    direction = keys.UPLINK if frame.uplink else keys.DOWNLINK
    return keys.crypt_payload(key, direction, frame.dev_addr, fcnt, frame.payload)
