# SPDX-License-Identifier: MIT
"""``communode provision``: give boards their identity and keys."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from communode.cli._fleet import keys_options
from communode.cli._options import board_option, body_option, json_option, port_option
from communode.fleet.place import Place
from communode.report import Report


@click.command()
@board_option(required=False)
@port_option(multiple=True)
@click.option("--batch", type=click.Path(path_type=Path, dir_okay=False), help="A batch file; see below.")
@click.option("--flash", is_flag=True, help="With --batch: also write the image of its profile.")
@body_option
@click.option(
    "--image", type=click.Path(path_type=Path, file_okay=False), help="With --batch: write this image."
)
@click.option("--restore", is_flag=True, help="With --batch: give an erased board its identity again.")
@click.option("--join-eui", default="0" * 16, show_default=True, help="JoinEUI, 16 hex digits.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="New file for the keys.")
@click.option("--replace", is_flag=True, help="Overwrite the identity that a board has.")
@keys_options
@json_option
def provision(
    board: str | None,
    ports: tuple[str, ...],
    join_eui: str,
    out: Path | None,
    replace: bool,
    as_json: bool,
    place: Place,
    **of_batch: Any,
) -> int:
    """Give boards their identity: DevEUI from the MAC address, new random keys.

    Keys are shown nowhere; --out writes them to a file that only you can read, and the register remembers
    that it did.

    With --batch, nodes are drawn, registered at the network server, written, seen to join and labelled as
    the batch file says, and kept in the fleet's register, their keys in its vault. A run that was
    interrupted, or a board that failed, goes on when the same command is run again.

    \b
    Example: communode provision --board lilygo_t3_v1_6_1 --port /dev/ttyUSB0 --out keys.json
    Example: communode provision --batch lot-7.toml --port /dev/ttyUSB0 --port /dev/ttyUSB1
    """
    file: Path | None = of_batch.pop("batch")
    if file is not None:
        from communode.cli._batch import provision_batch

        return provision_batch(file, ports, place, Report(as_json), replace=replace, **of_batch)
    if board is None:
        raise click.UsageError("Give either --board or --batch.")
    from communode.boards import load_board
    from communode.cli._table import watch
    from communode.flash import check_ports
    from communode.identity import parse_eui
    from communode.messages import text
    from communode.provision import KeysFile, provision_ports

    check_ports(ports)
    wanted, eui = load_board(board), parse_eui(join_eui)
    report = Report(as_json)
    with ExitStack() as stack:
        keys_file = None
        if out is not None:
            note = stack.enter_context(place.register()).note_export
            keys_file = KeysFile(out, lambda dev_eui: note(dev_eui.hex(), out))
        listener = stack.enter_context(watch(report))
        done = provision_ports(
            ports, wanted, join_eui=eui, replace=replace, keys_file=keys_file, listener=listener
        )
    for item in done:
        if item.identity:
            dev_eui = item.identity.dev_eui.hex()
            report.event("provisioned", port=item.outcome.port, board=board, dev_eui=dev_eui)
            report.line(f"{item.outcome.port}: DevEUI {dev_eui}")
    if out is None and any(item.identity for item in done):
        report.note(text("provision.keys_in_board_only"))
    return 1 if any(item.outcome.error for item in done) else 0
