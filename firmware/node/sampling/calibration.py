# SPDX-License-Identifier: MIT
# Calibrations that are applied on the node: two points or a polynomial, with the day, who did it, how long it
# holds. The raw value stays beside the corrected one (schema: RAW). Pure, integers only; the host judges and
# packs calibrations with the same code.
#
# EPA_2021 is the correction of PM2.5 from laser counters by humidity: Barkjohn et al., Atmos. Meas. Tech. 14
# (2021) 4617, extended for smoke, in the pieces that AirGradient documents (local-server.md). It was fitted
# on sensors in the United States: whether it helps elsewhere has to be shown, which is what the raw value is
# for.

import struct

from micropython import const

from ..schema.quantities import CALIBRATED, OUT_OF_CALIBRATION, PH, PM25, QUANTITIES, RAW, RELATIVE_HUMIDITY

TWO_POINT = const(1)  # coefficients: raw, reference, raw, reference
POLYNOMIAL = const(2)  # coefficients: centre, span, c0, c1 .. c3, for u = (raw - centre) / span
EPA_2021 = const(3)  # none

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Sequence

    Readings = dict[int, tuple[int | None, int]]

_HEAD = "<BBHH8sB"
_U_BITS = const(16)
_MAX_DEGREE = const(3)
_LEAST_PART = const(100)  # two points must be 1 % of the quantity's range apart
_STEPS = const(32)  # where a polynomial's slope is looked at


class Calibration:
    # `day` counts from 2000-01-01, `valid_days` 0 means for ever, `who` is up to 8 ASCII characters.

    def __init__(
        self,
        code: int,
        kind: int,
        coefficients: "tuple[int, ...]",
        day: int = 0,
        who: str = "",
        valid_days: int = 0,
    ) -> None:
        self.code = code
        self.kind = kind
        self.coefficients = coefficients
        self.day = day
        self.who = who
        self.valid_days = valid_days

    def to_bytes(self) -> bytes:
        """As kept in the state log: head, then coefficients of 32 bits."""
        head = struct.pack(
            _HEAD,
            self.code,
            self.kind,
            self.day,
            self.valid_days,
            self.who.encode(),
            len(self.coefficients),
        )
        return head + struct.pack("<%di" % len(self.coefficients), *self.coefficients)

    def corrected(self, raw: int, humidity: "int | None" = None) -> "int | None":
        """The corrected value in base units; None where it needs a humidity that there is not."""
        if self.kind == TWO_POINT:
            raw_1, reference_1, raw_2, reference_2 = self.coefficients
            return reference_1 + _divide((raw - raw_1) * (reference_2 - reference_1), raw_2 - raw_1)
        if self.kind == POLYNOMIAL:
            return self._polynomial(raw)
        return None if humidity is None else epa_2021(raw, humidity)

    def _polynomial(self, raw: int) -> int:
        centre, span = self.coefficients[:2]
        u = ((raw - centre) << _U_BITS) // span
        value = 0
        for coefficient in reversed(self.coefficients[2:]):
            value = (value * u >> _U_BITS) + coefficient
        return value

    def covers(self, raw: int) -> bool:
        """Whether `raw` is no further outside what was calibrated than that is wide."""
        if self.kind == TWO_POINT:
            low, high = sorted((self.coefficients[0], self.coefficients[2]))
            return low - (high - low) <= raw <= high + (high - low)
        if self.kind == POLYNOMIAL:
            return abs(raw - self.coefficients[0]) <= 2 * self.coefficients[1]
        return True

    def holds(self, day: "int | None") -> bool:
        """Whether it is still valid on `day`; a node that does not know the day cannot tell, and says yes."""
        return day is None or not self.valid_days or day < self.day + self.valid_days

    def slope_permille(self) -> int:
        """Slope of a two-point calibration, reference over raw; 1000 is that of a perfect sensor."""
        raw_1, reference_1, raw_2, reference_2 = self.coefficients
        return (reference_2 - reference_1) * 1000 // (raw_2 - raw_1)


def from_bytes(data: bytes) -> "Calibration":
    """Read `Calibration.to_bytes`; ValueError when it is not one, or one that `refusal` refuses."""
    size = struct.calcsize(_HEAD)
    if len(data) < size:
        raise ValueError("calibration too short")
    code, kind, day, valid_days, who, count = struct.unpack_from(_HEAD, data)
    if len(data) != size + 4 * count:
        raise ValueError("calibration of a wrong length")
    coefficients = struct.unpack_from("<%di" % count, data, size)
    made = Calibration(code, kind, coefficients, day, who.rstrip(b"\0").decode(), valid_days)
    reason = refusal(made)
    if reason:
        raise ValueError(reason)
    return made


def refusal(calibration: Calibration) -> "str | None":
    """Why a calibration is impossible, as a short code, or None: the host puts the codes into words."""
    if calibration.code not in CALIBRATED:
        return "not_calibrated"
    if not calibration.who or not 0 < calibration.day <= 0xFFFF:
        return "unsigned"
    if calibration.kind == TWO_POINT:
        return _two_point_refusal(calibration)
    if calibration.kind == POLYNOMIAL:
        return _polynomial_refusal(calibration)
    if calibration.kind == EPA_2021:
        return None if calibration.code == PM25 and not calibration.coefficients else "not_pm25"
    return "kind"


def _two_point_refusal(calibration: Calibration) -> "str | None":
    if len(calibration.coefficients) != 4:
        return "points"
    raw_1, reference_1, raw_2, reference_2 = calibration.coefficients
    low, high = _range(calibration.code)
    if abs(raw_2 - raw_1) * _LEAST_PART < high - low:
        return "points_close"
    if not (low <= reference_1 <= high and low <= reference_2 <= high):
        return "reference_range"
    slope = calibration.slope_permille()
    if calibration.code == PH:
        # 85 % to 105 % of Nernst's slope is a healthy electrode; the reading is the inverse of it.
        return None if 952 <= slope <= 1177 else "slope_ph"
    return None if 200 <= slope <= 5000 else "slope"


def _polynomial_refusal(calibration: Calibration) -> "str | None":
    if not 3 <= len(calibration.coefficients) <= 3 + _MAX_DEGREE or calibration.coefficients[1] <= 0:
        return "polynomial"
    centre, span = calibration.coefficients[:2]
    low, high = _range(calibration.code)
    before = None
    for n in range(_STEPS + 1):
        raw = centre - span + 2 * span * n // _STEPS
        value = calibration.corrected(raw)
        if value is None or not low - (high - low) <= value <= high + (high - low):
            return "reference_range"
        if before is not None and value <= before:
            return "not_rising"
        before = value
    return None


def apply(calibrations: "Sequence[Calibration]", readings: "Readings", day: "int | None" = None) -> None:
    """Correct `readings` in place; the sensor's own values move to their RAW twins.

    A calibration that has run out, or a value far outside what was calibrated, makes OUT_OF_CALIBRATION.
    """
    for calibration in calibrations:
        raw, quality = readings.get(calibration.code, (None, 0))
        if raw is None:
            continue
        humidity = readings.get(RELATIVE_HUMIDITY, (None, 0))[0]
        value = calibration.corrected(raw, humidity)
        if not calibration.holds(day) or not calibration.covers(raw) or value is None:
            quality = quality or OUT_OF_CALIBRATION
        if calibration.code | RAW not in readings:  # a driver that corrects has said what the sensor said
            readings[calibration.code | RAW] = (raw, readings[calibration.code][1])
        readings[calibration.code] = (raw if value is None else value, quality)


def epa_2021(raw: int, humidity: int) -> int:
    """PM2.5 (0.1 ug/m3) from a laser counter's, with humidity (0.001 %). Nothing stays nothing."""
    if raw <= 0:
        return 0
    # All in 1/10000 of 0.1 ug/m3; the humidity's part is 0.0862 a percent, that is 862 a tenth times 10.
    damp = 862 * humidity // 100
    low = 5240 * raw - damp + 575_000
    middle = 7860 * raw - damp + 575_000
    if raw < 300:
        value = low
    elif raw < 500:
        value = (low * (500 - raw) + middle * (raw - 300)) // 200
    else:
        high = 296_600 + 6900 * raw + 884 * raw * raw // 1000
        if raw < 2100:
            value = middle
        elif raw < 2600:
            value = (middle * (2600 - raw) + high * (raw - 2100)) // 500
        else:
            value = high
    return max(0, (value + 5000) // 10_000)


def _range(code: int) -> "tuple[int, int]":
    _, _, _, low, step, bits = QUANTITIES[code]
    return low, low + step * ((1 << bits) - 2)


def _divide(numerator: int, denominator: int) -> int:
    # To the nearest.
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    return (numerator + denominator // 2) // denominator
