# SPDX-License-Identifier: MIT
"""``communode completion``: print the completion script of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    Example: communode completion bash >> ~/.bashrc
    """
    writer = get_completion_class(shell)
    assert writer is not None
    click.echo(writer(ctx.find_root().command, {}, "communode", "_COMMUNODE_COMPLETE").source())
