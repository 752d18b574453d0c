# SPDX-License-Identifier: MIT
"""What a node's console says, understood: the kind of a line, its figures, and where an error comes from.

Pure but for reading sources. What is not a line of the node's program is of kind ``other``. A traceback names
compiled modules, whose line numbers are those of the sources: the source line is told too, and marked where
the node runs another version than the one that is installed here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from communode import __version__, resources

KINDS = ("start", "record", "join", "send", "downlink", "error", "source", "boot", "other")

_FIGURE = re.compile(r"(\w+)=(-?\d+(?:\.\.-?\d+)?)")
_FRAME = re.compile(r'\s*File "(?P<file>[^"]+)", line (?P<line>\d+)(?:, in (?P<function>.+))?$')
_ERROR = re.compile(r"^(?P<name>[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit))(?::|$)")
_STARTS = (
    ("communode ", "start"),
    ("starting;", "start"),
    ("not provisioned", "error"),
    ("too many failed starts", "error"),
    ("record ", "record"),
    ("join ", "join"),
    ("send ", "send"),
    ("downlink ", "downlink"),
    ("command ", "downlink"),
    ("Traceback ", "error"),
    ("rst:", "boot"),
    ("ets ", "boot"),
    ("ESP-ROM:", "boot"),
    ("MPY: soft reboot", "boot"),
    ("MicroPython v", "boot"),
)


@dataclass(frozen=True)
class Line:
    """One line: its text without control characters, its kind, and the figures that stand in it."""

    text: str
    kind: str
    figures: dict[str, str] = field(default_factory=dict)


def clean(data: bytes) -> str:
    """The text of a line; control characters that would steer the terminal are taken out."""
    words = data.decode("utf-8", "replace").rstrip("\r")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in words)


def kind_of(words: str) -> str:
    """The kind of a line, one of `KINDS`."""
    for start, kind in _STARTS:
        if words.startswith(start):
            return kind
    return "error" if _ERROR.match(words) or _FRAME.match(words) else "other"


class Decoder:
    """Turns a console's lines into `Line`s, following which version the node says it runs."""

    def __init__(self, source_of: Callable[[str], list[str] | None] | None = None) -> None:
        self._source_of = source_of or source_lines
        self._version: str | None = None

    def take(self, data: bytes) -> list[Line]:
        """The line itself, and after a line of a traceback what stands in the source there."""
        words = clean(data)
        kind = kind_of(words)
        if kind == "start" and words.startswith("communode "):
            self._version = words.split()[1]
        lines = [Line(words, kind, dict(_FIGURE.findall(words)))]
        frame = _FRAME.match(words)
        if frame:
            source = self._resolve(frame["file"], int(frame["line"]))
            if source is not None:
                lines.append(Line(f"      {source}", "source"))
        return lines

    def _resolve(self, file: str, number: int) -> str | None:
        lines = self._source_of(file)
        if lines is None or not 0 < number <= len(lines):
            return None
        words = lines[number - 1].strip()
        if self._version not in (None, __version__):
            return f"{words}   # {__version__}; the node runs {self._version}"
        return words


def source_lines(file: str) -> list[str] | None:
    """The lines of the source of a device file by its name in tracebacks (``node/app/cycle.py``)."""
    path = Path(file.lstrip("/"))
    if ".." in path.parts:
        return None
    if path.parts[:1] == ("node",):
        found = resources.node_folder().joinpath(*path.parts[1:])
    elif len(path.parts) == 1:
        found = resources.firmware_folder() / path.name
    else:
        return None
    try:
        return found.read_text("utf-8").splitlines()
    except OSError:
        return None
