# SPDX-License-Identifier: MIT
"""The owner's end of commands: what is built is what a node takes, and its answers can be trusted."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_bench import AIR, DEV_EUI, KEY, Flash, boot
from communode import commands
from communode.cli import run
from communode.errors import CommunodeError
from communode.lns.session import Device
from communode.lns.store import Store
from communode.messages import catalogue
from communode.node.app.config import Config
from communode.node.app.settings import Abilities
from communode.node.codec import command as codec
from communode.node.schema.alarms import ABOVE, RISE
from communode.node.schema.quantities import AIR_TEMPERATURE, CO2
from communode.profiles import load_profile

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
NOW_S = commands.seconds_since_2000(NOW)
EUI = DEV_EUI.hex()


@pytest.fixture
def node() -> Config:
    """A node with the profiles as the build freezes them."""
    frozen = {profile.id: profile.as_dict() for profile in map(load_profile, ("air", "water"))}
    return boot(Flash(), able=Abilities(frozen, AIR))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A keys file as `communode provision` writes it."""
    path = tmp_path / "keys.json"
    other = {
        "dev_eui": "70b3d57ed000ffff",
        "join_eui": "0" * 16,
        "app_key": "1" * 32,
        "command_key": "2" * 32,
    }
    path.write_text(json.dumps([other, {**other, "dev_eui": EUI, "command_key": KEY.hex()}]))
    return path


def make(*parts: commands.Part, counter: int | None = None, **more: timedelta) -> commands.Command:
    return commands.make_command(DEV_EUI, KEY, parts, now=NOW, counter=counter, **more)


def test_a_node_takes_what_the_host_builds(node: Config) -> None:
    made = make(commands.interval(900), commands.alarm("above.co2=1500/200/600"), commands.SELF_TEST)
    assert (made.counter, made.expires) == (NOW_S, NOW + timedelta(days=1))
    assert node.take(made.payload, NOW_S) == codec.OK
    assert node.settings.interval_s == 900
    assert (CO2, ABOVE, 1500, 200, 600) in node.settings.alarms
    assert node.actions == (codec.SELF_TEST,)


def test_values_are_in_units_and_the_node_gets_base_units() -> None:
    assert commands.alarm("rise.air_temperature=5.5/0.5/600").values == (
        AIR_TEMPERATURE,
        RISE,
        5500,
        500,
        600,
    )
    assert commands.alarm("above.co2=1500").values == (CO2, ABOVE, 1500, 0, 60)
    assert commands.alarm_off("above.co2").values == (CO2, ABOVE)
    found = commands.two_point("air_temperature=0:0.1,20:19.95", NOW, 7)
    assert found.values == (AIR_TEMPERATURE, NOW_S, 7, 0, 100, 20_000, 19_950)


def test_a_polynomial_in_units_is_the_same_curve_in_base_units(node: Config) -> None:
    part = commands.polynomial("air_temperature=0.25,0.98,0.0005", NOW)
    assert node.take(make(part).payload, NOW_S) == codec.OK
    kind, values = node.settings.calibration(AIR_TEMPERATURE) or (0, ())
    assert kind == codec.POLYNOMIAL
    for celsius in (-20.0, 0.0, 37.5):
        wanted = 0.25 + 0.98 * celsius + 0.0005 * celsius**2
        base = sum(c * (celsius * 1000) ** k for k, c in enumerate(values[3:]))
        assert base / 1000 == pytest.approx(wanted, abs=1e-4)


def test_profiles_go_by_name_and_records_by_time(node: Config) -> None:
    made = make(commands.profile("water"), commands.records("2026-05-01T00:00/2026-05-01T02:00+02:00"))
    assert node.take(made.payload, NOW_S) == codec.OK
    assert node.settings.profile["name"] == "water"
    first_s, last_s = node.records
    assert (first_s, last_s - first_s) == (commands.seconds_since_2000(datetime(2026, 5, 1, tzinfo=UTC)), 0)


@pytest.mark.parametrize(
    ("make_part", "code"),
    [
        (lambda: commands.interval(9), "command.value_wrong"),
        (lambda: commands.ask_after(0), "command.value_wrong"),
        (lambda: commands.profile("airr"), "profile.unknown"),
        (lambda: commands.alarm("over.co2=3"), "command.alarm_unknown"),
        (lambda: commands.alarm("=3"), "command.alarm_unknown"),
        (lambda: commands.alarm("above.xyz=3"), "command.quantity_unknown"),
        (lambda: commands.alarm("above.co2=1/2/3/4"), "command.value_wrong"),
        (lambda: commands.alarm("above.co2=many"), "command.value_wrong"),
        (lambda: commands.alarm("above.co2=nan"), "command.value_wrong"),
        (lambda: commands.alarm("above.co2=1e30"), "command.value_wrong"),
        (lambda: commands.alarm("above.co2=100000"), "command.alarm_impossible"),
        (lambda: commands.alarm("leak.co2=0"), "command.alarm_impossible"),
        (lambda: commands.two_point("co2=400:410", NOW), "command.value_wrong"),
        (lambda: commands.two_point("co2=400:410,400:420", NOW), "command.value_wrong"),
        (lambda: commands.two_point("battery=3:3,4:4", NOW), "command.quantity_unknown"),
        (lambda: commands.two_point("co2=400:410,2000:1900", NOW, 70_000), "command.value_wrong"),
        (lambda: commands.polynomial("co2=nan,1", NOW), "command.value_wrong"),
        (lambda: commands.polynomial("co2=1,2,3,4,5", NOW), "command.value_wrong"),
        (lambda: commands.polynomial("co2=", NOW), "command.value_wrong"),
        (lambda: commands.records("yesterday"), "command.value_wrong"),
        (lambda: commands.records("2026-05-02/2026-05-01"), "command.value_wrong"),
        (lambda: commands.records("1999-05-02/2026-05-01"), "command.value_wrong"),
        (lambda: make(), "command.empty"),
        (lambda: make(*[commands.alarm("above.co2=1")] * 3), "command.too_long"),
        (lambda: make(commands.REBOOT, valid=timedelta(days=32)), "command.value_wrong"),
        (lambda: make(commands.REBOOT, counter=0), "command.value_wrong"),
    ],
)
def test_what_no_node_could_do_is_refused_here(make_part, code: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CommunodeError) as caught:
        make_part()
    assert caught.value.code == code
    assert caught.value.usage
    assert str(caught.value)


def test_answers_are_read_and_forged_ones_told_apart(node: Config) -> None:
    node.take(make(commands.REBOOT, commands.interval(10)).payload, NOW_S)  # the SPS30 needs longer
    payload = node.next_answer()
    assert payload is not None
    answer = commands.read_answer(payload, DEV_EUI, KEY)
    assert (answer.counter, answer.code, answer.part, answer.last_counter) == (NOW_S, "out_of_range", 1, 0)
    for bit in range(8 * len(payload)):
        forged = bytearray(payload)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CommunodeError):
            commands.read_answer(bytes(forged), DEV_EUI, KEY)
    with pytest.raises(CommunodeError, match=EUI[:14]):
        commands.read_answer(payload, DEV_EUI[:7] + b"\xff", KEY)
    with pytest.raises(CommunodeError):
        commands.read_answer(make(commands.REBOOT).payload, DEV_EUI, KEY)


def test_a_self_test_names_what_failed(node: Config) -> None:
    node.take(make(commands.SELF_TEST).payload, NOW_S)
    node.answer_sent()
    node.finish_self_test(0b1000_0010)
    answer = commands.read_answer(node.next_answer() or b"", DEV_EUI, KEY)
    assert (answer.code, answer.part, answer.failed) == ("self_tested", None, ("sensor_1", "radio"))


def test_every_answer_code_has_a_sentence() -> None:
    named = {key.rpartition(".")[2] for key in catalogue() if key.startswith("command.code.")}
    assert named == set(commands.ANSWER_CODES.values())


# --- the command line ---


def test_the_command_line_prints_the_downlink(
    node: Config, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["command", "--dev-eui", EUI, "--keys", str(keys), "--reboot", "--interval", "900", "--json"]
    assert run(arguments) == 0
    shown = capsys.readouterr()
    made = json.loads(shown.out)
    assert (made["dev_eui"], made["f_port"], made["queued"]) == (EUI, 4, None)
    now_s = commands.seconds_since_2000(datetime.now(UTC))
    assert abs(made["counter"] - now_s) < 60
    assert node.take(bytes.fromhex(made["payload"]), now_s) == codec.OK
    assert (node.settings.interval_s, node.actions) == (900, (codec.REBOOT,))
    assert KEY.hex() not in shown.out + shown.err
    answer = (node.next_answer() or b"").hex()
    assert run([*arguments[:5], "--answer", answer, "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert (read["code"], read["counter"]) == ("ok", made["counter"])
    assert run([*arguments[:5], "--answer", answer]) == 0
    assert str(made["counter"]) in capsys.readouterr().out


def test_the_key_may_come_through_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(KEY.hex() + "\n"))
    assert run(["command", "--dev-eui", EUI, "--keys", "-", "--counter", "5", "--rejoin"]) == 0
    payload = bytes.fromhex(capsys.readouterr().out)
    assert codec.claimed_counter(payload) == 5
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps([{"dev_eui": EUI, "command_key": KEY.hex()}])))
    assert run(["command", "--dev-eui", EUI, "--keys", "-", "--counter", "5", "--rejoin"]) == 0
    assert bytes.fromhex(capsys.readouterr().out)[:5] == payload[:5]


def test_a_command_is_queued_for_the_bench_server(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lns.sqlite"
    store = Store(path)
    store.add(Device(EUI, "0" * 16, bytes(16), ""))
    base = ["command", "--dev-eui", EUI, "--keys", str(keys), "--self-test", "--json"]
    assert run([*base, "--queue", "--store", str(path)]) == 0
    made = json.loads(capsys.readouterr().out)
    (waiting,) = store.queue(EUI)
    store.close()
    assert (waiting.f_port, waiting.payload.hex()) == (4, made["payload"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--keys", "absent.json", "--reboot"], "command.keys_unreadable"),
        (["--keys", "broken.json", "--reboot"], "command.keys_unreadable"),
        (["--keys", "others.json", "--reboot"], "command.key_missing"),
        (["--keys", "keys.json"], "command.empty"),
        (["--keys", "keys.json", "--answer", "zz"], "command.no_answer"),
        (["--keys", "keys.json", "--answer", "8100"], "command.no_answer"),
        (["--keys", "keys.json", "--answer", "8100", "--reboot"], "cli.usage"),
        (["--keys", "keys.json", "--interval", "1"], "command.value_wrong"),
        (["--keys", "keys.json", "--reboot", "--queue", "--store", "absent"], "network.store_unusable"),
        (["--reboot"], "cli.usage"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_status_2(
    keys: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: str,
) -> None:
    monkeypatch.chdir(keys.parent)
    Path("broken.json").write_text('[{"dev_eui": 3}]')
    Path("others.json").write_text("[]")
    assert run(["command", "--dev-eui", EUI, *arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code
