# SPDX-License-Identifier: MIT
"""Compiles viper modules with the build's own mpy-cross and takes their machine code out."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from communode.node_files import compile_module

from . import mpy_file
from .machine import Image, viper_image

ROOT = Path(__file__).resolve().parents[2]
DSP = ROOT / "firmware" / "node" / "dsp"
PLAIN = Path(__file__).with_name("plain_kernels.py")


@cache
def viper_code(path: Path, arch: str) -> dict[str, bytes]:
    """Machine code of every viper function of a module, by name."""
    return code_of(path.read_text("utf-8"), arch, path.name)


def code_of(source: str, arch: str, name: str = "kernel.py") -> dict[str, bytes]:
    """Machine code of every viper function of a source text, by name."""
    data = compile_module(source.encode(), name, arch)
    if mpy_file.parse(data).arch != mpy_file.ARCHES[arch]:
        raise mpy_file.MpyError(f"mpy-cross made something else than {arch}")
    return mpy_file.viper_functions(source, data)


def viper_images(path: Path, arch: str) -> dict[str, Image]:
    """`viper_code`, ready for a machine."""
    return {name: viper_image(code) for name, code in viper_code(path, arch).items()}
