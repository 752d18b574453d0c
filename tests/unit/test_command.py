# SPDX-License-Identifier: MIT
"""Commands to a node: refused whole or taken whole, kept over power cuts, taken back when they cut it off."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from command_bench import (
    DEV_EUI,
    KEY,
    LATER_S,
    NOW_S,
    WATER,
    Flash,
    answers,
    boot,
    foreign_cmac,
    kept,
    order,
)
from communode.node.app.config import MAX_LIFE_S, Config
from communode.node.codec import command
from communode.node.codec.command import (
    ALARM,
    ALARM_OFF,
    ASK_AFTER,
    BAD_MAC,
    CALIBRATION_OFF,
    DEFAULTS,
    EXPIRED,
    INTERVAL,
    MALFORMED,
    NO_TIME,
    OK,
    OUT_OF_RANGE,
    POLYNOMIAL,
    PROFILE,
    REBOOT,
    RECORDS,
    REJOIN,
    REPLAY,
    SELF_TEST,
    SELF_TESTED,
    TWO_POINT,
    UNSUPPORTED,
    WHOLE,
)
from communode.node.lorawan.crypto import cmac
from communode.node.schema.alarms import ABOVE, BELOW, RISE
from communode.node.schema.quantities import AIR_TEMPERATURE, BATTERY, CO2, PM25, WATER_LEVEL
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def flash() -> Flash:
    return Flash()


@pytest.fixture
def config(flash: Flash) -> Config:
    return boot(flash)


# --- the seal ---


def test_the_nodes_own_cmac_agrees_with_a_foreign_one() -> None:
    class Block:
        def encrypt(self, block: bytes) -> bytes:
            return Cipher(algorithms.AES128(KEY), modes.ECB()).encryptor().update(block)

    payload = order(7, (INTERVAL, (900,)))
    assert command.is_sealed(DEV_EUI, payload, lambda message: cmac(Block(), message))


def test_a_command_has_the_bytes_of_the_spec() -> None:
    payload = order(0x01020304, (INTERVAL, (900,)), REBOOT, expiry_s=0x0A0B0C0D)
    assert payload[:-8].hex() == "01" + "04030201" + "0d0c0b0a" + "0104" + "84030000" + "1000"
    assert payload[-8:] == foreign_cmac()(DEV_EUI + payload[:-8])[:8]


# --- refusals ---


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (order(5, (INTERVAL, (900,)), key=bytes(16)), BAD_MAC),
        (order(5, (INTERVAL, (900,)), dev_eui=bytes(8)), BAD_MAC),
        (order(4, (INTERVAL, (900,))), REPLAY),
        (order(3, (INTERVAL, (900,))), REPLAY),
        (order(0, (INTERVAL, (900,))), REPLAY),
        (order(5, (INTERVAL, (900,)), expiry_s=NOW_S - 1), EXPIRED),
        (order(5, (INTERVAL, (900,)), expiry_s=0), MALFORMED),
        (order(5, (INTERVAL, (900,)), expiry_s=NOW_S + MAX_LIFE_S + 1), OUT_OF_RANGE),
        (order(5), MALFORMED),
        (order(5, (INTERVAL, (900,)))[:16], MALFORMED),
        (b"", MALFORMED),
        (b"\x02" + order(5, (INTERVAL, (900,)))[1:], UNSUPPORTED),
    ],
    ids=lambda value: value.hex()[:24] if isinstance(value, bytes) else str(value),
)
def test_a_refused_command_changes_nothing(flash: Flash, config: Config, payload: bytes, code: int) -> None:
    assert config.take(order(4, (INTERVAL, (1200,))), NOW_S) == OK
    answers(config)
    before = bytes(flash.data)
    assert config.take(payload, NOW_S) == code
    assert bytes(flash.data) == before
    assert config.settings.interval_s == 1200
    assert [answer[1] for answer in answers(config)] == [code]
    assert bytes(flash.data) == before


def test_a_node_without_time_refuses_and_takes_the_same_command_once_it_has_it(config: Config) -> None:
    payload = order(1, (INTERVAL, (900,)))
    assert config.take(payload, None) == NO_TIME
    assert config.take(payload, NOW_S) == OK


@pytest.mark.parametrize(
    "part",
    [
        (INTERVAL, (60,)),  # faster than the slowest sensor
        (INTERVAL, (86_401,)),
        (ASK_AFTER, (0,)),
        (ASK_AFTER, (101,)),
        (PROFILE, (9,)),
        (ALARM, (WATER_LEVEL, ABOVE, 1000, 0, 0)),  # not measured here
        (ALARM, (CO2, 15, 1000, 0, 0)),
        (ALARM, (CO2, ABOVE, 1 << 20, 0, 0)),
        (ALARM, (CO2, ABOVE, 1000, 2000, 0)),
        (ALARM, (CO2, ABOVE, 1000, 100, 43_201)),
        (TWO_POINT, (WATER_LEVEL, NOW_S, 1, 0, 0, 1000, 1000)),
        (TWO_POINT, (BATTERY, NOW_S, 1, 2000, 2000, 3000, 3000)),  # cannot be calibrated
        (TWO_POINT, (CO2, NOW_S, 1, 400, 410, 400, 420)),
        (TWO_POINT, (CO2, NOW_S, 1, 400, 2000, 2000, 400)),
        (TWO_POINT, (CO2, NOW_S, 1, 400, 400, 500, 901)),  # a gain above 4
        (TWO_POINT, (CO2, NOW_S, 1, -1, 400, 500, 900)),
        (POLYNOMIAL, (CO2, NOW_S, 1, float("nan"), 1.0)),
        (POLYNOMIAL, (CO2, NOW_S, 1, 0.0, float("inf"))),
        (POLYNOMIAL, (CO2, NOW_S, 1, 0.0, -1.0)),
        (POLYNOMIAL, (CO2, NOW_S, 1, 500.0)),
        (POLYNOMIAL, (CO2, NOW_S, 1, 0.0, 1.0, -1e-3)),  # turns round within the range
        (RECORDS, (NOW_S, NOW_S - 1)),
    ],
    ids=str,
)
def test_one_impossible_part_refuses_the_whole_command(
    flash: Flash, config: Config, part: tuple[int, tuple[float, ...]]
) -> None:
    before = bytes(flash.data)
    assert config.take(order(1, (ASK_AFTER, (30,)), REBOOT, part), NOW_S) in (OUT_OF_RANGE, MALFORMED)
    assert bytes(flash.data) == before
    assert (config.actions, config.settings.ask_after, config.counter) == ((), 0, 0)
    assert answers(config)[0][2] in (0, 2)


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (b"\x01", MALFORMED, 0),
        (b"\x01\x04\x00\x00\x00", MALFORMED, 0),
        (b"\x01\x03\x00\x00\x00", MALFORMED, 0),
        (b"\x10\x00\x10\x00", MALFORMED, 1),  # twice
        (b"\x10\x00\x7f\x00", UNSUPPORTED, 1),
        (b"\x05\x07" + bytes(7), MALFORMED, 0),
        (b"\x05\x1b" + bytes(27), MALFORMED, 0),
        (b"\x05\x09" + bytes(9), MALFORMED, 0),
    ],
)
def test_a_broken_part_is_named(config: Config, body: bytes, code: int, detail: int) -> None:
    payload = command.seal(DEV_EUI, command.make_command(1, LATER_S, body), foreign_cmac())
    assert config.take(payload, NOW_S) == code
    assert answers(config) == [(1, code, detail, 0)]


def test_one_refusal_is_answered_a_waking(config: Config) -> None:
    for _ in range(3):
        config.take(b"junk", NOW_S)
        config.take(order(9, (INTERVAL, (5,))), NOW_S)
    assert [answer[1] for answer in answers(config)] == [OUT_OF_RANGE]
    config.take(b"junk", NOW_S)
    assert config.next_answer() is None
    config.begin_waking()
    config.take(b"junk", NOW_S)
    assert answers(config) == [(0, MALFORMED, WHOLE, 0)]


# --- what commands do ---


def test_an_accepted_command_is_in_force_at_once_and_after_a_power_loss(flash: Flash, config: Config) -> None:
    coefficients = (1.5, 0.96875, struct.unpack("<f", struct.pack("<f", 1e-6))[0])
    parts = [
        (INTERVAL, (900,)),
        (ASK_AFTER, (30,)),
        (ALARM, (PM25, RISE, 100, 20, 600)),
        (ALARM_OFF, (CO2, ABOVE)),
        (TWO_POINT, (CO2, NOW_S, 17, 400, 410, 2000, 1900)),
        (POLYNOMIAL, (AIR_TEMPERATURE, NOW_S, 17, *coefficients)),
    ]
    for start in range(0, len(parts), 2):
        assert config.take(order(start + 1, *parts[start : start + 2]), NOW_S) == OK
    for found in (config, boot(flash)):
        settings = found.settings
        assert (found.counter, settings.interval_s, settings.ask_after) == (5, 900, 30)
        assert settings.alarms == [(PM25, RISE, 100, 20, 600)]
        assert settings.calibration(CO2) == (TWO_POINT, (CO2, NOW_S, 17, 400, 410, 2000, 1900))
        assert settings.calibration(AIR_TEMPERATURE) == (
            POLYNOMIAL,
            (AIR_TEMPERATURE, NOW_S, 17, *coefficients),
        )
        assert settings.calibration(PM25) is None


def test_an_override_of_a_profiles_alarm_replaces_it_and_off_without_one_is_nothing(config: Config) -> None:
    assert config.settings.alarms == [(CO2, ABOVE, 1500, 200, 600)]
    config.take(order(1, (ALARM, (CO2, ABOVE, 2000, 100, 60)), (ALARM_OFF, (CO2, BELOW))), NOW_S)
    assert config.settings.alarms == [(CO2, ABOVE, 2000, 100, 60)]
    config.take(order(2, (ALARM_OFF, (CO2, ABOVE))), NOW_S)
    assert config.settings.alarms == []
    config.take(order(3, DEFAULTS), NOW_S)
    assert config.settings.alarms == [(CO2, ABOVE, 1500, 200, 600)]
    assert config.settings.to_parts() == b""


def test_a_profile_brings_its_own_interval_and_alarms_and_keeps_calibrations_it_can_use(
    config: Config,
) -> None:
    config.take(
        order(
            1,
            (INTERVAL, (3600,)),
            (TWO_POINT, (CO2, NOW_S, 1, 400, 410, 2000, 1900)),
            (TWO_POINT, (AIR_TEMPERATURE, NOW_S, 1, 0, 100, 20_000, 20_000)),
        ),
        NOW_S,
    )
    assert config.take(order(2, (PROFILE, (WATER,))), NOW_S) == OK
    settings = config.settings
    assert (settings.profile["name"], settings.interval_s) == ("water", 900)
    assert settings.alarms == [(BATTERY, BELOW, 3000, 100, 0)]
    assert settings.calibration(CO2) is None
    assert settings.calibration(AIR_TEMPERATURE) is not None
    assert config.take(order(3, (CALIBRATION_OFF, (AIR_TEMPERATURE,)), (INTERVAL, (10,))), NOW_S) == OK
    assert config.settings.to_parts().hex() == "070102" + "01040a000000"


def test_more_alarms_than_the_node_can_hold_are_refused(config: Config) -> None:
    rows = [(quantity, kind) for quantity in (CO2, PM25, AIR_TEMPERATURE, BATTERY) for kind in (ABOVE, BELOW)]
    codes = [config.take(order(n + 1, (ALARM, (*row, 3000, 0, 60))), NOW_S) for n, row in enumerate(rows)]
    assert codes == [OK] * 8
    assert config.take(order(20, (ALARM, (PM25, RISE, 10, 0, 600))), NOW_S) == OUT_OF_RANGE
    assert len(config.settings.alarms) == 8


def test_actions_wait_in_flash_until_they_are_done(flash: Flash, config: Config) -> None:
    assert config.take(order(1, REBOOT, REJOIN, SELF_TEST, (RECORDS, (100, 200))), NOW_S) == OK
    config = boot(flash)
    assert config.actions == (REBOOT, REJOIN, SELF_TEST, RECORDS)
    assert (config.records, config.on_trial) == ((100, 200), False)
    config.finish(REBOOT)
    config = boot(flash)
    assert config.actions == (REJOIN, SELF_TEST, RECORDS)
    config.finish(REJOIN)
    config.finish(RECORDS)
    config.finish_self_test(0b0100_0001)
    config = boot(flash)
    assert config.actions == ()
    assert answers(config) == [(1, OK, WHOLE, 1), (1, SELF_TESTED, 0x41, 1)]
    assert answers(boot(flash)) == []


def test_the_oldest_answer_gives_way(config: Config) -> None:
    for counter in range(1, 8):
        config.take(order(counter, REJOIN), NOW_S)
    assert [answer[0] for answer in answers(config)] == [4, 5, 6, 7]


# --- on the device ---


def test_commands_work_on_micropython(micropython: str) -> None:
    script = ROOT / "tests" / "upy" / "commands_on_micropython.py"
    payloads = [
        order(1, (INTERVAL, (900,)), (POLYNOMIAL, (CO2, NOW_S, 3, 1.5, 0.975, 1e-6))),
        order(1, (INTERVAL, (901,))),
        order(0xFFFF_FFFE, (ALARM, (CO2, ABOVE, 2000, 100, 60)), (RECORDS, (NOW_S, 0xFFFF_FFFF))),
        order(0xFFFF_FFFF, (INTERVAL, (5,))),
        order(0xFFFF_FFFF, REBOOT, key=bytes(16)),
    ]
    arguments = [KEY, DEV_EUI, *payloads]
    run = subprocess.run(
        [micropython, str(script), str(ROOT / "firmware"), *(item.hex() for item in arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    lines = run.stdout.split()
    assert lines[:5] == [str(code) for code in (OK, REPLAY, OK, OUT_OF_RANGE, BAD_MAC)]
    assert lines[5:7] == ["900", str(0xFFFF_FFFE)]
    flash = Flash()
    config = boot(flash)
    for payload in payloads[:3:2]:
        config.take(payload, NOW_S)
    assert lines[7] == (kept(flash)[0] or b"").hex()
    answer = bytes.fromhex(lines[8])
    assert command.is_sealed(DEV_EUI, answer, foreign_cmac())
    assert command.open_answer(answer) == (1, OK, WHOLE, 0xFFFF_FFFE)
    assert lines[9] == "900"
