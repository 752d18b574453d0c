# SPDX-License-Identifier: MIT
"""``communode provision``: give boards their identity and keys."""

from __future__ import annotations

from pathlib import Path

import click

from communode.cli._options import board_option, json_option, port_option
from communode.report import Report


@click.command()
@board_option()
@port_option(multiple=True)
@click.option("--join-eui", default="0" * 16, show_default=True, help="JoinEUI, 16 hex digits.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="New file for the keys.")
@click.option("--replace", is_flag=True, help="Overwrite the identity that a board has.")
@json_option
def provision(
    board: str, ports: tuple[str, ...], join_eui: str, out: Path | None, replace: bool, as_json: bool
) -> int:
    """Give boards their identity: DevEUI from the MAC address, new random keys.

    Keys are shown nowhere; --out writes them to a file that only you can read.

    \b
    Example: communode provision --board lilygo_t3_v1_6_1 --port /dev/ttyUSB0 --out keys.json
    """
    from communode.boards import load_board
    from communode.cli._table import watch
    from communode.flash import check_ports
    from communode.identity import parse_eui
    from communode.messages import text
    from communode.provision import KeysFile, provision_ports

    check_ports(ports)
    wanted, eui = load_board(board), parse_eui(join_eui)
    keys_file = KeysFile(out) if out else None
    report = Report(as_json)
    with watch(report) as listener:
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
