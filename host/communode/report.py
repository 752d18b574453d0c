# SPDX-License-Identifier: MIT
"""What a command says: one JSON object, a stream of them, or words for people.

With ``--json`` nothing but JSON goes to stdout; words for people go to stderr in both modes, so that a pipe
gets data only. Failures look the same whatever the command.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from communode.errors import CommunodeError


class Report:
    """The voice of one command."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def result(self, values: dict[str, Any]) -> None:
        """The answer of a command that reports once (``--json`` only)."""
        if self.as_json:
            _print({"schema": 1, **values})

    def event(self, event: str, **values: Any) -> None:
        """One object of a stream (``--json`` only)."""
        if self.as_json:
            _print({"event": event, **values})

    def line(self, text: str) -> None:
        """A line of the answer, for people (without ``--json`` only)."""
        if not self.as_json:
            print(text, flush=True)

    def note(self, text: str) -> None:
        """Something to know that is not the answer: on stderr in both modes."""
        print(text, file=sys.stderr, flush=True)


def _print(values: dict[str, Any]) -> None:
    print(json.dumps(values, ensure_ascii=False), flush=True)


def print_failure(error: CommunodeError, as_json: bool) -> int:
    """Print ``error`` as the interface says; return the exit status."""
    if as_json:
        _print(error.as_json())
    else:
        print(f"communode: {error.message} {error.remedy}", file=sys.stderr, flush=True)
    return 2 if error.usage else 1
