# SPDX-License-Identifier: MIT
"""``communode boards``: list the boards."""

from __future__ import annotations

import click

from communode.cli._options import json_option
from communode.report import Report


@click.command()
@json_option
def boards(as_json: bool) -> None:
    """List the boards that can be built for.

    \b
    Example: communode boards
    Example: communode boards --json
    """
    from communode.boards import board_names, describe, load_board

    report = Report(as_json)
    found = [describe(load_board(name)) for name in board_names()]
    report.result({"boards": found})
    width = max(len(board["name"]) for board in found)
    for board in found:
        flash = f"{board['flash_size_mb']} MB"
        report.line(
            f"{board['name']:{width}}  {board['chip']:8} {flash:>5}  {board['radio']:7} {board['title']}"
        )
