# SPDX-License-Identifier: MIT
"""The campaigns' modules stand beside the tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
