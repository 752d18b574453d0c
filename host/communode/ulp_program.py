# SPDX-License-Identifier: MIT
"""The program with which the ULP coprocessor counts a meter's pulses, assembled at build time for one pin.

The ULP-FSM of the ESP32 and of the ESP32-S3 run the same source; their words differ in three fields. The timer
starts the program every PERIOD_US, also in deep sleep, while the node's own processor has no power. A change of
the contact counts when SAMPLES samples in a row show it; counted is the closing. The pad is set up in every run:
in deep sleep its registers may lose their power between two runs. Pulls stay off, the meter has one of its own.

Not an assembler for everybody: nine instructions, and what is not of the form below is an error here.

Sources: ISA = ESP-IDF 5.5, "ESP32 (ESP32-S3) ULP Coprocessor Instruction Set Reference"; fields of the words:
ESP-IDF ``components/ulp/ulp_fsm/include/{esp32,esp32s3}/ulp.h``; registers: ``rtc_io_reg.h`` and ``sens_reg.h``
of both chips. The stock images have the ULP-FSM with 2040 bytes on ESP32 and ESP32-S3 (MicroPython 1.27,
``ports/esp32/boards/sdkconfig.base``: CONFIG_ULP_COPROC_TYPE_FSM, CONFIG_ULP_COPROC_RESERVE_MEM).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

PERIOD_US = 20_000
SAMPLES = 2
ENTRY = 20  # byte address of the first instruction; before it the words that the node reads

_MAGIC = b"ulp\0"
_SOURCE = f"""
low:    .long 0             # the count, 16 bits a word: its upper half is the coprocessor's
high:   .long 0
alive:  .long 0             # set in every run: the node clears it, and looks again
level:  .long 0             # what SAMPLES samples agreed upon; closed at first, so that nothing counts
left:   .long {SAMPLES}             # samples that a change still needs
entry:
{{pad}}
        move r3, 0
        move r0, 1
        st r0, r3, 8
        ld r1, r3, 12
        reg_rd {{input:#x}}, {{bit}}, {{bit}}
        sub r1, r1, r0
        jump same, eq
        ld r2, r3, 16
        sub r2, r2, 1
        jump changed, eq
        st r2, r3, 16
        halt
same:
        move r2, {SAMPLES}
        st r2, r3, 16
        halt
changed:
        st r0, r3, 12
        move r2, {SAMPLES}
        st r2, r3, 16
        add r0, r0, 0       # open is 1
        jump closed, eq
        halt
closed:
        ld r0, r3, 0
        add r0, r0, 1
        jump carry, eq
        st r0, r3, 0
        halt
carry:
        st r0, r3, 0
        ld r0, r3, 4
        add r0, r0, 1
        st r0, r3, 4
        halt
"""


@dataclass(frozen=True)
class _Isa:
    """Where the words of the two coprocessors differ."""

    immediate: int  # ALU with an immediate
    jump: int  # to an absolute address
    store: int  # of the lower half word


_ISAS = {"esp32": _Isa(1 << 25, 0, 0), "esp32s3": _Isa(1 << 26, 1 << 26, 3 << 7)}
_RTC_IO, _SENS = 0x100, 0x200  # peripheral (RTC_IO, SENS) of a register; the word's number in it is added
_ALU = {"add": 0, "sub": 1}
_R = {"r0": 0, "r1": 1, "r2": 2, "r3": 3}


def _pad_esp32(gpio: int) -> str:
    # RTC_IO_SENSOR_PADS_REG: four pads, which have no pulls; GPIO36 is SENSE1.
    at = gpio - 36
    register = _RTC_IO | 0x7C // 4
    return f"""
        reg_wr {register:#x}, {19 - 5 * at}, {19 - 5 * at}, 1    # input
        reg_wr {register:#x}, {27 - at}, {27 - at}, 1    # to the RTC matrix"""


def _pad_esp32s3(gpio: int) -> str:
    # RTC_IO_TOUCH_PADn_REG and its like: one register a pad, and a pull-down after power-on.
    register = _RTC_IO | (0x84 + 4 * gpio) // 4
    return f"""
        reg_wr {_SENS | 0x104 // 4:#x}, 31, 31, 1    # SENS_IOMUX_CLK_EN
        reg_wr {register:#x}, 28, 27, 0    # no pulls
        reg_wr {register:#x}, 13, 13, 1    # input
        reg_wr {register:#x}, 19, 19, 1    # to the RTC matrix"""


def source(chip: str, gpio: int) -> str:
    """The program for one pin of ``chip`` in the syntax of Espressif's assembler."""
    if chip == "esp32":  # RTC_GPIO_IN_REG counts from bit 14 on, in an order of its own: GPIO36 comes first
        return _SOURCE.format(pad=_pad_esp32(gpio), input=_RTC_IO | 0x24 // 4, bit=14 + gpio - 36)
    return _SOURCE.format(pad=_pad_esp32s3(gpio), input=_RTC_IO | 0x24 // 4, bit=10 + gpio)


def assemble(text: str, chip: str) -> list[int]:
    """Words of a program in the syntax of `source`."""
    lines: list[str] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        label, colon, code = line.partition("#")[0].rpartition(":")
        if colon:
            labels[label.strip()] = len(lines)
        if code.strip():
            lines.append(code.strip())
    return [_word(code, labels, _ISAS[chip]) for code in lines]


def _word(code: str, labels: dict[str, int], isa: _Isa) -> int:
    match re.split(r"[\s,]+", code):
        case [".long", value]:
            return int(value)
        case ["reg_wr", register, high, low, value]:
            return 1 << 28 | int(high) << 23 | int(low) << 18 | int(value) << 10 | int(register, 16)
        case ["reg_rd", register, high, low]:
            return 2 << 28 | int(high) << 23 | int(low) << 18 | int(register, 16)
        case ["st", value, base, offset]:
            return 6 << 28 | 4 << 25 | int(offset) // 4 << 10 | isa.store | _R[base] << 2 | _R[value]
        case ["ld", to, base, offset]:
            return 13 << 28 | int(offset) // 4 << 10 | _R[base] << 2 | _R[to]
        case ["move", to, value]:
            return 7 << 28 | isa.immediate | 4 << 21 | int(value) << 4 | _R[to]
        case [("add" | "sub") as name, to, first, second] if second in _R:
            return 7 << 28 | _ALU[name] << 21 | _R[second] << 4 | _R[first] << 2 | _R[to]
        case [("add" | "sub") as name, to, first, value]:
            return 7 << 28 | isa.immediate | _ALU[name] << 21 | int(value) << 4 | _R[first] << 2 | _R[to]
        case ["jump", label]:
            return 8 << 28 | isa.jump | labels[label] << 2
        case ["jump", label, "eq"]:
            return 8 << 28 | isa.jump | 1 << 22 | labels[label] << 2
        case ["halt"]:
            return 11 << 28
    raise ValueError(f"not an instruction of this program: {code}")


def counter_program(chip: str, gpio: int) -> bytes:
    """The binary that ``esp32.ULP.load_binary`` of the node takes: a header of 12 bytes, then the words."""
    words = assemble(source(chip, gpio), chip)
    return struct.pack(f"<4s4H{len(words)}I", _MAGIC, 12, 4 * len(words), 0, 0, *words)
