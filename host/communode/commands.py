# SPDX-License-Identifier: MIT
"""Commands to nodes: built and sealed with a node's command key, and the node's answers read.

The command key never leaves the owner's computer and the node: the network server that carries a command can
lose it, but not make, change or repeat one. Bytes: firmware/SPEC.md, "Command downlink" and "Answer uplink".

A command's counter must rise. By default it is the time, in seconds since 2000, so that nobody has to keep a
number; every answer names the highest counter that the node has accepted.

Values are given in the units of people (degC, m, ppm); the node takes base units of ``node/schema``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.cmac import CMAC

from communode.errors import CommunodeError
from communode.identity import parse_eui
from communode.messages import text
from communode.node.codec import command as codec
from communode.node.schema.alarms import KINDS, row_fault
from communode.node.schema.quantities import CALIBRATED, QUANTITIES
from communode.profiles import load_profile

F_PORT = codec.F_PORT
MAX_BYTES = 51  # what fits at the lowest data rate of EU868 (RP002-1.0.4, 2.4.6)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_CODES = {facts[0]: code for code, facts in QUANTITIES.items()}

# The stable codes of answers; their sentences are ``command.code.<name>``.
ANSWER_CODES = {
    codec.OK: "ok",
    codec.BAD_MAC: "bad_mac",
    codec.REPLAY: "replay",
    codec.EXPIRED: "expired",
    codec.MALFORMED: "malformed",
    codec.OUT_OF_RANGE: "out_of_range",
    codec.UNSUPPORTED: "unsupported",
    codec.NO_TIME: "no_time",
    codec.REVERTED: "reverted",
    codec.SELF_TESTED: "self_tested",
}


@dataclass(frozen=True)
class Part:
    """One thing that a command asks for."""

    kind: int
    values: tuple[float, ...] = ()

    def to_wire(self) -> bytes:
        """Kind, length, value."""
        return codec.pack_part(self.kind, self.values)


# --- parts ------------------------------------------------------------------------------------------------


def interval(seconds: int) -> Part:
    """Seconds between two samplings; the node knows how fast its sensors can be."""
    return Part(codec.INTERVAL, (_within("interval", seconds, 10, 86_400),))


def ask_after(records: int) -> Part:
    """Unsettled records after which the node asks for an acknowledgement."""
    return Part(codec.ASK_AFTER, (_within("ask-after", records, 1, 100),))


def profile(name: str) -> Part:
    """Another profile of the node's image."""
    return Part(codec.PROFILE, (load_profile(name).id,))


def alarm(rule: str) -> Part:
    """From ``above.co2=1500/200/600``: threshold and hysteresis in units, hold-off in s.

    Without the last two: 0 and 60. The threshold of ``rise`` and ``fall`` is in units an hour.
    """
    name, _, numbers = rule.partition("=")
    quantity, kind = _alarm_name(name, rule)
    fields = [field.strip() for field in numbers.split("/")]
    if not 1 <= len(fields) <= 3:
        raise _bad(rule, "above.co2=1500/200/600")
    per_unit = QUANTITIES[quantity][2] if quantity else 1
    threshold, hysteresis = (_base(field, per_unit, rule) for field in [*fields, "0", "0"][:2])
    hold_off_s = _base(fields[2] if len(fields) == 3 else "60", 1, rule)
    row = (quantity, kind, threshold, hysteresis, hold_off_s)
    fault = row_fault(row, (quantity,))
    if fault:
        raise CommunodeError("command.alarm_impossible", usage=True, rule=rule, field=fault)
    return Part(codec.ALARM, row)


def alarm_off(name: str) -> Part:
    """From ``above.co2``: no such alarm."""
    return Part(codec.ALARM_OFF, _alarm_name(name, name))


def two_point(rule: str, when: datetime, who: int = 0) -> Part:
    """From ``co2=400:410,2000:1900``: two raw values, each with the true one; ``who``: 0..65535."""
    quantity, per_unit, numbers = _calibration(rule)
    points = [field for pair in numbers.split(",") for field in pair.split(":")]
    if len(points) != 4 or numbers.count(":") != 2:
        raise _bad(rule, "co2=400:410,2000:1900")
    values = tuple(_base(point, per_unit, rule) for point in points)
    if values[0] >= values[2] or values[1] >= values[3]:
        raise _bad(rule, "LOW:TRUE,HIGH:TRUE")
    return Part(
        codec.TWO_POINT, (quantity, seconds_since_2000(when), _within("who", who, 0, 65_535), *values)
    )


def polynomial(rule: str, when: datetime, who: int = 0) -> Part:
    """From ``co2=1.5,0.975``: c0, c1 ... c3 in units; the true value is c0 + c1 x + c2 x^2 + c3 x^3."""
    quantity, per_unit, numbers = _calibration(rule)
    try:
        coefficients = [float(field) for field in numbers.split(",")]
    except ValueError:
        coefficients = []
    if not 0 < len(coefficients) <= codec.MAX_COEFFICIENTS or not all(abs(c) < 1e30 for c in coefficients):
        raise _bad(rule, "co2=1.5,0.975")
    # The node's x and y are in base units: y per_unit = sum c_k (x per_unit)^k per_unit^(1 - k).
    values = [c * float(per_unit) ** (1 - k) for k, c in enumerate(coefficients)]
    return Part(
        codec.POLYNOMIAL, (quantity, seconds_since_2000(when), _within("who", who, 0, 65_535), *values)
    )


def calibration_off(name: str) -> Part:
    """The sensor's own word for a quantity."""
    return Part(codec.CALIBRATION_OFF, (_calibration(name + "=")[0],))


def records(span: str) -> Part:
    """From ``2026-05-01T00:00/2026-05-02T00:00`` (UTC): send the records of that time once more."""
    try:
        first_s, last_s = (seconds_since_2000(_moment(end)) for end in span.split("/"))
    except ValueError:
        raise _bad(span, "2026-05-01T00:00/2026-05-02T00:00") from None
    if first_s > last_s:
        raise _bad(span, "FROM/TO")
    return Part(codec.RECORDS, (first_s, last_s))


DEFAULTS = Part(codec.DEFAULTS)
REBOOT = Part(codec.REBOOT)
REJOIN = Part(codec.REJOIN)
SELF_TEST = Part(codec.SELF_TEST)


def _bad(value: str, expected: str) -> CommunodeError:
    return CommunodeError("command.value_wrong", usage=True, value=value, expected=expected)


def _within(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise _bad(f"{name} {value}", f"{low}..{high}")
    return value


def _base(number: str, per_unit: int, rule: str) -> int:
    """Base units from a decimal number of units, rounded to the nearest."""
    try:
        value = round(Decimal(number.strip()) * per_unit)
    except (InvalidOperation, ValueError, OverflowError):
        raise _bad(rule, text("command.a_number")) from None
    if not -(1 << 31) <= value < 1 << 31:
        raise _bad(rule, text("command.a_number"))
    return value


def _quantity(name: str, known: Iterable[int]) -> int:
    code = _CODES.get(name.strip())
    if code is None or code not in known:
        names = ", ".join(sorted(QUANTITIES[code][0] for code in known))
        raise CommunodeError("command.quantity_unknown", usage=True, name=name.strip(), known=names)
    return code


def _alarm_name(name: str, rule: str) -> tuple[int, int]:
    kind, _, quantity = name.strip().partition(".")
    if not kind or kind not in KINDS:
        known = ", ".join(kind for kind in KINDS if kind)
        raise CommunodeError("command.alarm_unknown", usage=True, rule=rule, known=known)
    return _quantity(quantity, QUANTITIES) if quantity else 0, KINDS.index(kind)


def _calibration(rule: str) -> tuple[int, int, str]:
    name, _, numbers = rule.partition("=")
    quantity = _quantity(name, CALIBRATED)
    return quantity, QUANTITIES[quantity][2], numbers


def _moment(value: str) -> datetime:
    moment = datetime.fromisoformat(value.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def seconds_since_2000(moment: datetime) -> int:
    """The node's time of an aware datetime; ValueError outside 2000..2136."""
    seconds = int((moment - _EPOCH).total_seconds())
    if not 0 <= seconds < 1 << 32:
        raise ValueError(f"{moment} is not within 2000..2136")
    return seconds


# --- commands ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Command:
    """A sealed command for one node."""

    dev_eui: bytes
    counter: int
    expires: datetime
    payload: bytes


def make_command(
    dev_eui: bytes,
    key: bytes,
    parts: Iterable[Part],
    *,
    now: datetime,
    valid: timedelta = timedelta(days=1),
    counter: int | None = None,
) -> Command:
    """Seal ``parts`` for one node, in their order; valid from ``now`` for so long (at most 31 days).

    CommunodeError ``command.empty``, ``command.too_long``, ``command.value_wrong``.
    """
    body = b"".join(part.to_wire() for part in parts)
    if not body:
        raise CommunodeError("command.empty", usage=True)
    size = codec.HEAD + len(body) + codec.SEAL
    if size > MAX_BYTES:
        raise CommunodeError("command.too_long", usage=True, size=size, limit=MAX_BYTES)
    if not timedelta(0) < valid <= timedelta(days=31):
        raise _bad(str(valid), "0..31 d")
    number = seconds_since_2000(now) if counter is None else _within("counter", counter, 1, 0xFFFF_FFFF)
    expires = (now + valid).replace(microsecond=0)
    message = codec.make_command(number, seconds_since_2000(expires), body)
    return Command(dev_eui, number, expires, codec.seal(dev_eui, message, _mac(key)))


def _mac(key: bytes) -> codec.Mac:
    def mac(message: bytes) -> bytes:
        made = CMAC(algorithms.AES128(key))
        made.update(message)
        return made.finalize()

    return mac


@dataclass(frozen=True)
class Answer:
    """What a node says to a command, or of itself (``reverted``, ``self_tested``)."""

    counter: int
    code: str
    part: int | None  # index of the part that is to blame for a refusal
    failed: tuple[str, ...]  # of a self-test: sensor_0 ... sensor_5, flash, radio
    last_counter: int  # the highest that the node has accepted

    @property
    def message(self) -> str:
        """In the user's language."""
        return text(f"command.code.{self.code}")

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {**vars(self), "failed": list(self.failed), "message": self.message}


_TESTED = (*(f"sensor_{number}" for number in range(6)), "flash", "radio")


def read_answer(payload: bytes, dev_eui: bytes, key: bytes) -> Answer:
    """An answer whose seal is good; CommunodeError ``command.no_answer`` or ``command.answer_forged``."""
    try:
        counter, code, detail, last_counter = codec.open_answer(payload)
        name = ANSWER_CODES[code]
    except (ValueError, KeyError):
        raise CommunodeError("command.no_answer", usage=True) from None
    if not codec.is_sealed(dev_eui, payload, _mac(key)):
        raise CommunodeError("command.answer_forged", dev_eui=dev_eui.hex())
    tested = code == codec.SELF_TESTED
    failed = tuple(what for bit, what in enumerate(_TESTED) if tested and detail >> bit & 1)
    part = None if tested or detail == codec.WHOLE else detail
    return Answer(counter, name, part, failed, last_counter)


# --- keys -------------------------------------------------------------------------------------------------


def read_command_key(source: str, dev_eui: bytes) -> bytes:
    """The node's command key from a keys file of `communode provision`, or from standard input for ``-``.

    Standard input may hold such a file or the key alone, in hex. CommunodeError ``command.keys_unreadable``,
    ``command.key_missing``; neither repeats what was read.
    """
    try:
        content = sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "UTF-8?"
        raise CommunodeError("command.keys_unreadable", usage=True, path=source, reason=reason) from None
    if source == "-" and (key := _key(content.strip())):
        return key
    try:
        table = json.loads(content)
        entries = table["nodes"] if isinstance(table, dict) else table
        found = [_key(entry["command_key"]) for entry in entries if parse_eui(entry["dev_eui"]) == dev_eui]
    except (ValueError, KeyError, TypeError, AttributeError, CommunodeError):
        raise CommunodeError("command.keys_unreadable", usage=True, path=source, reason="JSON?") from None
    if len(found) != 1 or found[0] is None:
        raise CommunodeError("command.key_missing", usage=True, path=source, dev_eui=dev_eui.hex())
    return found[0]


def _key(digits: str) -> bytes | None:
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        return None
    return key if len(key) == 16 else None
