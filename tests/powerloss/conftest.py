# SPDX-License-Identifier: MIT
"""The campaigns' modules stand beside the tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner collects garbage before each window: here that is pytest's own, and takes 20 ms."""
    monkeypatch.setattr("communode.node.lorawan.runner.gc.collect", lambda: 0)
