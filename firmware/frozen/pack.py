# SPDX-License-Identifier: MIT
# Frozen in place of ../pack.py: frozen code is in no pack.


def mount() -> None:
    """Nothing to do."""
