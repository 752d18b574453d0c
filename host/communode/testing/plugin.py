# SPDX-License-Identifier: MIT
"""The pytest plugin (entry point ``pytest11``): hardware or a virtual board in the loop.

This module imports pytest only: it is loaded by every pytest run of its environment, and a missing extra
must not break those. What needs more is imported by the fixtures.
"""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin's markers."""
    config.addinivalue_line("markers", "nightly: a long campaign, run by `make nightly`")
