# SPDX-License-Identifier: MIT
"""The ULP-FSM coprocessor of a virtual ESP32 or ESP32-S3: its memory, its timer, and the words that it executes.

Executed are the words that were loaded; an instruction that no program of ours uses is a `Violation`, as is what
the hardware leaves undefined: a register or a flag of an earlier run, a pad that this run did not set up (in deep
sleep its registers lose their power between two runs), memory beyond what the image reserves. A day of runs is
not stepped through: a run that changes nothing in memory would change nothing either until an input changes, so
the next run that is executed is the first after that. A run takes no time here (some 20 us of a period of ms).

Sources: as `communode.ulp_program`, which this module shares no code with; semantics: ESP32 TRM v5.2 chapter 30,
ESP32-S3 TRM v1.6 chapter 2 (ULP-FSM).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Protocol

from communode.virtual.chips.chip import Violation

MEMORY_BASE = 0x5000_0000
RESERVED = 2040  # bytes: CONFIG_ULP_COPROC_RESERVE_MEM of the stock images
SHORTEST_PERIOD_US = 200  # a run and its start-up must fit
_LONGEST_RUN = 1000  # instructions: ours are done after 20
_HEADER = 12
_HALT = 0xB000_0000
_IN_REGISTER, _CLOCK_REGISTER = 0x100 | 0x24 // 4, 0x200 | 0x104 // 4


class Inputs(Protocol):
    """The levels at the chip's pins."""

    def level(self, gpio: int, time_us: int) -> int:
        """0 or 1."""

    def next_change(self, gpio: int, time_us: int) -> int:
        """A time after ``time_us`` before which the level stays what it is."""


@dataclass(frozen=True)
class _Chip:
    """Where the two coprocessors differ: fields of words, and which bits are a pad's."""

    jump_kind: int  # bits 25 to 27 of a jump to an absolute address
    immediate_kind: int  # the same of an ALU instruction with an immediate
    keeps_upper: bool  # a store writes a half word; else the program counter goes into the upper one
    first_input_bit: int
    first_gpio: int
    gpios: int

    def pads(self, gpio: int) -> tuple[int, int, int]:
        """Register of a pad, its bits "input enable" and "connected to the RTC matrix"."""
        if self.keeps_upper:
            return 0x100 | (0x84 + 4 * gpio) // 4, 13, 19
        return 0x100 | 0x7C // 4, 19 - 5 * (gpio - 36), 27 - (gpio - 36)


_CHIPS = {
    "esp32": _Chip(0, 1, False, 14, 36, 4),  # the sensor pads only
    "esp32s3": _Chip(2, 2, True, 10, 0, 22),
}


@dataclass
class _Run:
    """What lives from the start of a run to its HALT."""

    pc: int
    registers: list[int | None] = field(default_factory=lambda: [None] * 4)
    zero: bool | None = None
    peripherals: dict[int, int] = field(default_factory=dict)
    looked_at: set[int] = field(default_factory=set)


class Ulp:
    """The coprocessor with power just applied: memory holds noise, the timer stands."""

    def __init__(self, chip: str, inputs: Inputs, rng: random.Random) -> None:
        self._chip = _CHIPS[chip]
        self._inputs = inputs
        self._memory = [rng.getrandbits(32) for _ in range(RESERVED // 4)]
        self._loaded: range = range(0)
        self._period_us = 0
        self._entry = 0
        self._next_us: int | None = None
        self.runs = 0  # executed ones

    # What the node's processor does

    def set_period(self, period_us: int) -> None:
        """``ULP.set_wakeup_period``: in force from the next start on."""
        if period_us < SHORTEST_PERIOD_US:
            raise Violation(f"ULP: a period of {period_us} us is shorter than a run")
        self._period_us = period_us

    def load(self, address: int, binary: bytes, now_us: int) -> None:
        """``ULP.load_binary``: text and data are copied, bss is zeroed; the timer goes on if it ran."""
        self.advance(now_us)
        magic, offset, *sizes = (
            binary[:4],
            *(int.from_bytes(binary[n : n + 2], "little") for n in (4, 6, 8, 10)),
        )
        if magic != b"ulp\0" or offset != _HEADER or len(binary) != _HEADER + sizes[0] + sizes[1]:
            raise Violation("ULP: not a program of esp32ulp-elf's form")
        if self._next_us is not None and self._memory[self._entry] != _HALT:
            raise Violation("ULP: a program is replaced while the timer may start it")
        image = binary[_HEADER:] + bytes(sizes[2])
        if address % 4 or len(image) % 4 or address + len(image) > RESERVED:
            raise Violation(f"ULP: {len(image)} bytes at {address} are not within the {RESERVED} reserved")
        for at in range(0, len(image), 4):
            self._memory[(address + at) // 4] = int.from_bytes(image[at : at + 4], "little")
        self._loaded = range(address // 4, (address + len(image)) // 4)

    def run(self, entry: int, now_us: int) -> None:
        """``ULP.run``: the timer starts the program at ``entry`` (bytes) every period from now on."""
        self.advance(now_us)
        if not self._period_us:
            raise Violation("ULP: started without a period")
        self._entry = entry // 4
        self._next_us = now_us + self._period_us

    def read(self, address: int, now_us: int) -> int:
        """A word of RTC slow memory as the processor sees it."""
        self.advance(now_us)
        return self._memory[self._word_at(address)]

    def write(self, address: int, value: int, now_us: int) -> None:
        """The processor writes a word."""
        self.advance(now_us)
        self._memory[self._word_at(address)] = value & 0xFFFFFFFF

    @staticmethod
    def _word_at(address: int) -> int:
        if address % 4 or not MEMORY_BASE <= address < MEMORY_BASE + RESERVED:
            raise Violation(f"mem32: 0x{address:08X} is not a word that the image reserves for the ULP")
        return (address - MEMORY_BASE) // 4

    # Time

    def advance(self, now_us: int) -> None:
        """Bring the memory up to ``now_us``."""
        while self._next_us is not None and self._next_us <= now_us:
            begin_us = self._next_us
            before = list(self._memory)
            looked_at = self._execute(begin_us)
            wait_us = self._period_us
            if self._memory == before:  # and so would be every run until an input changes
                changes = [self._inputs.next_change(gpio, begin_us) for gpio in looked_at]
                until_us = min([now_us + 1, *changes]) - begin_us
                wait_us = max(1, -(-until_us // self._period_us)) * self._period_us
            self._next_us = begin_us + wait_us

    # Execution

    def _execute(self, time_us: int) -> set[int]:
        """One run; the GPIOs that it read."""
        self.runs += 1
        run = _Run(self._entry)
        for _ in range(_LONGEST_RUN):
            if run.pc not in self._loaded:
                raise Violation(f"ULP: word {run.pc} is executed, where no program was loaded")
            word = self._memory[run.pc]
            run.pc += 1
            if word == _HALT:
                return run.looked_at
            self._step(word, run, time_us)
        raise Violation("ULP: the program does not halt")

    def _step(self, word: int, run: _Run, time_us: int) -> None:
        opcode, kind = word >> 28, word >> 25 & 7
        if opcode == 1:
            self._write_register(word, run)
        elif opcode == 2:
            run.registers[0] = self._read_input(word, run, time_us)
        elif opcode == 6 and kind == 4:
            self._store(word, run)
        elif opcode == 7:
            self._compute(word, run)
        elif opcode == 8 and kind == self._chip.jump_kind:
            self._jump(word, run)
        elif opcode == 13 and not word & 0x0FE003F0:
            run.registers[word & 3] = self._memory[self._address(word, run)] & 0xFFFF
        else:
            raise Violation(f"ULP: no program of ours has the instruction 0x{word:08X}")

    @staticmethod
    def _value(register: int, run: _Run) -> int:
        value = run.registers[register]
        if value is None:
            raise Violation(f"ULP: R{register} is used before this run has set it")
        return value

    def _address(self, word: int, run: _Run) -> int:
        at = self._value(word >> 2 & 3, run) + (word >> 10 & 0x7FF)
        if at >= RESERVED // 4:
            raise Violation(f"ULP: word {at} lies beyond the reserved memory")
        return at

    def _store(self, word: int, run: _Run) -> None:
        modes = word >> 4 & 0x3F, word >> 21 & 0xF
        if modes != (0x18 if self._chip.keeps_upper else 0, 0):
            raise Violation(f"ULP: no program of ours stores as 0x{word:08X} does")
        at = self._address(word, run)
        upper = self._memory[at] & 0xFFFF0000
        if not self._chip.keeps_upper:
            upper = (run.pc - 1 & 0x7FF) << 21 | (word & 3) << 16
        self._memory[at] = upper | self._value(word & 3, run)

    def _compute(self, word: int, run: _Run) -> None:
        kind, operation = word >> 25 & 7, word >> 21 & 0xF
        if kind == 0 and operation in (0, 1) and not word & 0x001FFFC0:
            first, second = self._value(word >> 2 & 3, run), self._value(word >> 4 & 3, run)
        elif kind == self._chip.immediate_kind and operation in (0, 1, 4) and not word & 1 << 20:
            first = 0 if operation == 4 else self._value(word >> 2 & 3, run)
            second = word >> 4 & 0xFFFF
        else:
            raise Violation(f"ULP: no program of ours computes as 0x{word:08X} does")
        result = (first - second if operation == 1 else first + second) & 0xFFFF
        run.registers[word & 3] = result
        run.zero = None if operation == 4 else result == 0  # MOVE and the flag: the manuals differ

    def _jump(self, word: int, run: _Run) -> None:
        condition = word >> 22 & 7
        if word & 0x003FE003 or condition > 1:
            raise Violation(f"ULP: no program of ours jumps as 0x{word:08X} does")
        if condition == 1 and run.zero is None:
            raise Violation("ULP: a jump asks for a flag that this run has not set")
        if condition == 0 or run.zero:
            run.pc = word >> 2 & 0x7FF

    # Peripheral registers

    def _pad(self, register: int, bit: int | None = None) -> int | None:
        chip = self._chip
        for gpio in range(chip.first_gpio, chip.first_gpio + chip.gpios):
            pad, enable, matrix = chip.pads(gpio)
            if pad == register and (
                bit is None or bit in (enable, matrix) or (chip.keeps_upper and bit in (27, 28))
            ):
                return gpio
        return None

    def _write_register(self, word: int, run: _Run) -> None:
        register, value = word & 0x3FF, word >> 10 & 0xFF
        low, high = word >> 18 & 0x1F, word >> 23 & 0x1F
        clock = self._chip.keeps_upper and register == _CLOCK_REGISTER and low == high == 31
        if not low <= high < low + 8 or not (
            clock or all(self._pad(register, n) is not None for n in range(low, high + 1))
        ):
            raise Violation(f"ULP: bits {high} to {low} of register 0x{register:03X} are not a pad's")
        if self._chip.keeps_upper and not clock and not run.peripherals.get(_CLOCK_REGISTER):
            raise Violation("ULP: a pad is set up before SENS_IOMUX_CLK_EN")
        usual = 1 << 28 if self._chip.keeps_upper and not clock else 0  # RDE, the pull-down, after power-on
        mask = (1 << high + 1) - (1 << low)
        run.peripherals[register] = run.peripherals.get(register, usual) & ~mask | value << low & mask

    def _read_input(self, word: int, run: _Run, time_us: int) -> int:
        chip = self._chip
        low, high = word >> 18 & 0x1F, word >> 23 & 0x1F
        at = low - chip.first_input_bit
        if word & 0x3FF != _IN_REGISTER or low != high or not 0 <= at < chip.gpios:
            raise Violation(f"ULP: 0x{word:08X} reads something else than one input")
        gpio = chip.first_gpio + at
        register, enable, matrix = chip.pads(gpio)
        pad = run.peripherals.get(register, 0)
        if not pad >> enable & 1 or not pad >> matrix & 1:
            raise Violation(
                f"ULP: GPIO{gpio} is read, but this run has not made it an input of the RTC matrix"
            )
        if chip.keeps_upper and pad >> 27 & 3:
            raise Violation(f"ULP: a pull of the chip works against the meter's at GPIO{gpio}")
        run.looked_at.add(gpio)
        return self._inputs.level(gpio, time_us)
