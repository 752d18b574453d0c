# SPDX-License-Identifier: MIT
# Commands to the node (downlink, FPort 4) and its answers (uplink, FPort 4): the bytes and their seal. Pure.
#
# Not here: what a command does and whether its values make sense (app/settings.py), counters and the trial of
# a new configuration (app/config.py), CMAC itself, which is handed in: `mac(message) -> 16 bytes` under the
# node's command key. Bytes: SPEC.md, "Command downlink" and "Answer uplink".
#
# Why a seal of our own: LoRaWAN's MIC ends at the network server, and the network server (or whoever took it
# over) can put any bytes into a downlink. The command key is known to the node and its owner alone.
# Why 8 bytes: a guess costs a downlink, and a node sends at most 4 frames a waking, 144 wakings a day, each
# of which can be answered once: 2.1 million guesses in ten years. With 4 bytes that finds one node in 2000,
# a few in a large town; with 8 bytes, one in 10^13. (SP 800-38B A.2: 8 bytes suffice for most uses, fewer
# only after an analysis of the risk.)
# Sources: NIST SP 800-38B (CMAC; appendix A: length of the tag), RFC 4493.

import struct

from micropython import const

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from collections.abc import Callable

    Mac = Callable[[bytes], bytes]  # AES-CMAC under the command key: 16 bytes

F_PORT = const(4)
VERSION = const(0x01)
ANSWER = const(0x81)  # version 1, upwards: an answer never passes for a command
HEAD = const(9)
SEAL = const(8)
ANSWER_SIZE = const(19)

# Codes of answers: stable, never given a second meaning.
OK = const(0)
BAD_MAC = const(1)
REPLAY = const(2)
EXPIRED = const(3)
MALFORMED = const(4)
OUT_OF_RANGE = const(5)
UNSUPPORTED = const(6)
NO_TIME = const(7)
REVERTED = const(16)  # not an answer: the node took back a configuration that cut it off
SELF_TESTED = const(17)  # the outcome of a self-test

WHOLE = const(0xFF)  # detail of a refusal that is about no single part

# Parts: settings first (they are the configuration, and lie in flash in the same form), then actions.
INTERVAL = const(0x01)
ALARM = const(0x02)
ALARM_OFF = const(0x03)
TWO_POINT = const(0x04)
POLYNOMIAL = const(0x05)
CALIBRATION_OFF = const(0x06)
PROFILE = const(0x07)
ASK_AFTER = const(0x08)
DEFAULTS = const(0x0F)
REBOOT = const(0x10)
REJOIN = const(0x11)
SELF_TEST = const(0x12)
RECORDS = const(0x13)

# Kind of part: (format of its value, bytes of it that say which one is meant: twice the same is malformed).
PARTS = {
    INTERVAL: ("<I", 0),  # s
    ALARM: ("<BBiIH", 2),  # quantity, kind, threshold, hysteresis (base units), hold-off (s)
    ALARM_OFF: ("<BB", 2),  # quantity, kind
    TWO_POINT: ("<BIHiiii", 1),  # quantity, when (s since 2000), who, raw and true low, raw and true high
    POLYNOMIAL: ("<BIH", 1),  # quantity, when, who; then 1 to 4 float32: c0 + c1 x + c2 x^2 + c3 x^3
    CALIBRATION_OFF: ("<B", 1),  # quantity
    PROFILE: ("<B", 0),  # id
    ASK_AFTER: ("<B", 0),  # unsettled records after which a frame asks for an acknowledgement
    DEFAULTS: ("", 0),
    REBOOT: ("", 0),
    REJOIN: ("", 0),
    SELF_TEST: ("", 0),
    RECORDS: ("<II", 0),  # first and last second since 2000
}
MAX_COEFFICIENTS = const(4)


class Refusal(Exception):
    """A command is not carried out: `code`, and as `detail` the index of the part that is to blame."""

    def __init__(self, code: int, detail: int = WHOLE) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


def seal(dev_eui: bytes, message: bytes, mac: "Mac") -> bytes:
    """The message with its 8 bytes of CMAC over the DevEUI (as printed) and all of the message."""
    return message + mac(dev_eui + message)[:SEAL]


def is_sealed(dev_eui: bytes, payload: bytes, mac: "Mac") -> bool:
    """Whether the last 8 bytes are the seal of the rest; compared as one number, not byte by byte."""
    if len(payload) < SEAL:
        return False
    right = mac(dev_eui + payload[:-SEAL])[:SEAL]
    return int.from_bytes(right, "big") ^ int.from_bytes(payload[-SEAL:], "big") == 0


def claimed_counter(payload: bytes) -> int:
    """The counter that a payload names, authentic or not; 0 where it is too short to name one."""
    return int.from_bytes(payload[1:5], "little") if len(payload) >= HEAD + SEAL else 0


def open_command(dev_eui: bytes, payload: bytes, mac: "Mac") -> "tuple[int, int, bytes]":
    """(counter, expiry in s since 2000, bytes of the parts) of an authentic command.

    Raises Refusal MALFORMED (too short), UNSUPPORTED (another version) or BAD_MAC; nothing in the payload
    but its length and version is looked at before the seal was found good.
    """
    if len(payload) < HEAD + SEAL:
        raise Refusal(MALFORMED)
    if payload[0] != VERSION:
        raise Refusal(UNSUPPORTED)
    if not is_sealed(dev_eui, payload, mac):
        raise Refusal(BAD_MAC)
    counter, expiry_s = struct.unpack_from("<II", payload, 1)
    return counter, expiry_s, payload[HEAD:-SEAL]


def make_command(counter: int, expiry_s: int, parts: bytes) -> bytes:
    """A command without its seal."""
    return struct.pack("<BII", VERSION, counter, expiry_s) + parts


def pack_part(kind: int, values: "tuple[float, ...]" = ()) -> bytes:
    """One part: kind, length, value. `values` are those of PARTS; they must fit their fields."""
    layout = PARTS[kind][0]
    if kind == POLYNOMIAL:
        layout += "f" * (len(values) - 3)
    value = struct.pack(layout, *values) if layout else b""
    return bytes((kind, len(value))) + value


def unpack_parts(data: bytes) -> "list[tuple[int, tuple[float, ...]]]":
    """[(kind, values)] in their order. Raises Refusal MALFORMED or UNSUPPORTED, with the part's index."""
    parts: list[tuple[int, tuple[float, ...]]] = []
    seen = []
    at = 0
    while at < len(data):
        index = len(parts)
        end = at + 2 + data[at + 1] if at + 2 <= len(data) else at
        if not at < end <= len(data):
            raise Refusal(MALFORMED, index)
        kind = data[at]
        if kind not in PARTS:
            raise Refusal(UNSUPPORTED, index)
        layout, key = PARTS[kind]
        value = data[at + 2 : end]
        if kind == POLYNOMIAL:
            count = (len(value) - struct.calcsize(layout)) // 4
            if not 0 < count <= MAX_COEFFICIENTS:
                raise Refusal(MALFORMED, index)
            layout += "f" * count
        if len(value) != (struct.calcsize(layout) if layout else 0):
            raise Refusal(MALFORMED, index)
        name = bytes((kind,)) + value[:key]
        if name in seen:
            raise Refusal(MALFORMED, index)
        seen.append(name)
        parts.append((kind, struct.unpack(layout, value) if layout else ()))
        at = end
    return parts


def make_answer(counter: int, code: int, detail: int, last_counter: int) -> bytes:
    """An answer without its seal: to which command, what, and the highest counter that was accepted."""
    return struct.pack("<BIBBI", ANSWER, counter, code, detail, last_counter)


def open_answer(payload: bytes) -> "tuple[int, int, int, int]":
    """(counter, code, detail, last accepted counter); raises ValueError. The seal is not looked at."""
    if len(payload) != ANSWER_SIZE or payload[0] != ANSWER:
        raise ValueError("not an answer")
    counter, code, detail, last_counter = struct.unpack_from("<IBBI", payload, 1)
    return counter, code, detail, last_counter
