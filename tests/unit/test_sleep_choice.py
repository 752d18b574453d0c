# SPDX-License-Identifier: MIT
"""Awake, light or deep sleep: what the node chooses for a wait is what costs least, on every board.

The oracle charges each way of spending a wait by itself, from board.toml and the virtual board's table of costs.
"""

from __future__ import annotations

import pytest
from communode.boards import Board, board_names, load_board
from communode.node.power import budget
from communode.virtual.costs import cost_table

LONGEST_RX_WAIT_MS = 6000  # RX2 of a join; TS001-1.0.4 5.8 lets a network ask for 16 s after an uplink


def charge_uc(board: Board, how: str, wait_ms: int) -> float:
    """Microcoulombs of a wait: in light sleep with falling asleep and waking, in deep sleep with a new beginning."""
    ua = {name: current.ua for name, current in board.currents.items()}
    beside_ms = {"active": 0, "light_sleep": 10, "deep_sleep": 70 + 81 + 36}[how]
    return (ua[how] * wait_ms + ua["active"] * beside_ms) / 1000


@pytest.mark.parametrize("name", board_names())
def test_each_wait_is_spent_in_the_cheapest_way(name: str) -> None:
    board = load_board(name)
    light_ms, deep_ms = budget.sleeps_from_ms({key: current.ua for key, current in board.currents.items()})
    for wait_ms in [*range(1, 40), *range(40, 2 * deep_ms, 50), deep_ms - 1, deep_ms, 600_000]:
        chosen = "active" if wait_ms < light_ms else "light_sleep" if wait_ms < deep_ms else "deep_sleep"
        cheapest = min(charge_uc(board, how, wait_ms) for how in ("active", "light_sleep", "deep_sleep"))
        assert charge_uc(board, chosen, wait_ms) <= cheapest * 1.0001, (wait_ms, chosen)


@pytest.mark.parametrize("name", board_names())
def test_waits_for_windows_are_light_sleep_and_those_for_samplings_deep(name: str) -> None:
    board = load_board(name)
    light_ms, deep_ms = budget.sleeps_from_ms({key: current.ua for key, current in board.currents.items()})
    print(name, light_ms, deep_ms)
    assert light_ms < 100
    assert LONGEST_RX_WAIT_MS < deep_ms < 60_000


def test_a_board_whose_light_sleep_saves_nothing_sleeps_deeply_only_when_it_pays() -> None:
    _, deep_ms = budget.sleeps_from_ms({"active": 20_000, "light_sleep": 15, "deep_sleep": 15})
    assert deep_ms > 3_000_000


def test_the_nodes_figure_of_a_new_beginning_is_that_of_the_table_of_costs() -> None:
    boot_ms = cost_table()["boot"]["wake_ms"]
    assert abs(budget.BOOT_MS - 81 - boot_ms) <= 5
