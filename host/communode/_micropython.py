# SPDX-License-Identifier: MIT
"""What the pure firmware packages need of MicroPython's ``micropython`` module, on CPython."""

from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")
_F = TypeVar("_F", bound=Callable[..., Any])


def const(value: _T) -> _T:
    """Return the value: on the device the compiler folds it instead."""
    return value


def native(function: _F) -> _F:
    """Return the function: native code exists on the device only."""
    return function


def viper(function: _F) -> _F:
    """Return the function: viper code exists on the device only (each kernel has a Python reference)."""
    return function
