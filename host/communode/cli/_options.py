# SPDX-License-Identifier: MIT
"""Options that several verbs share, with their shell completion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from communode.report import Report
    from communode.tray import Tray

_F = TypeVar("_F", bound=Callable[..., Any])


def _complete_board(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from communode.boards import board_names

    return [CompletionItem(name) for name in board_names() if name.startswith(incomplete)]


def _complete_profile(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from communode.profiles import profile_names

    return [CompletionItem(name) for name in profile_names() if name.startswith(incomplete)]


def _complete_port(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from communode.link.ports import list_ports

    found = [
        CompletionItem(port.name, help=port.title)
        for port in list_ports()
        if port.name.startswith(incomplete)
    ]
    return found or [CompletionItem(incomplete, type="file")]


def json_option(function: _F) -> _F:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON only.")(function)


def board_option(required: bool = True) -> Callable[[_F], _F]:
    """``--board``."""
    return click.option(
        "--board", required=required, shell_complete=_complete_board, help="A board of `communode boards`."
    )


def profile_option(required: bool = False, default: str | None = None) -> Callable[[_F], _F]:
    """``--profile``."""
    return click.option(
        "--profile",
        required=required,
        default=default,
        show_default=default is not None,
        shell_complete=_complete_profile,
        help="What the node measures: air, water, bin ...",
    )


def port_option(multiple: bool = False, required: bool = True) -> Callable[[_F], _F]:
    """``--port``, once or several times."""
    return click.option(
        "--port",
        "ports" if multiple else "port",
        multiple=multiple,
        required=required,
        shell_complete=_complete_port,
        help="A serial port; repeat for several boards." if multiple else "The board's serial port.",
    )


def tray_options(function: _F) -> _F:
    """``--watch``, ``--ports-in`` and ``--count``: boards as they are plugged in. See `on_bench`."""
    options = (
        click.option("--watch", is_flag=True, help="Take every board that is or gets plugged in."),
        click.option(
            "--ports-in",
            type=click.Path(path_type=Path, file_okay=False),
            help="With --watch: only ports with a link in this folder, say /dev/serial/by-path.",
        ),
        click.option(
            "--count", type=click.IntRange(min=1), help="With --watch: stop after so many good boards."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def on_bench(
    tray: Tray, ports: tuple[str, ...], watch: bool, ports_in: Path | None, count: int | None, report: Report
) -> int:
    """Run a tray as the options of `tray_options` say; the exit status."""
    from communode.link.sources import FolderPorts, SystemPorts
    from communode.messages import text

    if not watch:
        outcomes = tray.run(ports)
        return 1 if any(outcome.error for outcome in outcomes) else 0
    report.note(text("tray.watching"))
    outcomes = tray.watch(FolderPorts(ports_in) if ports_in else SystemPorts(), count=count)
    return 1 if any(outcome.error for outcome in outcomes) else 0


def check_bench(ports: tuple[str, ...], watch: bool, ports_in: Path | None, count: int | None) -> None:
    """`click.UsageError` unless there is either a list of ports or a bench to watch."""
    if bool(ports) == watch:
        raise click.UsageError("Give either --port, once or several times, or --watch.")
    if not watch and (ports_in is not None or count is not None):
        raise click.UsageError("--ports-in and --count go with --watch.")


def body_option(function: _F) -> _F:
    """``--body``."""
    return click.option(
        "--body",
        type=click.Choice(["device", "virtual"]),
        default="device",
        show_default=True,
        help="For a device, or for the virtual board on this computer.",
    )(function)


def micropython_option(function: _F) -> _F:
    """``--micropython``."""
    return click.option(
        "--micropython",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The official MicroPython image, if it is on this computer.",
    )(function)
