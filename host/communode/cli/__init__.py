# SPDX-License-Identifier: MIT
"""The command line: ``communode VERB``. Parsing only; each verb is a file here and calls the library.

A verb is a module of this package without a leading underscore that holds a click command of its own name;
its one-line summary is ``cli.verb.<name>`` in the message catalogue. Modules are imported when their verb is
called: ``communode --help`` must not pay for pyserial or rich.

Exit status: 0 done, 1 failed, 2 wrong usage or unreadable input, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from communode import __version__
from communode.errors import CommunodeError
from communode.messages import text
from communode.report import print_failure

_FOLDER = Path(__file__).resolve().parent
_SUMMARY_INDENT = 2


class VerbGroup(click.Group):
    """A group whose commands are found as files and imported one at a time."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in alphabetical order."""
        return sorted(path.stem for path in _FOLDER.glob("*.py") if not path.stem.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The click command of one verb, or None for an unknown verb."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"communode.cli.{cmd_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command), f"communode.cli.{cmd_name} holds no command {cmd_name}"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs with their summaries from the catalogue, importing none of them."""
        rows = [(name, text(f"cli.verb.{name}")) for name in self.list_commands(ctx)]
        with formatter.section(text("cli.commands")):
            formatter.write_dl(rows, col_spacing=_SUMMARY_INDENT)


@click.command(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="communode")
def root() -> None:
    """Build, flash, provision, test and read municipal LoRaWAN sensor nodes.

    \b
    Example: communode flash --board virtual --profile air --port /dev/ttyUSB0
    Example: communode demo
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    sys.exit(run(arguments))


def run(arguments: list[str]) -> int:
    """Run the command line; return its exit status. Errors are printed as the interface says."""
    as_json = "--json" in arguments
    try:
        outcome: Any = root.main(arguments, prog_name="communode", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except CommunodeError as error:
        return print_failure(error, as_json)
    except click.UsageError as error:
        return _usage_failure(error, as_json)
    except click.ClickException as error:
        failure = CommunodeError("cli.failed", reason=error.format_message())
        return print_failure(failure, as_json)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nobody is left to tell, and closing stdout must work.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        failure = CommunodeError("cli.os", path=error.filename or "", reason=error.strerror or str(error))
        return print_failure(failure, as_json)


def _usage_failure(error: click.UsageError, as_json: bool) -> int:
    """Wrong usage: click's own sentence, and where the help is."""
    command = error.ctx.command_path if error.ctx else "communode"
    failure = CommunodeError("cli.usage", usage=True, reason=error.format_message(), command=command)
    return print_failure(failure, as_json)
