# SPDX-License-Identifier: MIT
"""``communode virtual``: virtual boards at serial ports."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from communode.cli._options import board_option, profile_option

if TYPE_CHECKING:
    from communode.virtual.kernel import RealtimeKernel


def _address(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, int] | None:
    if value is None:
        return None
    host, _, port = value.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter(f"{value!r} is not HOST:PORT", context, parameter)
    return host.strip("[]"), int(port)


@click.group()
def virtual() -> None:
    """Virtual boards: the hardware, where there is none.

    \b
    Example: communode virtual run --board virtual --profile air --link /tmp/board1
    """


@virtual.command()
@board_option()
@profile_option(default="air")
@click.option("--serial", type=click.Choice(["pty", "rfc2217", "socket"]), default="pty", show_default=True)
@click.option("--link", type=click.Path(path_type=Path), help="Symbolic link to make to the pty.")
@click.option("--flash", type=click.Path(path_type=Path), help="Flash file; made when it is not there.")
@click.option("--mac", help="MAC address; one of the virtual boards' own range without it.")
@click.option("--air", callback=_address, metavar="HOST:PORT", help="Air that is shared with other boards.")
@click.option(
    "--gateway", callback=_address, metavar="HOST:PORT", help="Network server for a gateway on this air."
)
@click.option("--world", type=click.Path(path_type=Path, exists=True), help="What there is to be measured.")
def run(**options: Any) -> None:
    """One virtual board in real time, until it is stopped with SIGTERM or Ctrl-C.

    Prints one JSON object when it is ready: port, flash, board, mac.

    \b
    Example: communode virtual run --board heltec_ht_ct62 --profile bin --serial rfc2217
    """
    from communode.virtual.processor import find_unix_port
    from communode.virtual.virtual_board import StationOptions, run_board

    find_unix_port()

    def ready(facts: dict[str, str], kernel: RealtimeKernel) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: kernel.stop())
        print(json.dumps(facts))
        sys.stdout.flush()

    run_board(StationOptions(**options), ready)  # its fields are the options' names
