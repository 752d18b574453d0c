# SPDX-License-Identifier: MIT
"""`esp32.ULP` and `machine.mem32` of a virtual board, as the stock images of the three chips have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from communode.ulp_program import counter_program
from communode.virtual.kernel import NEVER
from program_board import ProgramBoard, run_program

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("micropython")]


@pytest.mark.parametrize(
    ("board", "has"), [("virtual", "True"), ("lilygo_t3_v1_6_1", "True"), ("heltec_ht_ct62", "False")]
)
def test_only_chips_with_a_ulp_have_the_class(tmp_path: Path, board: str, has: str) -> None:
    program = "import esp32\nprint(hasattr(esp32, 'ULP'), hasattr(esp32, 'wake_on_ulp'))"
    assert run_program(tmp_path, program, board=board, profile=None) == [f"{has} {has}"]


COUNTING = f"""
import esp32, machine
from machine import mem32
ulp = esp32.ULP()
if machine.reset_cause() == machine.PWRON_RESET:
    print("noise", len({{mem32[0x50000000 + at] & 0xFFFFFFFF for at in range(0, 400, 4)}}) > 90)
    ulp.load_binary(0, {counter_program("esp32s3", 2)!r})
    ulp.set_wakeup_period(0, 20000)
    ulp.run(20)
else:
    print(machine.reset_cause(), mem32[0x50000000] & 0xFFFF)
if machine.reset_cause() == machine.DEEPSLEEP_RESET:
    machine.reset()
if machine.reset_cause() == machine.PWRON_RESET:
    machine.deepsleep(86_400_000)
"""


def test_the_coprocessor_runs_through_deep_sleep_and_resets_but_not_through_power_on(tmp_path: Path) -> None:
    with ProgramBoard(tmp_path, COUNTING, profile="water_meter") as board:
        first, second, third = board.run(NEVER).splitlines()
        litres = int(board.body.world.value("water_index_l", 86_400_000_000))
        assert board.body.violations == []
        assert first == "noise True"
        assert second == f"4 {litres}"
        assert third == f"2 {litres}"  # machine.reset()
        board.kernel.call_at(board.body.time_us + 1, lambda: None)
        assert board.run(board.body.time_us + 1_000_000).splitlines()[0] == "noise True"
    assert litres > 10


@pytest.mark.parametrize("address", [0x50000800, 0x3FF48400, 0x60008000])
def test_memory_that_is_not_the_ulps_is_a_violation(tmp_path: Path, address: int) -> None:
    with ProgramBoard(tmp_path, f"from machine import mem32\nprint(mem32[{address}])") as board:
        board.run()
        assert len(board.body.violations) == 1
        assert "mem32" in board.body.violations[0]
