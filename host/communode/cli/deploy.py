# SPDX-License-Identifier: MIT
"""``communode deploy``: bring the code of a running board up to date."""

from __future__ import annotations

import click

from communode.cli._options import board_option, body_option, json_option, port_option, profile_option
from communode.report import Report


@click.command()
@port_option()
@board_option(required=False)
@profile_option()
@body_option
@click.option(
    "--via",
    type=click.Choice(["repl", "image", "mpremote", "ampy"]),
    default="repl",
    show_default=True,
    help="How the code gets there.",
)
@click.option("--region", default="eu868", show_default=True, help="LoRaWAN region.")
@json_option
def deploy(
    port: str, board: str | None, profile: str | None, body: str, via: str, region: str, as_json: bool
) -> int:
    """Bring the code of a board up to date: only files that differ, compared by hash.

    Without --board and --profile the board is asked what it is.

    \b
    Example: communode deploy --port /dev/ttyUSB0
    Example: communode deploy --port /dev/ttyUSB0 --board virtual --profile air --via image
    """
    from communode import deploy as deployer
    from communode.boards import load_board
    from communode.build import VIRTUAL_ARCH, app_files, build
    from communode.cli._table import watch
    from communode.flash import job_for, run_jobs
    from communode.messages import text
    from communode.profiles import load_profile

    report = Report(as_json)
    if board is None or profile is None:
        found = deployer.ask_what_it_is(port)
        board, profile, body = board or found.board, profile or found.profile, found.body
    wanted, plan = load_board(board), load_profile(profile)
    if via == "image":
        made = build(wanted, plan, body=body, region=region)
        with watch(report) as listener:
            (outcome,) = run_jobs([job_for(made, port, regions=["vfs"])], board, listener)
        return 1 if outcome.error else 0
    files = app_files(wanted, plan, region, wanted.arch if body == "device" else VIRTUAL_ARCH)

    def tell(path: str, pct: int) -> None:
        report.event("deploy", port=port, board=board, file=path, pct=pct)
        report.line(f"{pct:3} % {path}")

    difference = deployer.deploy(port, files, via=via, tell=tell)
    written, removed = len(difference.write), len(difference.remove)
    counts = {"written": written, "removed": removed, "same": len(files) - written}
    report.event("deployed", port=port, board=board, **counts)
    report.line(text("deploy.done", **counts))
    return 0
