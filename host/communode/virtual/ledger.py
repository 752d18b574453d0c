# SPDX-License-Identifier: MIT
"""Where the charge of a virtual board goes, by phase, from the board file's currents.

Nothing here is measured: phases are timed in virtual time and multiplied by the figures of ``board.toml``
(each with its source); the radio's share comes from its chip model.
"""

from __future__ import annotations

from communode.boards import Board

SUPPLY_V = 3.3
PHASES = ("boot", "active", "light_sleep", "deep_sleep")


class EnergyLedger:
    """Charge by phase of one board."""

    def __init__(self, board: Board) -> None:
        currents = {name: current.ua for name, current in board.currents.items()}
        self._ua = {phase: currents.get(phase, currents["active"]) for phase in PHASES}
        self.time_us = dict.fromkeys(PHASES, 0)

    def spend(self, phase: str, duration_us: int) -> None:
        """Note that ``phase`` lasted so long."""
        self.time_us[phase] += max(0, duration_us)

    def charge_mc(self) -> dict[str, float]:
        """Charge by phase, radio apart."""
        return {phase: self.time_us[phase] * self._ua[phase] / 1e9 for phase in PHASES}

    @staticmethod
    def energy_mj(charge_mc: float) -> float:
        """Energy of a charge at the board's supply of 3.3 V."""
        return charge_mc * SUPPLY_V
