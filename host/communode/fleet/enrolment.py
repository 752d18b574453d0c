# SPDX-License-Identifier: MIT
"""Boards that a tray made into nodes, entered into the register from the records of their batch folder.

Done again after each run: a node that the register has is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from communode.batch_folder import BoardRecord
from communode.fleet.register import NewNode, Register
from communode.tray import Keys, node_name


def enrol(register: Register, keys: Keys, records: Sequence[BoardRecord], batch: str) -> list[str]:
    """Enter the nodes of ``records`` that hold their identity; the DevEUIs that are new to the register."""
    fresh = []
    for record in records:
        if "identified" not in record.steps or not record.dev_eui or not record.join_eui:
            continue
        if register.find_node(record.dev_eui) is not None:
            continue
        node = NewNode(
            record.dev_eui,
            record.join_eui,
            node_name(record),
            record.profile or "",
            record.board,
            record.mac.replace(":", ""),
            batch=batch,
        )
        done = record.verdict == "good"
        generation = keys.generation(record.dev_eui)
        register.add_node(node, key_generation=generation, state="provisioned" if done else "drawn")
        if record.version:
            register.note_firmware(node.mac, record.version)
        fresh.append(record.dev_eui)
    return fresh
