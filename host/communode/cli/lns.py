# SPDX-License-Identifier: MIT
"""``communode lns``: the bench server, a local LoRaWAN network server for a table without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from communode.cli._options import json_option
from communode.report import Report

_DEFAULT_STORE = Path("communode-lns.sqlite")

_store_option = click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    default=_DEFAULT_STORE,
    show_default=True,
    help="SQLite file with devices, keys and counters (mode 0600).",
)
_dev_eui_option = click.option("--dev-eui", required=True, help="DevEUI, 16 hex digits.")


@click.group()
def lns() -> None:
    """A local LoRaWAN network server for the bench.

    \b
    Example: communode lns add --dev-eui 70b3d57ed0001234 --key-file app.key
    Example: communode lns run --bind 192.168.1.10:1700
    """


@lns.command()
@click.option("--bind", default="127.0.0.1:1700", show_default=True, help="HOST:PORT for gateways (UDP).")
@_store_option
@click.option("--rx1-delay", type=click.IntRange(1, 15), default=5, show_default=True, help="Seconds.")
@click.option("--dedup", type=click.IntRange(0, 1000), default=200, show_default=True, help="Milliseconds.")
@click.option("--no-adr", is_flag=True, help="Leave data rate and power to the devices.")
@json_option
def run(bind: str, store: Path, rx1_delay: int, dedup: int, no_adr: bool, as_json: bool) -> None:
    """Serve gateways until stopped; print events as they come.

    The gateway protocol knows no passwords: bind to loopback or to a network that you trust.

    \b
    Example: communode lns run --bind 127.0.0.1:1700 --store bench.sqlite --json
    """
    from communode.lns.bench import serve

    report = Report(as_json)
    serve(bind, store, report, rx1_delay_s=rx1_delay, dedup_ms=dedup, adapt=not no_adr)


@lns.command()
@click.option("--dev-eui", help="DevEUI, 16 hex digits.")
@click.option("--join-eui", default="0" * 16, show_default=True, help="JoinEUI, 16 hex digits.")
@click.option("--key-file", default="-", help="File with the AppKey in hex; - is standard input.")
@click.option("--from", "keys", type=click.Path(path_type=Path), help="Keys file of `communode provision`.")
@click.option("--name", default="", help="A name for people.")
@click.option("--replace", is_flag=True, help="Forget what was known of the device.")
@_store_option
@json_option
def add(
    dev_eui: str | None,
    join_eui: str,
    key_file: str,
    keys: Path | None,
    name: str,
    replace: bool,
    store: Path,
    as_json: bool,
) -> None:
    """Let devices join: one by its EUI and key, or all of a keys file.

    Keys are never arguments: other users of this computer could read them.

    \b
    Example: communode lns add --dev-eui 70b3d57ed0001234 --key-file app.key
    Example: communode lns add --from keys.json
    """
    from communode.lns.bench import new_device, opened, read_devices
    from communode.messages import text

    if (dev_eui is None) == (keys is None):
        raise click.UsageError("Give either --dev-eui or --from.")
    report = Report(as_json)
    devices = read_devices(keys) if keys else [new_device(str(dev_eui), join_eui, key_file, name)]
    with opened(store) as memory:
        for device in devices:
            memory.add(device, replace=replace)
            report.line(text("network.lns_added", dev_eui=device.dev_eui))
    report.result({"added": [device.dev_eui for device in devices]})


@lns.command("list")
@_store_option
@json_option
def list_devices(store: Path, as_json: bool) -> None:
    """List the devices and their sessions; keys are not shown.

    \b
    Example: communode lns list --json
    """
    from communode.lns.bench import describe, opened
    from communode.messages import text

    report = Report(as_json)
    with opened(store, existing=True) as memory:
        devices = [describe(device, memory.session(device.dev_eui)) for device in memory.devices()]
    report.result({"devices": devices})
    if not devices:
        report.note(text("network.lns_no_devices"))
    for device in devices:
        report.line(_row(device, text("network.lns_never_joined")))


def _row(device: dict[str, Any], not_joined: str) -> str:
    if device["dev_addr"] is None:
        return f"{device['dev_eui']}  {not_joined:8}  {device['name']}".rstrip()
    counters = f"up {device['fcnt_up']}  down {device['fcnt_down']}"
    return f"{device['dev_eui']}  {device['dev_addr']}  {counters}  {device['name']}".rstrip()


@lns.command()
@_dev_eui_option
@_store_option
@json_option
def remove(dev_eui: str, store: Path, as_json: bool) -> None:
    """Forget a device, its keys and its session.

    \b
    Example: communode lns remove --dev-eui 70b3d57ed0001234
    """
    from communode.lns.bench import opened, require
    from communode.messages import text

    report = Report(as_json)
    with opened(store, existing=True) as memory:
        eui = require(memory, dev_eui).dev_eui
        memory.forget(eui)
    report.result({"removed": [eui]})
    report.line(text("network.lns_removed", dev_eui=eui))


@lns.command("flush-nonces")
@_dev_eui_option
@_store_option
@json_option
def flush_nonces(dev_eui: str, store: Path, as_json: bool) -> None:
    """Accept a device's DevNonces from 0 again, after its memory was wiped.

    Old join-requests can then be replayed against it once: do this only when the node cannot be given
    its counter back.

    \b
    Example: communode lns flush-nonces --dev-eui 70b3d57ed0001234
    """
    from communode.lns.bench import opened, require
    from communode.messages import text

    report = Report(as_json)
    with opened(store, existing=True) as memory:
        device = require(memory, dev_eui)
        device.last_dev_nonce = -1
        memory.save_nonces(device)
    report.result({"flushed": [device.dev_eui]})
    report.line(text("network.lns_flushed", dev_eui=device.dev_eui))


@lns.command()
@_dev_eui_option
@click.option("--f-port", type=click.IntRange(1, 223), required=True, help="Application port.")
@click.option("--confirmed", is_flag=True, help="Ask the device for an acknowledgement.")
@click.argument("payload")
@_store_option
@json_option
def send(dev_eui: str, f_port: int, confirmed: bool, payload: str, store: Path, as_json: bool) -> None:
    """Queue PAYLOAD (hex) for a device; it goes out after the device's next uplink.

    Works while `communode lns run` serves the same store.

    \b
    Example: communode lns send --dev-eui 70b3d57ed0001234 --f-port 10 0102ff
    """
    from communode.lns.bench import opened, parse_payload, queue
    from communode.messages import text

    report = Report(as_json)
    data = parse_payload(payload)
    with opened(store, existing=True) as memory:
        eui, item = queue(memory, dev_eui, f_port, data, confirmed)
    report.result({"queued": item, "dev_eui": eui})
    report.line(text("network.lns_queued", dev_eui=eui, length=len(data), f_port=f_port))
