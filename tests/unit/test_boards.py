# SPDX-License-Identifier: MIT
"""Boards: the five are right, and every mistake in a board file is named with its file and key."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from communode.boards import board_names, describe, load_board, read_board
from communode.errors import CommunodeError
from communode.resources import boards_folder

REQUIRED = {
    "virtual",
    "heltec_wifi_lora_32_v3",
    "lilygo_t3_v1_6_1",
    "heltec_ht_ct62",
    "xiao_esp32s3_wio_sx1262",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the virtual board to spoil."""
    folder = tmp_path / "virtual"
    shutil.copytree(boards_folder() / "virtual", folder)
    return folder


def spoil(folder: Path, old: str, new: str, file: str = "board.toml") -> CommunodeError:
    """Replace ``old`` by ``new`` once, read the board, return the error."""
    path = folder / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(CommunodeError) as caught:
        read_board(folder)
    assert caught.value.usage
    assert str(path.name) in caught.value.message
    return caught.value


def test_every_promised_board_is_there() -> None:
    assert set(board_names()) >= REQUIRED


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_board_loads_and_can_be_listed(name: str) -> None:
    board = load_board(name)
    assert describe(board)["name"] == name
    assert board.image.version == "1.27.0"
    assert {"i2c0", "uart1", "onewire0"} <= set(board.buses)
    assert all(current.source for current in board.currents.values())
    assert (boards_folder() / name / "README.md").read_text("utf-8").startswith("#")


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_wake_pins_are_not_the_radios(name: str) -> None:
    board = load_board(name)
    radio = {pin for role, pin in board.roles().items() if role.startswith("LORA_")}
    assert not radio & set(board.wake_pins)


def test_an_sx1276_board_has_dio0_and_no_busy() -> None:
    radio = load_board("lilygo_t3_v1_6_1").radio
    assert (radio.chip, radio.busy, radio.dio0) == ("sx1276", None, 26)


def test_an_unknown_board_names_the_known_ones() -> None:
    with pytest.raises(CommunodeError) as caught:
        load_board("vritual")
    assert caught.value.usage
    assert "heltec_ht_ct62" in caught.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "code", "named"),
    [
        ("sck = 9", "", "toml.missing", "radio.sck"),
        ("sck = 9", 'sck = "9"', "toml.wrong_value", "radio.sck"),
        ("sck = 9", "sck = true", "toml.wrong_value", "radio.sck"),
        ("sck = 9", "sck = 30", "board.no_such_pin", "radio.sck"),
        ("sck = 9", "sck = 10", "board.pin_twice", "GPIO10"),
        ("sck = 9", "sck = 9\nscl = 8", "toml.unknown_key", "radio.scl"),
        ('chip = "esp32s3"', 'chip = "esp32s9"', "toml.wrong_value", "chip"),
        ('arch = "xtensawin"', 'arch = "rv32imc"', "toml.wrong_value", "arch"),
        ('name = "virtual"', 'name = "real"', "toml.wrong_value", "name"),
        ("pin = 1\nratio", "pin = 20\nratio", "board.not_adc", "battery.pin"),
        ("wake_pins = [0, 2, 3]", "wake_pins = [0, 35]", "toml.wrong_value", "wake_pins"),
        ("flash_size_mb = 4", "flash_size_mb = 2", "toml.wrong_value", "flash_size_mb"),
        ('kind = "uart"', 'kind = "can"', "toml.wrong_value", "buses.uart1.kind"),
        ('sha256 = "', 'sha256 = "xyz', "toml.wrong_value", "image.sha256"),
        ("active = {", "busy = {", "toml.missing", "currents.active"),
        ("[radio]", "[radio", "toml.syntax", "line"),
    ],
)
def test_a_mistake_is_named_with_its_key(copy: Path, old: str, new: str, code: str, named: str) -> None:
    error = spoil(copy, old, new)
    assert error.code == code
    assert named in error.message


def test_an_input_only_pin_cannot_drive_a_bus(tmp_path: Path) -> None:
    folder = tmp_path / "lilygo_t3_v1_6_1"
    shutil.copytree(boards_folder() / "lilygo_t3_v1_6_1", folder)
    assert spoil(folder, "sda = 21", "sda = 36").code == "board.input_only"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("LORA_SCK,GPIO9", "LORA_SCK,GPIO5", "board.pins_differ"),
        ("LORA_SCK,GPIO9\n", "", "board.pins_differ"),
        ("LORA_SCK,GPIO9", "LORA_SCK GPIO9", "board.pins_line"),
        ("LORA_SCK,GPIO9", "LORA_SCK,GPIO9\nLORA_SCK,GPIO9", "board.pins_line"),
    ],
)
def test_pins_csv_must_agree(copy: Path, old: str, new: str, code: str) -> None:
    assert spoil(copy, old, new, "pins.csv").code == code
