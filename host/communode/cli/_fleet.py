# SPDX-License-Identifier: MIT
"""What the verbs about the fleet share: its folder, and what opens its vault."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

_F = TypeVar("_F", bound=Callable[..., Any])


def _ask() -> str:
    from communode.messages import text

    return str(click.prompt(text("vault.ask_passphrase"), hide_input=True, err=True))


def fleet_option(function: _F) -> _F:
    """``--fleet``; the function gets a `communode.fleet.place.Place` as ``place``."""
    return _with_place(function, keys=False)


def keys_options(function: _F) -> _F:
    """``--fleet``, ``--passphrase-file`` and ``--age-identity``; as `fleet_option`."""
    return _with_place(function, keys=True)


def _with_place(function: _F, keys: bool) -> _F:
    @functools.wraps(function)
    def with_place(*args: Any, fleet: Path | None, **options: Any) -> Any:
        from communode.fleet.place import Place, fleet_folder

        opened_by = {
            name: options.pop(name) for name in ("passphrase_file", "age_identity") if name in options
        }
        ask = _ask if sys.stdin.isatty() else None
        return function(*args, place=Place(fleet or fleet_folder(), ask=ask, **opened_by), **options)

    made: Any = with_place
    if keys:
        file = click.Path(path_type=Path, dir_okay=False)
        made = click.option("--age-identity", type=file, help="An age identity that opens the vault.")(made)
        made = click.option(
            "--passphrase-file", type=file, help="A file only you can read, with the vault's passphrase."
        )(made)
    folder = click.Path(path_type=Path, file_okay=False)
    option = click.option("--fleet", type=folder, help="The register's folder (COMMUNODE_FLEET).")
    return option(made)  # type: ignore[no-any-return]


def complete_node(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """DevEUIs of the register, with the node's name."""
    from communode.fleet.place import fleet_folder
    from communode.fleet.register import Register

    path = (ctx.params.get("fleet") or fleet_folder()) / "fleet.sqlite"
    if not path.exists():
        return []
    with Register(path) as register:
        return [
            CompletionItem(node["dev_eui"], help=node["name"])
            for node in register.nodes()
            if node["dev_eui"].startswith(incomplete.lower())
        ]
