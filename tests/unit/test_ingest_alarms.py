# SPDX-License-Identifier: MIT
"""Alarms and status at the application: stored once, open until acknowledged, told until the node knows."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from communode.cli import run
from communode.errors import CommunodeError
from communode.ingest.alarms import decode_alarms
from communode.ingest.application import Answer, Application
from communode.ingest.readings import ReadingStore
from communode.node.app.alarms import Alarms
from communode.node.codec import alarm as codec
from communode.node.codec import downlink, status, uplink
from communode.node.codec.record import pack_record, pack_values
from communode.node.schema.alarms import ABOVE, ACKNOWLEDGED, ACTIVE, IDLE, LATCHED, TAMPER
from communode.node.schema.events import BAD_MIC, SENSOR_FAULT
from communode.node.schema.quantities import CO2, GOOD

Report = tuple[int, int, int, int, int, int]

NODE = "70b3d57ed0000001"
OTHER = "70b3d57ed0000002"
GENERATION = 0x1234
NAME = "above.co2"
FIRST = GENERATION << 16 | 1


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    store = ReadingStore(tmp_path / "readings.sqlite")
    yield Application(store)
    store.close()


def event(f_port: int, payload: bytes, time: str = "2026-06-01T08:00:00.25+00:00") -> dict[str, Any]:
    data = base64.b64encode(payload).decode()
    return {"deviceInfo": {"devEui": NODE}, "fPort": f_port, "data": data, "time": time}


def told(*reports: Report, flags: int = 0) -> dict[str, Any]:
    return event(5, codec.encode(GENERATION, 9, (10_000, flags), list(reports)))


def row(state: int, occurrence: int = 1, value: int = 1800, age_s: int = 40) -> Report:
    return ABOVE, CO2, state, occurrence, value, age_s


def readings_asking() -> dict[str, Any]:
    writer = uplink.UplinkWriter(1, GENERATION, 0, 51, ask=True)
    writer.add(3, pack_record(1000, 0, pack_values((3, 1, 2, 4, 5, 6, 7, 14), {CO2: (400, GOOD)})))
    return event(2, writer.to_bytes())


def test_an_alarm_is_stored_with_its_time_value_and_unit(application: Application) -> None:
    assert application.take(told(row(ACTIVE), (TAMPER, 0, LATCHED, 2, codec.NO_VALUE, codec.NO_AGE))) is None
    assert application.alarms.rows(NODE) == [
        (NAME, FIRST, "active", "2000-01-01T02:46:00Z", 1800.0, "ppm"),
        ("tamper", FIRST + 1, "latched", None, None, ""),
    ]
    assert application.alarms.rows(OTHER) == []


def test_the_table_is_the_one_that_others_read(application: Application) -> None:
    application.take(told(row(ACTIVE)))
    names = "dev_eui, alarm, occurrence, state, time_utc, value, unit"
    rows = application.store.database.execute(f"SELECT {names} FROM alarms").fetchall()
    assert rows == [(NODE, NAME, FIRST, "active", "2000-01-01T02:46:00Z", 1800.0, "ppm")]


def test_a_node_that_does_not_know_the_time_gives_none(application: Application) -> None:
    application.take(told(row(ACTIVE), flags=0x10))
    assert application.alarms.rows(NODE)[0][3] is None


def test_repeats_and_reminders_store_nothing_twice(application: Application) -> None:
    for _ in range(3):
        application.take(told(row(ACTIVE)))
    application.take(told(row(LATCHED)))
    application.take(told(row(ACTIVE)))  # an old frame, delivered late
    assert [entry[2] for entry in application.alarms.rows(NODE)] == ["active", "latched"]
    assert application.alarms.open(NODE) == {NAME: FIRST}


@pytest.mark.parametrize(
    ("states", "open_now"),
    [
        ([ACTIVE], True),
        ([ACTIVE, LATCHED], True),
        ([ACTIVE, ACKNOWLEDGED], False),
        ([ACTIVE, LATCHED, IDLE], False),
        ([ACTIVE, IDLE, LATCHED], False),  # out of order
        ([LATCHED], True),  # the raise was lost
    ],
)
def test_an_occurrence_is_open_until_the_node_says_that_it_is_not(
    application: Application, states: list[int], open_now: bool
) -> None:
    for state in states:
        application.take(told(row(state)))
    assert (application.alarms.open(NODE) == {NAME: FIRST}) is open_now


def test_nothing_is_acknowledged_without_an_operator(application: Application) -> None:
    for _ in range(20):
        assert application.take(told(row(ACTIVE))) is None


def test_an_acknowledgement_follows_uplinks_until_the_node_says_that_it_knows(
    application: Application,
) -> None:
    application.take(told(row(ACTIVE)))
    assert application.acknowledge(NODE, NAME) == FIRST
    expected = Answer(5, codec.encode_acknowledgement(GENERATION, [(ABOVE, CO2, 1)]))
    assert application.take(told(row(ACTIVE))) == expected
    assert application.take(event(9, b"\x00")) == expected
    assert application.take({"deviceInfo": {"devEui": NODE}}) == expected  # a frame without payload
    assert application.take(told(row(ACKNOWLEDGED))) is None
    assert application.take(event(9, b"\x00")) is None


def test_an_acknowledgement_goes_before_the_answer_about_records(application: Application) -> None:
    answer = application.take(readings_asking())
    assert answer is not None
    assert answer.f_port == downlink.F_PORT
    application.take(told(row(ACTIVE)))
    application.acknowledge(NODE, NAME)
    answer = application.take(readings_asking())
    assert answer is not None
    assert answer.f_port == codec.F_PORT
    assert application.store.count(NODE) == 1


def test_an_acknowledgement_is_not_sent_for_ever_but_again_after_a_report(application: Application) -> None:
    application.take(told(row(ACTIVE)))
    application.acknowledge(NODE, NAME)
    answers = [application.take(event(9, b"\x00")) for _ in range(15)]
    assert [answer is not None for answer in answers] == [True] * 10 + [False] * 5
    assert application.take(told(row(ACTIVE))) is not None


def test_a_new_occurrence_voids_the_acknowledgement_of_the_old(application: Application) -> None:
    application.take(told(row(ACTIVE)))
    application.acknowledge(NODE, NAME)
    assert application.take(told(row(ACTIVE, occurrence=2))) is None
    assert application.alarms.open(NODE) == {NAME: FIRST + 1}
    application.acknowledge(NODE, NAME)
    assert application.take(told(row(ACTIVE))) is not None  # a late copy of the first takes nothing back


def test_what_is_not_open_cannot_be_acknowledged(application: Application) -> None:
    application.take(told(row(ACTIVE), (TAMPER, 0, IDLE, 2, 0, 0)))
    for dev_eui, name in ((NODE, "tamper"), (NODE, "below.battery"), (OTHER, NAME)):
        with pytest.raises(CommunodeError) as caught:
            application.acknowledge(dev_eui, name)
        assert caught.value.code == "alarm.not_open"
        assert not caught.value.usage
        assert (NAME in str(caught.value)) is (dev_eui == NODE or name == NAME)


def test_several_acknowledgements_share_a_downlink_but_not_across_generations(
    application: Application,
) -> None:
    application.take(told(row(ACTIVE), (TAMPER, 0, LATCHED, 2, 0, 0)))
    old = codec.encode(1, 9, (10_000, 0), [(2, 14, ACTIVE, 7, 3300, 0)])
    application.take(event(5, old))
    for name in (NAME, "tamper", "below.battery"):
        application.acknowledge(NODE, name)
    answer = application.take(event(9, b"\x00"))
    assert answer is not None
    assert codec.decode_acknowledgement(answer.payload) == (GENERATION, [(TAMPER, 0, 2), (ABOVE, CO2, 1)])


def test_node_and_application_come_to_rest_together(application: Application) -> None:
    node = Alarms(((CO2, ABOVE, 1500, 200, 0),))
    node.evaluate({CO2: (1800, GOOD)}, 0)

    def exchange(now_ms: int) -> None:
        reports = node.due(now_ms)
        payload = codec.encode(GENERATION, 9, (now_ms // 1000, 0), reports) if reports else b"\x00"
        answer = application.take(event(5 if reports else 9, payload))
        if reports:
            node.told(reports, now_ms, acked=True)
        if answer:
            generation, alarms = codec.decode_acknowledgement(answer.payload)
            assert generation == GENERATION
            for alarm in alarms:
                assert node.acknowledge(*alarm, now_ms)

    exchange(0)
    application.acknowledge(NODE, NAME)
    for minute in range(1, 5):
        exchange(minute * 60_000)
    assert application.alarms.open(NODE) == {}
    assert node.due(10**12) == []
    node.evaluate({CO2: (1000, GOOD)}, 600_000)
    exchange(600_000)
    assert [entry[2] for entry in application.alarms.rows(NODE)] == ["active", "acknowledged", "idle"]


@pytest.mark.parametrize("f_port", [5, 6])
def test_what_cannot_be_read_is_noted_and_changes_nothing(application: Application, f_port: int) -> None:
    assert application.take(event(f_port, b"\x00" * 30)) is None
    assert len(application.rejected) == 1
    assert NODE in application.rejected[0]
    assert application.alarms.rows(NODE) == []
    assert application.status.newest(NODE) is None


def a_status() -> bytes:
    made = status.Status()
    made.profile, made.version, made.micropython, made.battery_mv = 1, (0, 1, 2), 27, 3600
    made.wakings, made.energy_mc, made.resets = 144, (300, 100_000, 40, 4000, 800, 1700), (0, 0, 1, 0)
    return status.encode(made, [(SENSOR_FAULT, CO2, 3), (BAD_MIC, 0, 2), (200, 9, 1)], 115)[0]


def test_a_status_is_stored_once_under_its_time_of_reception(application: Application) -> None:
    for _ in range(2):
        application.take(event(6, a_status()))
    newest = application.status.newest(NODE)
    assert newest is not None
    expected = {
        "time_utc": "2026-06-01T08:00:00Z",
        "version": "0.1.2",
        "micropython": "1.27",
        "battery_v": 3.6,
        "wakings": 144,
        "energy_sense_mc": 100_000,
        "resets_watchdog": 1,
        "heap_low": None,
    }
    assert {name: newest[name] for name in expected} == expected
    assert application.status.events(NODE) == {
        ("sensor_fault", "co2"): 3,
        ("bad_mic", ""): 2,
        ("event200", "9"): 1,
    }
    application.take(event(6, a_status(), "2026-06-02T10:00:00+02:00"))
    assert application.status.events(NODE)["bad_mic", ""] == 4
    newest = application.status.newest(NODE)
    assert newest is not None
    assert newest["time_utc"] == "2026-06-02T08:00:00Z"


def test_the_command_line_decodes_an_alarm(capsys: pytest.CaptureFixture[str]) -> None:
    payload = codec.encode(GENERATION, 9, (10_000, 0), [row(ACTIVE)])
    assert run(["decode", "--f-port", "5", payload.hex(), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["record_id"] == GENERATION << 24 | 9
    assert shown["alarms"] == [
        {
            "alarm": NAME,
            "occurrence": FIRST,
            "state": "active",
            "time": "2000-01-01T02:46:00Z",
            "value": 1800.0,
            "unit": "ppm",
            "severity": "warning",
        }
    ]
    assert run(["decode", "--f-port", "5", payload.hex()]) == 0
    assert "above.co2" in capsys.readouterr().out


def test_the_command_line_decodes_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["decode", "--f-port", "6", a_status().hex(), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["status"]
    assert shown["battery_v"] == 3.6
    assert shown["events"][0] == {"event": "sensor_fault", "detail": "co2", "count": 3}
    assert run(["decode", "--f-port", "6", a_status().hex()]) == 0
    assert "sensor_fault co2 x 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("f_port", "payload", "code"),
    [
        ("5", "00", "payload.bad_alarm"),
        ("6", "00", "payload.bad_status"),
        ("7", "00", "payload.port"),
        ("5", "0", "payload.hex"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], f_port: str, payload: str, code: str
) -> None:
    assert run(["decode", "--f-port", f_port, payload, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code


def test_the_example_of_the_command_line_is_an_alarm() -> None:
    from communode.cli.decode import decode

    example = (decode.help or "").split("--f-port 5 ")[1].split()[0]
    assert decode_alarms(bytes.fromhex(example)).reports[0].alarm == NAME
