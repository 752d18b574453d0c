# SPDX-License-Identifier: MIT
"""What the gateway and the shared air ask of whoever runs time: the kernel, or a fake in tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Timeline(Protocol):
    """World time and events on it; everything runs on one thread."""

    def now_us(self) -> int:
        """World time in microseconds; never goes back."""

    def call_at(self, time_us: int, function: Callable[[], None]) -> None:
        """Run ``function`` at a later world time (at once when ``time_us`` has passed)."""
