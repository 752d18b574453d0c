# SPDX-License-Identifier: MIT
"""Virtual boards: the hardware, where there is none. `VirtualBoard` is the whole in one object."""

from __future__ import annotations

from typing import Any

__all__ = ["VirtualBoard"]


def __getattr__(name: str) -> Any:
    if name == "VirtualBoard":
        from communode.virtual.virtual_board import VirtualBoard

        return VirtualBoard
    raise AttributeError(name)
