# SPDX-License-Identifier: MIT
"""The words by which nodes are found: what the index holds of a node, and what it is asked for."""

from __future__ import annotations

from typing import Any

_NAMED = ("name", "site", "tenant", "batch", "serial", "profile", "board", "network", "state")
_ENDS = (4, 6, 8)  # of an EUI or MAC address, as people read labels


def text_of(node: dict[str, Any]) -> str:
    """What the index holds of a node."""
    text = [str(node[name]) for name in _NAMED if node[name]]
    for eui in (node["dev_eui"], node["mac"] or ""):
        text += [eui, *(eui[-length:] for length in _ENDS if eui)]
    return " ".join(text)


def terms_of(words: str) -> list[str]:
    """What to look for, quoted against the index's own syntax; EUIs lose their separators."""
    found = []
    for word in words.split():
        bare = word.replace(":", "")
        hexadecimal = all(letter in "0123456789abcdefABCDEF" for letter in bare)
        term = (bare if hexadecimal else word).replace('"', " ").strip()
        if any(letter.isalnum() for letter in term):
            found.append(term)
    return found
