# SPDX-License-Identifier: MIT
"""The import file of The Things Stack: the way in where the API is not open to us.

It holds AppKeys, for that is its purpose: mode 0600, written only where a batch names it, and its writing is
an event in the register. Remove it once it was imported.

Source: The Things Stack documentation, "CSV File Reference" (semicolons, header row, the columns below).
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from communode.errors import CommunodeError
from communode.network.registration import NetworkDevice
from communode.network.things_stack import (
    FREQUENCY_PLAN,
    LORAWAN_PHY_VERSION,
    LORAWAN_VERSION,
    device_id,
)
from communode.vault_locks import read_private

COLUMNS = (
    "id",
    "dev_eui",
    "join_eui",
    "name",
    "frequency_plan_id",
    "lorawan_version",
    "lorawan_phy_version",
    "app_key",
    "supports_32_bit_f_cnt",
)


class ThingsStackFile:
    """See `communode.network.registration.NetworkServer`; joins are not seen."""

    sees_joins = False

    def __init__(self, file: Path, frequency_plan: str = FREQUENCY_PLAN) -> None:
        self.name = str(file)
        self._file = file
        self._frequency_plan = frequency_plan

    def register(self, device: NetworkDevice, *, renew: bool = False) -> str:
        """Add a line, or change the device's line. See `communode.network.registration.NetworkServer`."""
        lines = self._read()
        dev_eui = device.dev_eui.hex().upper()
        line = {
            "id": device_id(device.dev_eui.hex()),
            "dev_eui": dev_eui,
            "join_eui": device.join_eui.hex().upper(),
            "name": device.name,
            "frequency_plan_id": self._frequency_plan,
            "lorawan_version": LORAWAN_VERSION,
            "lorawan_phy_version": LORAWAN_PHY_VERSION,
            "app_key": device.app_key.hex().upper(),
            "supports_32_bit_f_cnt": "true",
        }
        known = lines.get(dev_eui)
        if known == line:
            return "kept"
        if known and known["app_key"] != line["app_key"] and not renew:
            raise CommunodeError("registration.key_differs", dev_eui=device.dev_eui.hex(), network=self.name)
        self._write({**lines, dev_eui: line})
        return "renewed" if known else "created"

    def _read(self) -> dict[str, dict[str, str]]:
        if not self._file.exists():
            return {}
        reader = csv.DictReader(io.StringIO(read_private(self._file)), delimiter=";")
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise CommunodeError("registration.foreign_file", usage=True, file=self._file)
        return {line["dev_eui"]: line for line in reader}

    def _write(self, lines: dict[str, dict[str, str]]) -> None:
        """All lines, whole or not at all."""
        fresh = self._file.with_name(f".{self._file.name}.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, delimiter=";", lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines.values())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(fresh, self._file)

    def flush_dev_nonces(self, dev_eui: bytes) -> None:
        """A device that is imported anew has no nonces."""

    def joined(self, dev_eui: bytes) -> str | None:
        """Not known."""
        return None

    def close(self) -> None:
        """Nothing is kept open."""
