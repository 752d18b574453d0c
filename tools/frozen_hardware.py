#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The module ``hardware`` of a board and a profile, for a frozen build (boards/README.md).

frozen_hardware.py BOARD PROFILE [REGION]    writes build/frozen/hardware.py, which boards/manifest.py freezes
"""

from __future__ import annotations

import sys
from pathlib import Path

from communode.boards import load_board
from communode.build import check_fit, hardware_source
from communode.errors import CommunodeError
from communode.profiles import load_profile

FILE = Path(__file__).resolve().parent.parent / "build" / "frozen" / "hardware.py"


def main(arguments: list[str]) -> int:
    """Write the file; 2 for wrong usage."""
    if len(arguments) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    board_name, profile_name, region = [*arguments, "eu868"][:3]
    try:
        board, profile = load_board(board_name), load_profile(profile_name)
        check_fit(board, profile)
    except CommunodeError as error:
        print(error, file=sys.stderr)
        return 2
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(hardware_source(board, profile, region), "utf-8")
    print(FILE)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
