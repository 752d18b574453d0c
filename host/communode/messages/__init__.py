# SPDX-License-Identifier: MIT
"""The message catalogue: every text that a person sees, in English and French.

One TOML file an area beside this module; a key holds ``en`` and ``fr`` with ``str.format`` fields.
The language is that of ``COMMUNODE_LANG``, else of the locale, else English.
"""

from __future__ import annotations

import os
import tomllib
from functools import cache
from importlib import resources
from typing import Any

LANGUAGES = ("en", "fr")


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """All messages: ``{"area.key": {"en": ..., "fr": ...}}``; a key given twice raises ValueError."""
    found: dict[str, dict[str, str]] = {}
    for entry in sorted(resources.files(__name__).iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".toml"):
            _collect(tomllib.loads(entry.read_text("utf-8")), "", found)
    return found


def _collect(table: dict[str, Any], prefix: str, found: dict[str, dict[str, str]]) -> None:
    if "en" in table and isinstance(table["en"], str):
        if prefix in found:
            raise ValueError(f"message {prefix} is defined twice")
        found[prefix] = table
        return
    for key, value in table.items():
        _collect(value, f"{prefix}.{key}" if prefix else key, found)


def language() -> str:
    """The user's language, ``en`` or ``fr``."""
    for name in ("COMMUNODE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name)
        if value:
            return "fr" if value.lower().startswith("fr") else "en"
    return "en"


def text(key: str, /, **values: Any) -> str:
    """The text of ``key`` in the user's language; KeyError for a key that the catalogue lacks."""
    return catalogue()[key][language()].format(**values)
