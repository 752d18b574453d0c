# SPDX-License-Identifier: MIT
"""The image that a verb is to write: of a folder, or built now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from communode.build import Build


def image_for(board: str, profile: str, body: str, folder: Path | None, micropython: Path | None) -> Build:
    """The image in ``folder``, which must be for ``board`` (``flash.other_board``), or a new one."""
    from communode.boards import load_board
    from communode.build import build, read_build
    from communode.errors import CommunodeError
    from communode.profiles import load_profile

    wanted = load_board(board)
    if folder is None:
        return build(wanted, load_profile(profile), body=body, micropython=micropython)
    made = read_build(folder)
    found = made.manifest["board"]
    if found != wanted.name:
        raise CommunodeError(
            "flash.other_board", usage=True, folder=folder, found=found, expected=wanted.name
        )
    return made
