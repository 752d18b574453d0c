# SPDX-License-Identifier: MIT
"""Time on air against Semtech's driver, and its calculators as other projects recorded them.

Sources of the numbers: sx126x_driver 2.3.2 run on a PC; micropython-lib @ ee4bb8f tests/test_time_on_air.py;
RadioLib @ 187ef24 TestCalculateTimeOnAir.cpp; brocaar/lorawan @ a18a103 airtime_test.go.
"""

from __future__ import annotations

import pytest
from communode.node.radio.airtime import payload_symbols, symbol_time_us, time_on_air_us
from communode.node.radio.modem import LoraParameters

# PHY bytes: time in us for SF7..SF12 at 125 kHz, 4/5, preamble 8, explicit header, CRC.
SEMTECH = {
    12: (41216, 82432, 144384, 288768, 577536, 1155072),
    13: (46336, 82432, 164864, 288768, 577536, 1155072),
    17: (51456, 92672, 164864, 329728, 659456, 1318912),
    23: (61696, 113152, 205824, 370688, 823296, 1482752),
    33: (71936, 133632, 246784, 452608, 987136, 1810432),
    51: (102656, 184832, 328704, 616448, 1314816, 2465792),
    64: (118016, 215552, 390144, 698368, 1560576, 2793472),
}

# sf, bandwidth, coding rate, low data rate (None: derived), preamble, bytes, explicit, crc -> us; SX126x.
CALCULATORS = [
    (12, 500000, 5, None, 8, 1, 1, 1, 206848),
    (12, 500000, 5, None, 12, 64, 1, 1, 649216),
    (12, 500000, 5, None, 8, 1, 1, 0, 165888),
    (12, 500000, 5, None, 8, 192, 1, 1, 1476608),
    (12, 500000, 5, None, 12, 16, 0, 0, 280576),
    (8, 125000, 6, None, 8, 1, 1, 1, 53760),
    (8, 125000, 6, None, 8, 3, 1, 1, 66048),
    (8, 125000, 6, None, 8, 3, 1, 0, 53760),
    (8, 125000, 6, None, 8, 5, 1, 0, 66048),
    (8, 125000, 6, None, 8, 253, 1, 1, 827904),
    (8, 125000, 6, None, 12, 5, 0, 1, 61952),
    (8, 125000, 6, None, 12, 253, 0, 1, 823808),
    (5, 500000, 5, None, 2, 1, 1, 0, 1360),
    (5, 500000, 5, None, 2, 1, 1, 1, 1680),
    (5, 500000, 5, None, 12, 1, 0, 0, 1680),
    (5, 500000, 5, None, 12, 253, 0, 1, 34000),
    (5, 125000, 8, None, 12, 253, 0, 1, 213568),
    (7, 125000, 5, True, 8, 1, 1, 1, 30976),
    (7, 125000, 5, True, 8, 10, 1, 1, 46336),
    (7, 125000, 5, True, 8, 50, 1, 1, 128256),
    (7, 125000, 5, True, 8, 255, 1, 1, 548096),
    (11, 250000, 8, False, 16, 5, 0, 0, 296960),
    (11, 250000, 8, False, 16, 15, 0, 0, 362496),
    (11, 250000, 8, False, 16, 100, 0, 0, 1411072),
    (11, 250000, 8, False, 16, 200, 0, 0, 2590720),
    (10, 250000, 5, True, 8, 1, 1, 1, 103424),
    (10, 250000, 5, True, 8, 20, 1, 1, 205824),
    (10, 250000, 5, True, 8, 100, 1, 1, 615424),
    (11, 500000, 6, False, 32, 10, 0, 0, 205824),
    (11, 500000, 6, False, 32, 25, 0, 0, 279552),
    (11, 500000, 6, False, 32, 200, 0, 0, 1065984),
]


@pytest.mark.parametrize(("length", "expected"), SEMTECH.items())
def test_lorawan_frames_last_as_long_as_semtech_says(length: int, expected: tuple[int, ...]) -> None:
    found = tuple(time_on_air_us(LoraParameters(868100000, sf, 125000), length) for sf in range(7, 13))
    assert found == expected


@pytest.mark.parametrize("row", CALCULATORS)
def test_every_other_setting_lasts_as_long_as_the_calculators_say(row: tuple[int, ...]) -> None:
    sf, bandwidth, coding_rate, slow, preamble, length, explicit, crc, expected = row
    parameters = LoraParameters(
        868100000, sf, bandwidth, coding_rate, preamble, crc=bool(crc), implicit=not explicit,
        low_data_rate=None if slow is None else bool(slow),
    )  # fmt: skip
    assert time_on_air_us(parameters, length) == expected


def test_spreading_factor_six_differs_between_the_families() -> None:
    parameters = LoraParameters(868100000, 6, 125000, 6)
    lengths = (7, 23, 98, 156)
    # To a hundredth of a ms, as Semtech's calculators print them.
    rounded = [round(time_on_air_us(parameters, length) / 1000, 2) for length in lengths]
    assert rounded == [20.61, 39.04, 115.84, 174.21]
    older = [time_on_air_us(parameters, length, sx127x=True) for length in lengths]
    assert older == [22656, 38016, 114816, 173184]


@pytest.mark.parametrize(
    ("sf", "length", "coding_rate", "implicit", "slow", "expected"),
    [
        (12, 13, 5, False, False, 23),
        (12, 13, 6, False, False, 26),
        (12, 13, 5, True, False, 18),
        (12, 50, 5, False, True, 58),
        (9, 13, 5, False, False, 28),
    ],
)
def test_payload_symbols_are_counted_as_in_the_application_note(
    sf: int, length: int, coding_rate: int, implicit: bool, slow: bool, expected: int
) -> None:
    parameters = LoraParameters(868100000, sf, 125000, coding_rate, implicit=implicit, low_data_rate=slow)
    assert payload_symbols(parameters, length) == expected


def test_narrow_bandwidths_round_up() -> None:
    assert symbol_time_us(7, 41670) == 3072  # 3071.75
    assert time_on_air_us(LoraParameters(868100000, 7, 41670), 23) == 185074  # 60.25 symbols: 185073.2


@pytest.mark.parametrize(
    ("sf", "bandwidth", "slow"),
    [(10, 125000, False), (11, 125000, True), (11, 250000, False), (12, 250000, True), (12, 500000, False)],
)
def test_low_data_rate_follows_from_sixteen_milliseconds(sf: int, bandwidth: int, slow: bool) -> None:
    assert LoraParameters(868100000, sf, bandwidth).low_data_rate is slow
