# SPDX-License-Identifier: MIT
"""Records, uplinks, acknowledgements byte by byte: vectors by hand from firmware/SPEC.md, and round trips."""

from __future__ import annotations

import pytest
from communode.node.codec import downlink, uplink
from communode.node.codec.bits import BitReader, BitWriter
from communode.node.codec.record import (
    HEAD,
    UNSYNCED,
    body_size,
    lost_record,
    pack_record,
    pack_values,
    uncertainty_code,
    unpack_values,
)
from communode.node.schema.quantities import (
    ABSENT,
    AIR_TEMPERATURE,
    BATTERY,
    CLAMPED,
    FAULT,
    GOOD,
    QUANTITIES,
    STALE,
    TILT,
)
from hypothesis import given
from hypothesis import strategies as st

PAIR = (AIR_TEMPERATURE, BATTERY)


def codes_of(profile_id: int) -> tuple[int, ...]:
    if profile_id != 9:
        raise ValueError("unknown profile")
    return PAIR


# Bits


@given(st.lists(st.integers(1, 24).flatmap(lambda n: st.tuples(st.integers(0, (1 << n) - 1), st.just(n)))))
def test_fields_of_bits_come_back(fields: list[tuple[int, int]]) -> None:
    writer = BitWriter()
    for value, bits in fields:
        writer.put(value, bits)
    data = writer.to_bytes()
    assert len(data) == (sum(bits for _, bits in fields) + 7) // 8
    reader = BitReader(b"\x5a" + data, 1)
    assert [(reader.take(bits), bits) for _, bits in fields] == fields


def test_bits_go_most_significant_first_and_are_padded_with_zeros() -> None:
    writer = BitWriter()
    writer.put(0b101, 3)
    writer.put(0b0_1111_0000, 9)
    assert writer.to_bytes() == bytes([0b1010_1111, 0b0000_0000])


@pytest.mark.parametrize("value", [-1, 8])
def test_a_value_that_does_not_fit_its_field_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        BitWriter().put(value, 3)


def test_reading_beyond_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        BitReader(b"\xff").take(9)


# Records


def test_a_body_by_hand() -> None:
    # 21.50 degC: (21500 + 40000) / 50 = 1230 in 12 bits; 3.98 V: (3980 - 1800) / 10 = 218 in 8 bits.
    bits = "000" + f"{1230:012b}" + "000" + f"{218:08b}"
    expected = int(bits.ljust(32, "0"), 2).to_bytes(4, "big")
    values = {AIR_TEMPERATURE: (21500, GOOD), BATTERY: (3980, GOOD)}
    assert pack_values(PAIR, values) == expected
    assert unpack_values(PAIR, expected) == values
    assert body_size(PAIR) == 4


def test_a_record_by_hand() -> None:
    assert pack_record(0x2E84F0A1, 0x13, b"\xab") == bytes.fromhex("a1f0842e 13 ab")


def test_a_quantity_that_was_not_read_is_absent_and_all_ones() -> None:
    body = pack_values((TILT,), {})
    assert body == bytes([0b111_11111, 0b111_00000])
    assert unpack_values((TILT,), body) == {TILT: (None, ABSENT)}


def test_a_fault_keeps_its_reason() -> None:
    body = pack_values((TILT,), {TILT: (None, FAULT)})
    assert unpack_values((TILT,), body) == {TILT: (None, FAULT)}


@pytest.mark.parametrize(
    ("value", "came_back", "quality"),
    [
        (-(10**9), -40000, CLAMPED),
        (-40026, -40000, CLAMPED),
        (-40025, -40000, GOOD),
        (164724, 164700, GOOD),  # the highest code but one: all ones means no value
        (164725, 164700, CLAMPED),
        (10**9, 164700, CLAMPED),
    ],
)
def test_a_value_out_of_range_is_clamped_and_says_so(value: int, came_back: int, quality: int) -> None:
    body = pack_values(PAIR, {AIR_TEMPERATURE: (value, GOOD)})
    assert unpack_values(PAIR, body)[AIR_TEMPERATURE] == (came_back, quality)


def test_clamping_does_not_hide_a_worse_quality() -> None:
    values = unpack_values(PAIR, pack_values(PAIR, {AIR_TEMPERATURE: (10**9, STALE)}))
    assert values[AIR_TEMPERATURE] == (164700, STALE)


@given(st.data())
def test_every_value_in_range_comes_back_within_half_a_step(data: st.DataObject) -> None:
    codes = tuple(data.draw(st.lists(st.sampled_from(sorted(QUANTITIES)), unique=True, min_size=1)))
    readings: dict[int, tuple[int | None, int]] = {}
    for code in codes:
        _, _, _, low, step, bits = QUANTITIES[code]
        high = low + ((1 << bits) - 2) * step
        value = data.draw(st.none() | st.integers(low, high))
        readings[code] = (value, ABSENT if value is None else data.draw(st.integers(0, ABSENT)))
    body = pack_values(codes, readings)
    assert len(body) == body_size(codes)
    for code, (value, quality) in unpack_values(codes, body).items():
        given_value, given_quality = readings[code]
        assert quality == given_quality
        if given_value is None:
            assert value is None
        else:
            assert value is not None
            assert abs(value - given_value) * 2 <= QUANTITIES[code][4]


def test_a_body_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        unpack_values(PAIR, bytes(3))


@pytest.mark.parametrize(
    ("seconds", "code"), [(0, 0), (1, 0), (2, 1), (3, 2), (1024, 10), (1025, 11), (10**9, 15)]
)
def test_an_uncertainty_is_rounded_up_to_a_power_of_two(seconds: int, code: int) -> None:
    assert uncertainty_code(seconds) == code


def test_a_lost_record_says_that_nothing_is_known() -> None:
    like = pack_record(1234, 3, pack_values(PAIR, {AIR_TEMPERATURE: (20000, GOOD)}))
    lost = lost_record(like)
    assert len(lost) == len(like)
    assert lost[:4] == like[:4]
    assert lost[4] == UNSYNCED | 0x0F
    assert unpack_values(PAIR, lost[HEAD:]) == {AIR_TEMPERATURE: (None, ABSENT), BATTERY: (None, ABSENT)}


# Uplinks

BODY = "ccdd1122"
ONE = "20 09 3412 563412" + "00 a1f0842e 02" + BODY  # one record
ASKING = "31 09 3412 563412 010000" + "00 a1f0842e 02" + BODY + "05 5802 10" + BODY  # two, and a question


def test_an_uplink_by_hand() -> None:
    writer = uplink.UplinkWriter(9, 0x1234, 1, 51, False)
    assert writer.add(0x123456, pack_record(0x2E84F0A1, 2, bytes.fromhex(BODY)))
    assert writer.to_bytes() == bytes.fromhex(ONE)


def test_an_asking_uplink_by_hand() -> None:
    writer = uplink.UplinkWriter(9, 0x1234, 1, 51, True)
    assert writer.add(0x123456, pack_record(0x2E84F0A1, 2, bytes.fromhex(BODY)))
    assert writer.add(0x123451, pack_record(0x2E84F0A1 - 600, 0x10, bytes.fromhex(BODY)))
    assert writer.to_bytes() == bytes.fromhex(ASKING)
    assert writer.ids == [0x123456, 0x123451]


def test_hand_made_uplinks_are_read() -> None:
    values = unpack_values(PAIR, bytes.fromhex(BODY))
    first = {"id": 0x123456, "time_s": 0x2E84F0A1, "flags": 2, "readings": values}
    second = {"id": 0x123451, "time_s": 0x2E84F0A1 - 600, "flags": 0x10, "readings": values}
    head = {"profile": 9, "generation": 0x1234, "newest": 0x123456}
    assert uplink.decode(bytes.fromhex(ONE), codes_of) == {
        **head,
        "ask": False,
        "floor": None,
        "records": [first],
    }
    assert uplink.decode(bytes.fromhex(ASKING), codes_of) == {
        **head,
        "ask": True,
        "floor": 1,
        "records": [first, second],
    }


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("", "payload too short"),
        (ONE[:20], "payload too short"),
        (ONE[:-2], "payload too short"),
        (ASKING[:20], "payload too short"),
        (ASKING[:-2], "payload too short"),
        (ONE + "00", "payload too long"),
        ("00" + ONE[2:], "unknown payload version"),
        ("40" + ONE[2:], "unknown payload version"),
        (ONE[:3] + "08" + ONE[5:], "unknown profile"),
        (ASKING.replace("563412", "040000"), "record id out of range"),
    ],
)
def test_what_is_no_uplink_is_refused_with_the_reason(payload: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        uplink.decode(bytes.fromhex(payload), codes_of)


def test_any_shortened_uplink_is_refused() -> None:
    whole = bytes.fromhex(ASKING)
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="payload too short"):
            uplink.decode(whole[:length], codes_of)


@given(st.binary(max_size=60))
def test_noise_is_read_or_refused_and_nothing_else(noise: bytes) -> None:
    try:
        decoded = uplink.decode(noise, codes_of)
    except ValueError:
        return
    assert decoded["profile"] == 9


@given(
    st.integers(11, 242),
    st.booleans(),
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 70000)), max_size=40),
)
def test_what_a_writer_took_is_what_is_read(limit: int, ask: bool, steps: list[tuple[int, int]]) -> None:
    writer = uplink.UplinkWriter(9, 7, 3, limit, ask)
    number, time_s = 20_000, 3_000_000
    taken = []
    for back, seconds in [(0, 0), *steps]:
        number, time_s = number - back, time_s - seconds
        if writer.add(number, pack_record(time_s, 1, bytes(4))):
            taken.append((number, time_s))
    payload = writer.to_bytes()
    assert len(payload) <= limit
    assert writer.ids == [record_id for record_id, _ in taken]
    if not taken:
        assert payload == b""
        return
    decoded = uplink.decode(payload, codes_of)
    records = decoded["records"]
    assert isinstance(records, list)
    assert [(record["id"], record["time_s"]) for record in records] == taken
    assert (decoded["ask"], decoded["floor"]) == (ask, 3 if ask else None)


def test_a_writer_takes_sixteen_records_at_most() -> None:
    writer = uplink.UplinkWriter(9, 7, 0, 10_000, False)
    assert [writer.add(100 - number, pack_record(5, 0, bytes(4))) for number in range(17)] == [True] * 16 + [
        False
    ]


@pytest.mark.parametrize(
    ("back", "seconds", "fits"),
    [(1, 0, True), (255, 65535, True), (256, 0, False), (1, 65536, False), (0, 0, False), (1, -1, False)],
)
def test_a_record_too_far_behind_the_one_before_is_not_taken(back: int, seconds: int, fits: bool) -> None:
    writer = uplink.UplinkWriter(9, 7, 0, 242, False)
    writer.add(1000, pack_record(100_000, 0, bytes(4)))
    assert writer.add(1000 - back, pack_record(100_000 - seconds, 0, bytes(4))) is fits


# Acknowledgements

ACKNOWLEDGEMENT = "01 3412 0a0000 630000" + "00 02 08 ff 00 05"


def test_an_acknowledgement_by_hand() -> None:
    runs = [(99, 2), (89, 260)]
    assert downlink.encode_acknowledgement(0x1234, 10, runs) == bytes.fromhex(ACKNOWLEDGEMENT)


def test_a_hand_made_acknowledgement_is_read() -> None:
    payload = bytes.fromhex("01 3412 0a0000 f40100" + "00 02 ff 00 03 ff 00 05")
    # 500 and 499 are missing; 258 are there; 240..-19 would be too many
    with pytest.raises(ValueError, match="below the base"):
        downlink.decode_acknowledgement(payload)
    payload = bytes.fromhex("01 3412 0a0000 e80300" + "00 02 ff 00 03 ff 00 05")
    assert downlink.decode_acknowledgement(payload) == (0x1234, 10, 1000, [(1000, 2), (740, 260)])


def test_nothing_missing_is_nine_bytes() -> None:
    payload = downlink.encode_acknowledgement(7, 50, [])
    assert payload == bytes.fromhex("01 0700 320000 310000")
    assert downlink.decode_acknowledgement(payload) == (7, 50, 49, [])


@given(st.sets(st.integers(0, 3000), max_size=60), st.integers(3001, 4000))
def test_missing_records_come_back_newest_first_as_far_as_they_fit(missing: set[int], newest: int) -> None:
    runs: list[tuple[int, int]] = []
    for record_id in sorted(missing, reverse=True):
        if runs and runs[-1][0] - runs[-1][1] == record_id:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((record_id, 1))
    base = min(missing, default=newest + 1)
    payload = downlink.encode_acknowledgement(5, base, runs)
    assert len(payload) <= 9 + 2 * downlink.MAX_PAIRS
    _, read_base, top, read = downlink.decode_acknowledgement(payload)
    named = [record_id for first, count in read for record_id in range(first, first - count, -1)]
    assert (read_base, top) == (base, max(missing, default=base - 1))
    assert named == sorted(missing, reverse=True)[: len(named)]
    assert bool(named) == bool(missing)


def test_a_week_without_gateway_fits_in_beside_the_losses_of_the_day() -> None:
    singles = [(2000 - 4 * lost, 1) for lost in range(12)]
    week = (1900, 1008)
    payload = downlink.encode_acknowledgement(1, 893, [*singles[:11], week])
    assert downlink.decode_acknowledgement(payload)[3] == [*singles[:11], week]
    payload = downlink.encode_acknowledgement(1, 893, [*singles, week])
    assert downlink.decode_acknowledgement(payload)[3] == [*singles, (1900, 3 * 255)]  # the rest next time


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "01 3412 0a0000 6300",
        "02 3412 0a0000 630000",
        "01 3412 0a0000 630000 00",
        "01 3412 0a0000 630000 00 5b",
        "01 3412 0a0000 630000" + "0001" * 16,
    ],
)
def test_what_is_no_acknowledgement_is_refused(payload: str) -> None:
    with pytest.raises(ValueError, match=r"acknowledgement|below the base"):
        downlink.decode_acknowledgement(bytes.fromhex(payload))
