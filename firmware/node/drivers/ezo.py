# SPDX-License-Identifier: MIT
# The I2C dialect of Atlas Scientific's EZO circuits: ASCII commands, an answer some hundred ms later.
# Not a driver; ezo_ph, ezo_orp, ezo_ec and ezo_do are. DS = EZO-pH datasheet V5.9, October 2021, "I2C mode";
# the other circuits' are the same there.
#
# Nothing is sent in start(): a circuit behind a power gate needs most of a second to boot, which the water's
# temperature sensor uses to measure. The first read() sends "RT,<temperature>", the second takes the answer.

from micropython import const

from ..schema.quantities import ABSENT, CLAMPED, FAULT, GOOD, OUT_OF_CALIBRATION, WATER_TEMPERATURE
from .reading import TRIES, TYPE_CHECKING, BadAnswer, known, without_value

if TYPE_CHECKING:
    from .reading import I2c, Reading, Readings, SleepMs

_BOOT_MS = const(1000)
_PROCESSING_MS = const(950)  # R and RT take up to 900 ms
_SUCCESS = const(1)
_PENDING = const(254)
_ANSWER = const(24)  # response code and up to 20 characters, zeros behind


def parse_decimal(text: "bytes | bytearray", places: int) -> int:
    # "-12.34" with places = 1 is -123, cut towards zero; BadAnswer when it is no number.
    negative = text[:1] == b"-"
    digits = text[1:] if negative else text
    value, fraction, seen = 0, -1, 0
    for byte in digits:
        if byte == 0x2E and fraction < 0:
            fraction = 0
        elif 0x30 <= byte <= 0x39:
            seen += 1
            if fraction < places:
                value = value * 10 + byte - 0x30
                if fraction >= 0:
                    fraction += 1
        else:
            raise BadAnswer
    if not seen:
        raise BadAnswer
    for _ in range(places - max(fraction, 0)):
        value *= 10
    return -value if negative else value


class Ezo:
    # One circuit. `code` is its quantity, `places` the decimals of its base unit, `limits` its range in them.

    def __init__(self, i2c: "I2c", sleep_ms: "SleepMs", address: int, code: int, places: int) -> None:
        self._i2c = i2c
        self._sleep_ms = sleep_ms
        self._address = address
        self._code = code
        self._places = places
        self._limits = (0, 0)
        self._compensates = True
        self._temperature: int | None = None
        self._asked = False

    def use(self, readings: "Readings") -> None:
        self._temperature = known(readings, WATER_TEMPERATURE, -5_000, 60_000)

    def start(self) -> int:
        self._asked = False
        return _BOOT_MS

    def read(self) -> "tuple[Reading, ...] | int":
        if not self._asked:
            self._asked = True
            for _ in range(TRIES):
                try:
                    self._i2c.writeto(self._address, self._command())
                    return _PROCESSING_MS
                except OSError:
                    self._sleep_ms(20)
            return without_value((self._code,), ABSENT)
        return (self._answer(),)

    def _command(self) -> bytes:
        if not self._compensates or self._temperature is None:
            return b"R"
        return b"RT,%d.%02d" % (self._temperature // 1000, self._temperature % 1000 // 10)

    def _answer(self) -> "Reading":
        data = bytearray(_ANSWER)
        for _ in range(TRIES):
            try:
                self._i2c.readfrom_into(self._address, data)
                if data[0] == _PENDING:
                    self._sleep_ms(50)
                    continue
                return self._judge(data)
            except OSError:
                self._sleep_ms(10)
        return self._code, None, FAULT

    def _judge(self, data: bytearray) -> "Reading":
        if data[0] != _SUCCESS:
            raise BadAnswer
        end = data.find(b"\0", 1)
        comma = data.find(b",", 1)  # a circuit may be set to add other values behind
        if comma > 0:
            end = min(end, comma) if end > 0 else comma
        value = parse_decimal(data[1:end], self._places)
        low, high = self._limits
        if value <= low or value >= high:
            return self._code, min(max(value, low), high), CLAMPED
        if self._compensates and self._temperature is None:
            return self._code, value, OUT_OF_CALIBRATION  # computed for 25 degC, whatever it is
        return self._code, value, GOOD

    def stop(self) -> None:
        # Between readings its power gate is off; without a gate it idles.
        pass
