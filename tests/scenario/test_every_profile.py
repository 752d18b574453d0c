# SPDX-License-Identifier: MIT
"""Every shipped profile lives an hour on a virtual board: built, flashed, joined, its values delivered."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from communode.boards import load_board
from communode.demo import town as town_module
from communode.demo.town import Town, TownSettings
from communode.node.schema.quantities import QUANTITIES
from communode.profiles import load_profile, profile_names
from communode.virtual.chips import TRUTH, tolerance

STEPS = {facts[0]: facts[4] / facts[2] for facts in QUANTITIES.values()}
ELSEWHERE = ("air", "water", "bin", "laboratory")  # the demo runs three, a laboratory the fourth
OURS = [name for name in profile_names() if name not in ELSEWHERE]
SETTLING = {
    "no2": {"warming_up"},
    "voc_index": {"warming_up"},
    "nox_index": {"warming_up"},
    "co2": {"warming_up"},
    "water_volume": {"warming_up"},  # the count began
}


def test_every_profile_lives_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(town_module, "KINDS", [("virtual", name) for name in OURS])
    events: list[Any] = []
    settings = TownSettings(out=tmp_path, nodes=len(OURS), hours=1.0, seed=3)
    town = Town(settings, lambda name, values: events.append((name, values)))
    town.prepare()
    town.live()
    for node in town.nodes:
        profile = load_profile(node.profile.name)
        driver_of = {quantity: s.driver for s in profile.sensors for quantity in s.quantities}
        rows = [row for row in town.readings.rows(node.dev_eui) if row[1] is not None]
        assert {row[2] for row in rows} == set(profile.quantities), profile.name
        for _, stamp, quantity, value, _, quality, uncertainty_s in rows:
            said = (profile.name, stamp, quantity, value, quality)
            assert quality in {"good"} | SETTLING.get(quantity, set()), said
            if quality != "good" or quantity not in TRUTH:
                continue
            end_s = (datetime.fromisoformat(stamp) - town.world.start_utc).total_seconds() + uncertainty_s + 1
            begin_s = max(0, end_s - 2 * uncertainty_s - 100)  # a sampling takes up to a minute
            low, high = node.world.value_range(TRUTH[quantity][0], int(begin_s * 1e6), int(end_s * 1e6))
            driver = driver_of[quantity]
            if driver == "battery":
                continue
            step = STEPS[quantity]
            least = low - tolerance(quantity, low, driver) - step
            assert least <= value <= high + tolerance(quantity, high, driver) + step, (*said, low, high)


def live_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: dict[str, str]
) -> dict[str, list[str]]:
    """Qualities of each quantity of the profile bin_laser, in the order of the records."""
    usual = town_module.BoardSettings
    monkeypatch.setattr(town_module, "KINDS", [("virtual", "bin_laser")])
    monkeypatch.setattr(town_module, "BoardSettings", lambda **given: usual(faults=faults, **given))
    town = Town(TownSettings(out=tmp_path, nodes=1, hours=1.0, seed=3), lambda name, values: None)
    town.prepare()
    town.live()
    found: dict[str, list[str]] = {}
    for row in sorted(town.readings.rows(town.nodes[0].dev_eui), key=lambda row: row[0]):
        found.setdefault(row[2], []).append(row[5])
    return found


def test_the_firmware_frees_its_bus_and_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = live_an_hour(tmp_path, monkeypatch, {"sht4x": "stuck_sda"})
    assert len(found["distance"]) >= 6
    assert {quality for qualities in found.values() for quality in qualities} == {"good"}


def test_a_dead_sensor_leaves_the_others_of_its_node_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = live_an_hour(tmp_path, monkeypatch, {"lis3dh": "nack"})
    assert set(found["tilt"]) == {"absent"}
    assert all(set(found[name]) == {"good"} for name in found if name != "tilt")


def test_a_board_without_the_bus_is_named() -> None:
    from communode.build import build
    from communode.errors import CommunodeError

    with pytest.raises(CommunodeError) as caught:
        build(load_board("heltec_ht_ct62"), load_profile("noise"))
    assert caught.value.code == "board.bus_missing"
    assert "i2s0" in str(caught.value)
