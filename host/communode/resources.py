# SPDX-License-Identifier: MIT
"""Where the files that are not Python modules lie: in a checkout, or inside the installed wheel.

In a checkout they are at the top (``boards/``, ``firmware/``); a wheel carries them as ``communode/_data``.
The firmware package itself is ``communode/node`` in both: a symlink in the checkout, a copy in the wheel.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


@cache
def data_root() -> Path:
    """The folder that holds ``boards`` and ``firmware``."""
    wheel = _PACKAGE / "_data"
    return wheel if wheel.is_dir() else _PACKAGE.parent.parent


def boards_folder() -> Path:
    """The folder with one folder a board."""
    return data_root() / "boards"


def profiles_folder() -> Path:
    """The folder with one TOML file a profile."""
    return data_root() / "firmware" / "profiles"


def firmware_folder() -> Path:
    """The folder with ``boot.py`` and ``main.py``."""
    return data_root() / "firmware"


def node_folder() -> Path:
    """The firmware package, as sources."""
    return _PACKAGE / "node"
