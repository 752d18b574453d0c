# SPDX-License-Identifier: MIT
"""The whole application of every profile, imported on a 32-bit MicroPython 1.27, leaves room on an ESP32-C3.

Measured on the official Pico W image (tests/pico.py): word and object sizes, and how .mpy is linked into RAM,
are those of the boards. ``hal`` and ``app/wiring`` import the ESP32's modules and are imported there over empty
stand-ins. What is left of the C3 is computed from what the application takes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from communode.boards import board_names, load_board
from communode.build import app_files, check_fit
from communode.errors import CommunodeError
from communode.profiles import load_profile, profile_names
from pico import ARCH, run_on_pico

C3_FREE = 177_000  # free heap of the official ESP32-C3 image at main.py (instruction-level run of that image)
LEAST_LEFT = 40_000
PROGRAM = Path(__file__).with_name("app_on_micropython.py")
# Forgotten when they are done (app/cycle.py, app/reporter.py).
DROPPED = ("app.actions", "app.console", "app.session", "schema.event_names", "app.refusal")
LEAST_BACK = 5000  # of the 5.6 KB of their code; their names stay in MicroPython's table
# The laboratory has a program of its own; few regions listen before they talk, and this one does not.
ELSEWHERE = ("app.laboratory", "lorawan.certification", "radio.sx126x_listening")


def _modules(files: dict[str, bytes]) -> list[str]:
    names = [path[:-4].replace("/", ".") for path in sorted(files) if path.endswith(".mpy") and "/" in path]
    left_out = {f"node.{name}" for name in (*DROPPED, *ELSEWHERE)}
    kept = [name.removesuffix(".__init__") for name in names if name not in left_out]
    # Drivers and regions come with the build: only those that the profile needs are in the files.
    return [name for name in kept if not name.endswith((".hal.flash", ".micropython_lib"))]


_STAND_INS = """
import sys
class _Any:
    def __getattr__(self, name): return _Any()
    def __call__(self, *given, **named): return _Any()
for _name in ("esp32", "onewire"):
    if _name not in sys.modules:
        sys.modules[_name] = _Any()
"""


def _board_for(profile: str) -> str | None:
    for name in ("heltec_ht_ct62", *board_names()):
        try:
            check_fit(load_board(name), load_profile(profile))
        except CommunodeError:
            continue
        return name
    return None


# One profile takes 40 s to import on the emulated chip: `make test` tries one, `make nightly` all.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "profile",
    [pytest.param(name, marks=[] if name == "air" else pytest.mark.nightly) for name in profile_names()],
)
def test_the_whole_application_leaves_room(profile: str, tmp_path: Path) -> None:
    board = _board_for(profile)
    assert board is not None
    files = app_files(load_board(board), load_profile(profile), "eu868", ARCH)
    modules = _modules(files)
    assert len(modules) > 40
    program = f"{_STAND_INS}\nMODULES, DROPPED = {modules!r}, {DROPPED!r}\n" + PROGRAM.read_text("utf-8")
    kept = {name: data for name, data in files.items() if name not in ("boot.py", "main.py")}
    lines = run_on_pico(kept, program, tmp_path, limit_s=600)
    figures = {
        key: int(value)
        for key, value in (line.split() for line in lines if line.startswith(("code", "dropped", "kept")))
    }
    left = C3_FREE - figures["code"]
    print(f"{profile}: {len(modules)} modules take {figures['code']} bytes, {left} of {C3_FREE} are left")
    print(f"of {figures['dropped']} bytes that are dropped after their use {figures['kept']} stay")
    assert left - figures["kept"] >= LEAST_LEFT
    assert figures["dropped"] - figures["kept"] >= LEAST_BACK
