# SPDX-License-Identifier: MIT
"""What LoRaWAN takes: bytes of .mpy per architecture and region, RAM of the imported code, heap of a node.

RAM is measured on a 32-bit MicroPython (the official Pico W image, tests/pico.py): on stock firmware .mpy is
copied to RAM, and objects are as large there as on an ESP32. The bytecode is the same on all architectures.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from communode.node_files import MPY_CROSS, compile_module, select
from communode.resources import node_folder
from pico import ARCH, PICO_W, run_on_pico

ARCHITECTURES = ("xtensawin", "rv32imc", "armv6m")
REGIONS = (
    *("eu868", "eu433", "us915", "au915", "in865", "kr920"),
    *("as923_1", "as923_2", "as923_3", "as923_4"),
)
PROGRAM = Path(__file__).parents[1] / "upy" / "footprint_of_lorawan.py"
# What LoRa Basics Modem states for flash and RAM (40 KB, 6 KB); the code's RAM is our own limit.
MOST_MPY, MOST_CODE_RAM, MOST_HEAP = 40_960, 65_000, 6_144


def _paths(*regions: str) -> list[str]:
    """Files of ``lorawan`` and ``radio`` (SX126x) that a node of these regions imports."""
    wanted = {f"lorawan/region/{region}.py" for region in regions} | {"radio/sx126x.py"}
    aside = {"lorawan/certification.py", "radio/micropython_lib.py"}  # not imported in the field
    return [
        path
        for path in select(node_folder(), wanted)
        if path == "__init__.py" or (path.split("/")[0] in ("lorawan", "radio") and path not in aside)
    ]


def _compiled(arch: str, *regions: str) -> dict[str, bytes]:
    root = node_folder()
    return {
        f"node/{path[:-3]}.mpy": compile_module((root / path).read_bytes(), f"node/{path}", arch)
        for path in _paths(*regions)
    }


@pytest.mark.timeout(400)
def test_footprint_of_lorawan_and_radio(
    publish: Callable[[str, dict[str, Any]], None], tmp_path: Path
) -> None:
    files = _compiled(ARCH, *REGIONS)
    files["measure.mpy"] = compile_module(PROGRAM.read_bytes(), "measure.py", ARCH)
    rows = [line.split() for line in run_on_pico(files, "import measure", tmp_path) if " " in line]
    shared = next(int(row[1]) for row in rows if row[0] == "shared")
    measured = {row[1]: (shared + int(row[2]), int(row[3])) for row in rows if row[0] == "region"}
    assert measured.keys() == set(REGIONS)
    packages = [
        {
            "name": "lorawan+radio",
            "arch": arch,
            "region": region,
            "mpy_bytes": sum(len(data) for data in _compiled(arch, region).values()),
            "code_ram_bytes": measured[region][0],
            "heap_bytes": measured[region][1],
        }
        for arch in ARCHITECTURES
        for region in REGIONS
    ]
    publish(
        "footprint",
        {"versions": {"mpy-cross": MPY_CROSS, "ram_measured_on": PICO_W.file}, "packages": packages},
    )
    print(f"\n{'arch':10} {'region':8} {'.mpy':>7} {'code RAM':>9} {'heap':>6}")
    for row in packages:
        figures = f"{row['mpy_bytes']:7} {row['code_ram_bytes']:9} {row['heap_bytes']:6}"
        print(f"{row['arch']:10} {row['region']:8} {figures}")
    assert max(row["mpy_bytes"] for row in packages) <= MOST_MPY
    assert max(row["code_ram_bytes"] for row in packages) <= MOST_CODE_RAM
    assert max(row["heap_bytes"] for row in packages) <= MOST_HEAP
