# SPDX-License-Identifier: MIT
"""The words of the ULP's program: as Espressif's tools make them, and understood by the virtual coprocessor."""

from __future__ import annotations

import random

import pytest
from communode.boards import board_names, load_board
from communode.build import check_fit, hardware_source
from communode.errors import CommunodeError
from communode.images import find_image
from communode.profiles import load_profile
from communode.ulp_program import assemble, counter_program, source
from communode.virtual.chips.chip import Violation
from communode.virtual.ulp import RESERVED, Ulp

# The same source for GPIO36 of an ESP32, assembled by micropython-esp32-ulp 1.2.0 (MIT), not by us.
FOREIGN = """
756c70000c0098000000000000000000000000000000000000000000020000001f05cc191f05ec1d03008072100080720c080068
0d0c00d009013827050020704c0040800e1000d01a002072580040800e100068000000b0220080720e100068000000b00c0c0068
220080720e1000680000007270004080000000b00c0000d010000072840040800c000068000000b00c0000680c0400d010000072
0c040068000000b0
"""

# tests/fixtures/all_opcodes.esp32.lst and .esp32s2.lst of the same project, whose author compared both with
# Espressif's binutils; the ESP32-S3 executes the words of the ESP32-S2. Bytes in the order of memory; the listing
# shows offsets in words, where the source has bytes.
LISTED = {
    "esp32": {
        "reg_wr 0x123, 1, 2, 3": "230d8810",
        "reg_rd 0x321, 2, 1": "21030421",
        "st r3, r2, 0": "0b000068",
        "add r2, r1, r0": "06000070",
        "sub r2, r1, r0": "06002070",
        "add r2, r1, 0": "06000072",
        "sub r2, r1, 0": "06002072",
        "move r1, 0": "01008072",
        "jump start": "00000080",
        "jump start, eq": "00004080",
        "halt": "000000b0",
        "ld r2, r1, 0": "060000d0",
    },
    "esp32s3": {
        "reg_wr 0x123, 1, 2, 3": "230d8810",
        "reg_rd 0x321, 2, 1": "21030421",
        "st r3, r2, 0": "8b010068",
        "st r1, r2, 32": "89210068",
        "add r2, r1, r0": "06000070",
        "sub r2, r1, r0": "06002070",
        "add r2, r1, 0": "06000074",
        "sub r2, r1, 0": "06002074",
        "move r1, 0": "01008074",
        "jump start": "00000084",
        "jump start, eq": "00004084",
        "halt": "000000b0",
        "ld r2, r1, 0": "060000d0",
        "ld r1, r2, 32": "092000d0",
    },
}
CHIPS = [("esp32", 36), ("esp32", 39), ("esp32s3", 0), ("esp32s3", 21)]


class Pin:
    """A level that a test sets."""

    def __init__(self) -> None:
        self.now = 1

    def level(self, gpio: int, time_us: int) -> int:
        return self.now

    def next_change(self, gpio: int, time_us: int) -> int:
        return time_us + 1


def test_another_assembler_makes_the_same_words() -> None:
    assert counter_program("esp32", 36).hex() == FOREIGN.replace("\n", "")


@pytest.mark.parametrize("chip", LISTED)
def test_each_instruction_is_the_one_that_espressifs_tools_list(chip: str) -> None:
    for code, listed in LISTED[chip].items():
        (word,) = assemble("start:\n" + code, chip)
        assert word.to_bytes(4, "little").hex() == listed, code


def test_what_the_program_does_not_use_is_no_instruction() -> None:
    for code in ("wake", "jump start, ov", "stage_inc 1", "ld r1", "add r4, r1, 1"):
        with pytest.raises((ValueError, KeyError)):
            assemble("start:\n" + code, "esp32")


def run_words(words: list[int], chip: str = "esp32s3", pin: Pin | None = None) -> Ulp:
    """Load words at 0 and let them run once."""
    ulp = Ulp(chip, pin or Pin(), random.Random(1))
    text = b"".join(word.to_bytes(4, "little") for word in words)
    ulp.load(0, b"ulp\0\x0c\0" + len(text).to_bytes(2, "little") + bytes(4) + text, 0)
    ulp.set_period(1000)
    ulp.run(0, 0)
    ulp.advance(1000)
    return ulp


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("st r0, r3, 0\nhalt", "R3 is used before"),
        ("jump out, eq\nout:\nhalt", "a flag that this run has not set"),
        ("move r0, 1\njump out, eq\nout:\nhalt", "a flag that this run has not set"),
        ("reg_rd 0x109, 10, 10\nhalt", "has not made it an input"),
        ("reg_rd 0x108, 10, 10\nhalt", "something else than one input"),
        ("reg_wr 0x123, 13, 13, 1\nhalt", "before SENS_IOMUX_CLK_EN"),
        ("reg_wr 0x241, 31, 31, 1\nreg_wr 0x123, 5, 5, 1\nhalt", "are not a pad's"),
        ("move r3, 510\nld r0, r3, 0\nhalt", "beyond the reserved memory"),
        ("again:\njump again", "does not halt"),
        ("move r0, 1", "no program was loaded"),
    ],
)
def test_what_the_hardware_leaves_undefined_is_a_violation(code: str, said: str) -> None:
    with pytest.raises(Violation, match=said):
        run_words(assemble(code, "esp32s3"))


def test_a_pull_against_the_meters_own_is_a_violation() -> None:
    text = source("esp32s3", 2).replace("reg_wr 0x123, 28, 27, 0", "reg_wr 0x123, 27, 27, 0")
    with pytest.raises(Violation, match="a pull of the chip"):
        run_words(assemble(text, "esp32s3")[5:])


@pytest.mark.parametrize("word", [0x90000001, 0x50000007, 0x88000000, 0x70A00006, 0x78000070, 0xD8002009])
def test_an_instruction_that_no_program_uses_is_a_violation(word: int) -> None:
    for chip in ("esp32", "esp32s3"):
        with pytest.raises(Violation, match="no program of ours"):
            run_words([0x72800003 if chip == "esp32" else 0x74800003, word, 0xB0000000], chip)


def test_words_of_the_other_chip_are_refused() -> None:
    for chip, other, gpio in (("esp32", "esp32s3", 36), ("esp32s3", "esp32", 2)):
        words = assemble(source(chip, gpio), chip)[5:]
        with pytest.raises(Violation):
            run_words(words, other)


def loaded(chip: str, gpio: int, pin: Pin) -> Ulp:
    ulp = Ulp(chip, pin, random.Random(1))
    ulp.load(0, counter_program(chip, gpio), 0)
    ulp.set_period(20_000)
    ulp.run(20, 0)
    return ulp


def words_of(ulp: Ulp, now_us: int) -> list[int]:
    return [ulp.read(0x50000000 + at, now_us) & 0xFFFF for at in (0, 4, 8, 12, 16)]


@pytest.mark.parametrize(("chip", "gpio"), CHIPS)
def test_two_samples_in_a_row_make_a_change_and_closing_counts(chip: str, gpio: int) -> None:
    pin = Pin()
    ulp = loaded(chip, gpio, pin)
    low = []
    for step, level in enumerate((1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1), start=1):
        pin.now = level
        low.append(words_of(ulp, step * 20_000)[0])
    assert low == [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize(("chip", "gpio"), CHIPS)
def test_the_count_has_32_bits(chip: str, gpio: int) -> None:
    pin = Pin()
    ulp = loaded(chip, gpio, pin)
    ulp.write(0x50000000, 0xFFFF, 1)
    ulp.write(0x50000004, 0x12FF, 1)
    for step, level in enumerate((1, 1, 0, 0), start=1):
        pin.now = level
        now = words_of(ulp, step * 20_000)
    assert now[:3] == [0, 0x1300, 1]


def test_a_contact_that_is_closed_at_first_counts_when_it_closes_again() -> None:
    pin = Pin()
    pin.now = 0
    ulp = loaded("esp32s3", 2, pin)
    assert words_of(ulp, 100_000)[0] == 0
    for step, level in enumerate((1, 1, 0, 0), start=6):
        pin.now = level
        now = words_of(ulp, step * 20_000)
    assert now[0] == 1


def test_memory_is_noise_after_power_on_and_only_the_reserved_part_is_there() -> None:
    first, second = (Ulp("esp32s3", Pin(), random.Random(seed)) for seed in (1, 2))
    assert [first.read(0x50000000 + 4 * n, 0) for n in range(8)] != [
        second.read(0x50000000 + 4 * n, 0) for n in range(8)
    ]
    for address in (0x50000000 + RESERVED, 0x4FFFFFFC, 0x50000002, 0x3FF48400):
        with pytest.raises(Violation, match="mem32"):
            first.read(address, 0)


def test_a_program_is_not_replaced_under_a_running_timer() -> None:
    ulp = loaded("esp32s3", 2, Pin())
    with pytest.raises(Violation, match="replaced"):
        ulp.load(0, counter_program("esp32s3", 3), 1000)
    ulp.write(0x50000014, 0xB0000000, 1000)
    ulp.load(0, counter_program("esp32s3", 3), 2000)
    with pytest.raises(Violation, match="not a program"):
        ulp.load(0, counter_program("esp32s3", 3)[:-4], 2000)
    with pytest.raises(Violation, match="reserved"):
        Ulp("esp32s3", Pin(), random.Random(1)).load(1900, counter_program("esp32s3", 3), 0)


def test_skipping_quiet_runs_changes_nothing() -> None:
    """Against a coprocessor that executes every run, for the same contact."""
    rng = random.Random(5)
    changes = sorted(rng.randrange(60_000_000) for _ in range(300))

    class Contact:
        def __init__(self, known: bool) -> None:
            self.known = known

        def level(self, gpio: int, time_us: int) -> int:
            return sum(change <= time_us for change in changes) & 1

        def next_change(self, gpio: int, time_us: int) -> int:
            later = [change for change in changes if change > time_us]
            return (later or [1 << 60])[0] if self.known else time_us + 1

    both = []
    for known in (True, False):
        ulp = Ulp("esp32", Contact(known), random.Random(1))
        ulp.load(0, counter_program("esp32", 37), 0)
        ulp.set_period(20_000)
        ulp.run(20, 0)
        both.append(([words_of(ulp, second * 1_000_000) for second in range(1, 62)], ulp.runs))
    assert both[0][0] == both[1][0]
    assert both[0][0][-1][0] > 50
    assert both[0][1] < both[1][1] / 2


def test_a_board_without_ulp_refuses_the_profile_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommunodeError) as caught:
        check_fit(load_board("heltec_ht_ct62"), load_profile("water_meter"))
    assert caught.value.code == "board.no_ulp"
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    assert "ESP32-C3" in str(caught.value)
    assert "PCF8593" in caught.value.remedy


@pytest.mark.parametrize("name", board_names())
def test_the_stock_image_has_the_coprocessors_class_where_we_say_so(name: str) -> None:
    """The names of `esp32.ULP` stand in the official image, or do not."""
    board = load_board(name)
    image = find_image(board.image)
    for word in (b"\0ULP\0", b"\0load_binary\0", b"\0set_wakeup_period\0", b"\0wake_on_ulp\0"):
        assert (word in image) == bool(board.soc.ulp), word


def test_every_board_says_how_it_counts_pulses() -> None:
    methods = {name: [bus.kind for bus in load_board(name).buses.values()] for name in board_names()}
    assert {name for name, kinds in methods.items() if "ulp" in kinds} == {
        name for name in board_names() if load_board(name).soc.ulp
    }
    assert all("i2c" in kinds for kinds in methods.values())  # an external counter fits everywhere
    check_fit(load_board("heltec_ht_ct62"), load_profile("water"))


def test_only_a_profile_that_counts_carries_the_program() -> None:
    board = load_board("virtual")
    program = repr(counter_program("esp32s3", 2))
    assert program in hardware_source(board, load_profile("water_meter"), "eu868")
    assert "ulp" not in hardware_source(board, load_profile("water"), "eu868")
