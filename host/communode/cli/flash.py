# SPDX-License-Identifier: MIT
"""``communode flash``: write the image to one or many boards."""

from __future__ import annotations

from pathlib import Path

import click

from communode.cli._options import (
    board_option,
    body_option,
    check_bench,
    json_option,
    micropython_option,
    on_bench,
    port_option,
    profile_option,
    tray_options,
)
from communode.report import Report


@click.command()
@board_option()
@profile_option(default="air")
@port_option(multiple=True, required=False)
@tray_options
@body_option
@click.option(
    "--image",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder of `communode build`; without it the image is built.",
)
@micropython_option
@click.option("--factory", is_flag=True, help="Also erase identity, MAC state and records.")
@click.option(
    "--batch-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for one record a board and a log of verdicts.",
)
@json_option
def flash(
    board: str,
    profile: str,
    ports: tuple[str, ...],
    watch: bool,
    ports_in: Path | None,
    count: int | None,
    body: str,
    image: Path | None,
    micropython: Path | None,
    factory: bool,
    batch_dir: Path | None,
    as_json: bool,
) -> int:
    """Write the image to one or many boards at once, and verify it.

    What a board holds already is not written again. Identity, MAC state and records stay as they are, unless
    --factory is given.

    \b
    Example: communode flash --board lilygo_t3_v1_6_1 --profile air --port /dev/ttyUSB0
    Example: communode flash --board heltec_ht_ct62 --profile bin --port /dev/ttyUSB0 --port /dev/ttyUSB1
    Example: communode flash --board heltec_ht_ct62 --profile bin --watch --batch-dir batch7
    """
    from communode.batch_folder import BatchFolder
    from communode.boards import load_board
    from communode.cli._image import image_for
    from communode.cli._table import watch as show
    from communode.flash import check_ports
    from communode.fleet.flashed import noting
    from communode.fleet.place import fleet_folder
    from communode.tray import Tray

    check_bench(ports, watch, ports_in, count)
    check_ports(ports)
    made = image_for(board, profile, body, image, micropython)
    report = Report(as_json)
    register, version = fleet_folder() / "fleet.sqlite", str(made.manifest["version"])
    with show(report) as listener, noting(register, listener, version) as noted:
        tray = Tray(load_board(board), made, BatchFolder(batch_dir), noted, factory=factory)
        return on_bench(tray, ports, watch, ports_in, count, report)
