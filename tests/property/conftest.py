# SPDX-License-Identifier: MIT
"""The campaigns' modules stand beside the tests; the node in virtual time is that of the unit tests."""

import sys
from pathlib import Path

_TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(Path(__file__).parent), str(_TESTS / "unit"), str(_TESTS / "powerloss")]
