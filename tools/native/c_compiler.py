# SPDX-License-Identifier: MIT
"""Compiles the C kernels with gcc -O2 for both instruction sets, as the measure for the viper kernels.

rv32imc: gcc-riscv64-unknown-elf. xtensawin: gcc-xtensa-lx106 with -mabi=windowed; its assembler lacks the
windowed opcodes, which are put in as bytes. The lx106 has no hardware loops, SEXT, MIN, MAX or MULSH, so
the ESP32's own gcc would do a little better than this measure.

Leaf functions only: no libgcc, at most six arguments.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile

from .machine import CODE, Image

COMPILERS = {"rv32imc": "riscv64-unknown-elf-gcc", "xtensawin": "xtensa-lx106-elf-gcc"}

_COMMON = ("-O2", "-ffreestanding", "-fno-builtin", "-std=gnu11", "-Wall", "-Werror")
_RISCV = ("-march=rv32imc", "-mabi=ilp32", "-mcmodel=medlow")
_XTENSA = ("-mabi=windowed", "-mtext-section-literals")
_ENTRY = re.compile(r"^\tentry\tsp, (\d+)", re.MULTILINE)
_RETW = re.compile(r"^\tretw(\.n)?$", re.MULTILINE)


def compile_c(source: Path, arch: str, gcc: str) -> dict[str, Image]:
    """Every function of a C file as an image of its own, by name. ``gcc`` is the compiler's path."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        object_file, linked = work / "kernels.o", work / "kernels.elf"
        if arch == "rv32imc":
            _run(gcc, *_COMMON, *_RISCV, "-c", str(source), "-o", str(object_file))
        else:
            assembly = work / "kernels.s"
            _run(gcc, *_COMMON, *_XTENSA, "-S", str(source), "-o", str(assembly))
            assembly.write_text(_without_windowed_opcodes(assembly.read_text()))
            _run(gcc, "-c", str(assembly), "-o", str(object_file))
        flags = _RISCV[:2] if arch == "rv32imc" else ()
        _run(gcc, *flags, "-nostdlib", f"-Wl,-Ttext={CODE:#x},-e,0", str(object_file), "-o", str(linked))
        return _functions(linked)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr}")


def _without_windowed_opcodes(assembly: str) -> str:
    def entry(found: re.Match[str]) -> str:
        word = 0x36 | 1 << 8 | int(found[1]) // 8 << 12
        return "\t.byte\t" + ", ".join(f"{byte:#x}" for byte in word.to_bytes(3, "little"))

    return _RETW.sub("\t.byte\t0x1d, 0xf0", _ENTRY.sub(entry, assembly))


def _functions(linked: Path) -> dict[str, Image]:
    with linked.open("rb") as stream:
        elf = ELFFile(stream)
        segments = tuple(
            (int(section["sh_addr"]), bytes(section.data()))
            for section in elf.iter_sections()
            if section["sh_flags"] & 2 and section["sh_size"]  # SHF_ALLOC
        )
        table: Any = elf.get_section_by_name(".symtab")
        return {
            symbol.name: Image(int(symbol["st_value"]), segments)
            for symbol in table.iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC"
        }
