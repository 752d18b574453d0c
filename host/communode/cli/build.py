# SPDX-License-Identifier: MIT
"""``communode build``: build the image of a board and profile."""

from __future__ import annotations

from pathlib import Path

import click

from communode.cli._options import board_option, body_option, json_option, micropython_option, profile_option
from communode.report import Report


@click.command()
@board_option()
@profile_option(default="air")
@body_option
@click.option("--region", default="eu868", show_default=True, help="LoRaWAN region.")
@micropython_option
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write to."
)
@json_option
def build(
    board: str, profile: str, body: str, region: str, micropython: Path | None, out: Path, as_json: bool
) -> None:
    """Build the image of a board and profile. It holds no identity.

    \b
    Example: communode build --board heltec_wifi_lora_32_v3 --profile water --out build/water
    """
    from communode import build as builder
    from communode.boards import load_board
    from communode.profiles import load_profile

    made = builder.build(
        load_board(board), load_profile(profile), body=body, region=region, micropython=micropython
    )
    made.write(out)
    report = Report(as_json)
    report.result(made.manifest)
    for item in made.regions:
        report.line(f"{item.offset:#09x} {len(item.data):>9}  {out / item.file}")
