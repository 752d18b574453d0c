# SPDX-License-Identifier: MIT
"""Strict reading of TOML: every key is asked for by name and kind, and what was not asked for is an error.

Not a schema language: a reader of five kinds of value whose errors name the file and the key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from communode.errors import CommunodeError


class Table:
    """A table of a TOML file. Each getter raises ``toml.*`` (exit status 2) with file and key."""

    def __init__(self, file: Path, values: dict[str, Any], prefix: str = "") -> None:
        self.file = file
        self._values = values
        self._prefix = prefix
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def path(self, key: str) -> str:
        """The key as written from the top of the file, say ``radio.sck``."""
        return f"{self._prefix}.{key}" if self._prefix else key

    def wrong(self, key: str, expected: str) -> CommunodeError:
        """The error for a value that is not ``expected``."""
        found = repr(self._values.get(key))
        return CommunodeError(
            "toml.wrong_value", usage=True, file=self.file, key=self.path(key), expected=expected, found=found
        )

    def _get(self, key: str) -> Any:
        self._asked.add(key)
        if key not in self._values:
            raise CommunodeError("toml.missing", usage=True, file=self.file, key=self.path(key))
        return self._values[key]

    def text(self, key: str) -> str:
        """A string that is not empty."""
        value = self._get(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text")
        return value

    def choice(self, key: str, allowed: Collection[str]) -> str:
        """One of ``allowed``."""
        value = self._get(key)
        if value not in allowed:
            raise self.wrong(key, " | ".join(allowed))
        return str(value)

    def flag(self, key: str) -> bool:
        """true or false."""
        value = self._get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true | false")
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number in ``low..high``."""
        value = self._get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"{low} ... {high}")
        return value

    def integers(self, key: str, allowed: Collection[int], what: str) -> list[int]:
        """A list of whole numbers out of ``allowed``; ``what`` says what they are."""
        value = self._get(key)
        good = isinstance(value, list) and all(type(item) is int and item in allowed for item in value)
        if not good or len(set(value)) != len(value):
            raise self.wrong(key, f"[{what}: {', '.join(map(str, sorted(allowed)))}]")
        return list(value)

    def number(self, key: str, low: float, high: float) -> float:
        """A number in ``low..high``."""
        value = self._get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"{low} ... {high}")
        return float(value)

    def table(self, key: str) -> Table:
        """A table under ``key``."""
        value = self._get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, f"[{self.path(key)}]")
        return Table(self.file, value, self.path(key))

    def tables(self, key: str) -> Iterator[tuple[str, Table]]:
        """All tables under ``key``, in the order of the file; none when the key is absent."""
        if key not in self._values:
            return
        parent = self.table(key)
        for name in parent._values:
            yield name, parent.table(name)

    def finish(self) -> None:
        """Raise ``toml.unknown_key`` if the file says more than was asked."""
        unknown = [key for key in self._values if key not in self._asked]
        if unknown:
            known = ", ".join(sorted(self._asked))
            raise CommunodeError(
                "toml.unknown_key", usage=True, file=self.file, key=self.path(unknown[0]), known=known
            )


def read_toml(path: Path) -> Table:
    """The top table of ``path``."""
    try:
        return Table(path, tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise CommunodeError(
            "toml.unreadable", usage=True, file=path, reason=error.strerror or error
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommunodeError("toml.syntax", usage=True, file=path, reason=error) from None
