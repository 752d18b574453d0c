# SPDX-License-Identifier: MIT
"""The fleet register: which node is where, on which hardware, with what history. It holds no key."""
