# SPDX-License-Identifier: MIT
"""``communode command``: remote configuration of a node, sealed on this computer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from communode.cli._options import json_option, profile_option
from communode.report import Report

if TYPE_CHECKING:
    from communode.commands import Command, Part


@click.command()
@click.option("--dev-eui", required=True, help="DevEUI, 16 hex digits.")
@click.option("--keys", required=True, help="Keys file of `communode provision`; - is standard input.")
@click.option("--defaults", is_flag=True, help="Forget all settings first.")
@profile_option()
@click.option("--interval", type=int, help="Seconds between two samplings.")
@click.option("--ask-after", type=int, help="Records after which the node asks for an acknowledgement.")
@click.option("--alarm", multiple=True, metavar="RULE", help="above.co2=1500/200/600: limit/hysteresis/s.")
@click.option("--alarm-off", multiple=True, metavar="NAME", help="above.co2")
@click.option("--two-point", multiple=True, metavar="RULE", help="co2=400:410,2000:1900: raw:true, twice.")
@click.option("--polynomial", multiple=True, metavar="RULE", help="co2=1.5,0.975: c0,c1,c2,c3.")
@click.option("--calibration-off", multiple=True, metavar="QUANTITY", help="As the sensor says.")
@click.option("--who", type=int, default=0, help="Number of the person who calibrated.")
@click.option("--records", metavar="FROM/TO", help="Send again the records of a time (UTC, ISO 8601).")
@click.option("--self-test", is_flag=True, help="Test sensors, flash and radio, and report.")
@click.option("--rejoin", is_flag=True, help="Join the network anew.")
@click.option("--reboot", is_flag=True, help="Start again.")
@click.option("--counter", type=int, help="Must rise with each command. [default: the time]")
@click.option("--valid-hours", type=click.IntRange(1, 744), default=24, show_default=True)
@click.option("--queue", is_flag=True, help="Queue it in the store of `communode lns`.")
@click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("communode-lns.sqlite"),
    show_default=True,
    help="That store.",
)
@click.option("--answer", metavar="HEX", help="Read an answer of the node instead.")
@json_option
def command(dev_eui: str, keys: str, answer: str | None, as_json: bool, **wishes: Any) -> None:
    """Make a command for one node, sealed with its command key; prints the downlink in hex.

    Everything that is asked for is carried out together, or nothing is. Keys are never arguments.

    \b
    Example: communode command --dev-eui 70b3d57ed0001234 --keys keys.json --interval 900 --queue
    Example: communode command --dev-eui 70b3d57ed0001234 --keys keys.json --answer 81...
    """
    from communode.commands import make_command, read_command_key
    from communode.identity import parse_eui

    report = Report(as_json)
    eui = parse_eui(dev_eui)
    key = read_command_key(keys, eui)
    if answer is not None:
        if next(_parts(wishes, datetime.now(UTC)), None):
            raise click.UsageError("--answer stands alone.")
        _read(report, answer, eui, key)
        return
    now = datetime.now(UTC)
    made = make_command(
        eui,
        key,
        _parts(wishes, now),
        now=now,
        valid=timedelta(hours=wishes["valid_hours"]),
        counter=wishes["counter"],
    )
    _tell(report, made, _queue(made, wishes["store"]) if wishes["queue"] else None)


def _parts(wishes: dict[str, Any], now: datetime) -> Iterator[Part]:
    """What was asked for, in the order in which it makes sense: what clears first, what restarts last."""
    from communode import commands

    def calibrated(make: Callable[[str, datetime, int], Part]) -> Callable[[str], Part]:
        return lambda rule: make(rule, now, wishes["who"])

    makers: dict[str, Callable[[Any], Part]] = {
        "defaults": lambda _: commands.DEFAULTS,
        "profile": commands.profile,
        "interval": commands.interval,
        "ask_after": commands.ask_after,
        "alarm": commands.alarm,
        "alarm_off": commands.alarm_off,
        "two_point": calibrated(commands.two_point),
        "polynomial": calibrated(commands.polynomial),
        "calibration_off": commands.calibration_off,
        "records": commands.records,
        "self_test": lambda _: commands.SELF_TEST,
        "rejoin": lambda _: commands.REJOIN,
        "reboot": lambda _: commands.REBOOT,
    }
    for name, make in makers.items():
        value = wishes[name]
        if value is None or value is False:
            continue
        for item in value if isinstance(value, tuple) else (value,):
            yield make(item)


def _queue(made: Command, store: Path) -> str:
    from communode.commands import F_PORT
    from communode.lns.bench import opened, queue

    with opened(store, existing=True) as memory:
        return queue(memory, made.dev_eui.hex(), F_PORT, made.payload, False)[1]


def _tell(report: Report, made: Command, queued: str | None) -> None:
    from communode.commands import F_PORT
    from communode.messages import text

    facts = {
        "dev_eui": made.dev_eui.hex(),
        "counter": made.counter,
        "expires": made.expires.isoformat().replace("+00:00", "Z"),
        "f_port": F_PORT,
    }
    report.result({"ok": True, **facts, "payload": made.payload.hex(), "queued": queued})
    report.note(text("command.made", **facts))
    report.line(made.payload.hex())
    if queued is not None:
        report.note(text("command.queued"))


def _read(report: Report, answer: str, eui: bytes, key: bytes) -> None:
    from communode.commands import read_answer
    from communode.errors import CommunodeError
    from communode.messages import text

    try:
        payload = bytes.fromhex(answer)
    except ValueError:
        raise CommunodeError("command.no_answer", usage=True) from None
    found = read_answer(payload, eui, key)
    report.result({"ok": True, "dev_eui": eui.hex(), **found.as_json()})
    report.line(
        text(
            "command.answered",
            counter=found.counter,
            message=found.message,
            last_counter=found.last_counter,
        )
    )
    if found.part is not None:
        report.line(text("command.at_part", part=found.part))
    if found.failed:
        report.line(text("command.failed_parts", failed=", ".join(found.failed)))
