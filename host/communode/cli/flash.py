# SPDX-License-Identifier: MIT
"""``communode flash``: write the image to one or many boards."""

from __future__ import annotations

from pathlib import Path

import click

from communode.cli._options import (
    board_option,
    body_option,
    json_option,
    micropython_option,
    port_option,
    profile_option,
)
from communode.report import Report


@click.command()
@board_option()
@profile_option(default="air")
@port_option(multiple=True)
@body_option
@click.option(
    "--image",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder of `communode build`; without it the image is built.",
)
@micropython_option
@click.option("--factory", is_flag=True, help="Also erase identity, MAC state and records.")
@json_option
def flash(
    board: str,
    profile: str,
    ports: tuple[str, ...],
    body: str,
    image: Path | None,
    micropython: Path | None,
    factory: bool,
    as_json: bool,
) -> int:
    """Write the image to one or many boards at once, and verify it.

    Identity, MAC state and records stay as they are, unless --factory is given.

    \b
    Example: communode flash --board lilygo_t3_v1_6_1 --profile air --port /dev/ttyUSB0
    Example: communode flash --board heltec_ht_ct62 --profile bin --port /dev/ttyUSB0 --port /dev/ttyUSB1
    """
    from communode.boards import load_board
    from communode.build import build, read_build
    from communode.cli._table import watch
    from communode.errors import CommunodeError
    from communode.flash import check_ports, job_for, run_jobs
    from communode.profiles import load_profile

    check_ports(ports)
    wanted = load_board(board)
    if image is not None:
        made = read_build(image)
        found = made.manifest["board"]
        if found != wanted.name:
            raise CommunodeError(
                "flash.other_board", usage=True, folder=image, found=found, expected=wanted.name
            )
    else:
        made = build(wanted, load_profile(profile), body=body, micropython=micropython)
    with watch(Report(as_json), ports) as listener:
        outcomes = run_jobs([job_for(made, port, factory=factory) for port in ports], board, listener)
    return 1 if any(outcome.error for outcome in outcomes) else 0
