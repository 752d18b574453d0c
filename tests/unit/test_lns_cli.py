# SPDX-License-Identifier: MIT
"""``communode lns`` as a person or a script uses it: a subprocess, a store, a gateway on a real socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from communode.lns.semtech import Datagram, Kind, RxPacket, TxPacket
from foreign_node import APP_KEY, JOIN_EUI, ForeignNode

GATEWAY = "00800000a000beef"
EUI = "70b3d57ed0001234"


def communode(*arguments: str, folder: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "communode", "lns", *arguments]
    environment = os.environ | {"COMMUNODE_LANG": "en", "NO_COLOR": "1"}
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, timeout=60, cwd=folder, env=environment
    )


def add(folder: Path, *more: str, key: str = APP_KEY.hex()) -> subprocess.CompletedProcess[str]:
    return communode("add", "--dev-eui", EUI, "--join-eui", JOIN_EUI, *more, folder=folder, stdin=key + "\n")


def failure(done: subprocess.CompletedProcess[str]) -> str:
    found = json.loads(done.stdout)
    assert found["ok"] is False
    assert found["error"]["message"]
    assert found["error"]["remedy"]
    assert "Traceback" not in done.stderr
    return str(found["error"]["code"])


def test_a_device_is_added_listed_and_removed_and_its_key_never_shown(tmp_path: Path):
    done = add(tmp_path, "--json", "--name", "bin 7")
    assert json.loads(done.stdout) == {"schema": 1, "added": [EUI]}
    listed = communode("list", "--json", folder=tmp_path)
    (device,) = json.loads(listed.stdout)["devices"]
    assert (device["dev_eui"], device["name"], device["dev_addr"]) == (EUI, "bin 7", None)
    human = communode("list", folder=tmp_path)
    assert EUI in human.stdout
    for text in (done.stdout, done.stderr, listed.stdout, human.stdout):
        assert APP_KEY.hex() not in text
    assert (tmp_path / "communode-lns.sqlite").stat().st_mode & 0o777 == 0o600
    assert communode("remove", "--dev-eui", EUI, folder=tmp_path).returncode == 0
    assert json.loads(communode("list", "--json", folder=tmp_path).stdout)["devices"] == []


def test_devices_come_from_a_keys_file(tmp_path: Path):
    entry = {"dev_eui": EUI, "join_eui": JOIN_EUI, "app_key": APP_KEY.hex(), "command_key": "00" * 16}
    (tmp_path / "keys.json").write_text(json.dumps([entry]))
    done = communode("add", "--from", "keys.json", "--json", folder=tmp_path)
    assert json.loads(done.stdout)["added"] == [EUI]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["add", "--dev-eui", "12"], APP_KEY.hex(), "provision.bad_eui"),
        (["add", "--dev-eui", EUI], "s3cret-but-no-key", "network.bad_key"),
        (["add", "--dev-eui", EUI, "--key-file", "absent"], "", "network.key_unreadable"),
        (["add", "--from", "absent.json"], "", "network.key_unreadable"),
        (["add", "--from", "broken.json"], "", "network.bad_keys"),
        (["add"], "", "cli.usage"),
        (["list", "--store", "absent.sqlite"], "", "network.store_unusable"),
        (["list", "--store", "broken.json"], "", "network.store_unusable"),
        (["run", "--bind", "nowhere"], "", "network.bad_address"),
        (["send", "--dev-eui", EUI, "--f-port", "3", "xyz"], "", "network.bad_payload"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_status_2(tmp_path: Path, arguments, stdin, code):
    (tmp_path / "broken.json").write_text('{"nodes": 5, "padding": "' + "x" * 2000 + '"}')
    done = communode(*arguments, "--json", folder=tmp_path, stdin=stdin)
    assert failure(done) == code
    assert done.returncode == 2
    assert "s3cret-but-no-key" not in done.stdout + done.stderr


def test_an_unknown_device_is_exit_status_1(tmp_path: Path):
    add(tmp_path)
    done = communode("send", "--dev-eui", "00" * 8, "--f-port", "3", "00", "--json", folder=tmp_path)
    assert (failure(done), done.returncode) == ("network.unknown_device", 1)


def test_another_key_for_a_known_device_needs_replace(tmp_path: Path):
    add(tmp_path)
    done = add(tmp_path, "--json", key="11" * 16)
    assert failure(done) == "network.device_exists"
    assert add(tmp_path, "--replace", key="11" * 16).returncode == 0


def test_help_of_every_command_has_an_example(tmp_path: Path):
    for command in ([], ["run"], ["add"], ["list"], ["remove"], ["flush-nonces"], ["send"]):
        assert "Example: communode lns" in communode(*command, "--help", folder=tmp_path).stdout


class Running:
    """``communode lns run --json`` and a gateway that talks to it."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "communode", "lns", "run", "--bind", "127.0.0.1:0"]
        command += ["--rx1-delay", "2", "--dedup", "0", "--json"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
        )
        ready = self.event()
        assert ready["event"] == "ready"
        host, _, port = ready["address"].rpartition(":")
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.socket.connect((host, int(port)))
        self.ask(Datagram(Kind.PULL_DATA, 1, GATEWAY, {}))
        self.tmst_us = 0

    def event(self) -> dict:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, datagram: Datagram) -> list[Datagram]:
        """Send, and read up to the acknowledgement."""
        self.socket.send(datagram.to_wire())
        found = [Datagram.from_wire(self.socket.recv(65507))]
        while found[-1].kind not in (Kind.PUSH_ACK, Kind.PULL_ACK):
            found.append(Datagram.from_wire(self.socket.recv(65507)))
        return found[:-1]

    def uplink(self, phy: bytes) -> TxPacket | None:
        self.tmst_us += 10_000_000
        packet = RxPacket(phy, self.tmst_us, 868_100_000, 7, 125_000, -80, 7.0)
        answers = self.ask(Datagram(Kind.PUSH_DATA, 2, GATEWAY, {"rxpk": [packet.to_json()]}))
        for answer in answers:
            done = {"txpk_ack": {"error": "NONE"}}
            self.socket.send(Datagram(Kind.TX_ACK, answer.token, GATEWAY, done).to_wire())
        return TxPacket.from_json(answers[0].body) if answers else None

    def stop(self, by: signal.Signals) -> int:
        self.process.send_signal(by)
        self.process.communicate(timeout=20)
        self.socket.close()
        return self.process.returncode


def test_run_serves_a_gateway_streams_events_and_takes_downlinks_from_send(tmp_path: Path):
    add(tmp_path)
    node = ForeignNode(dev_eui=EUI)
    running = Running(tmp_path)
    try:
        accept = running.uplink(node.join_request())
        assert accept is not None
        node.accept(accept.payload)
        assert node.accepted.rx_delay == 2
        assert running.event()["event"] == "txack"
        running.uplink(node.uplink(b"\x01\x02"))
        assert [running.event()["event"] for _ in range(2)] == ["join", "up"]
        sent = communode("send", "--dev-eui", EUI, "--f-port", "9", "c0ffee", "--json", folder=tmp_path)
        item = json.loads(sent.stdout)["queued"]
        down = running.uplink(node.uplink(b"\x03"))
        assert down is not None
        assert bytes(node.take(down.payload).payload) == b"\xc0\xff\xee"
        assert running.event()["fCnt"] == 1
        assert running.event()["queueItemId"] == item
    finally:
        status = running.stop(signal.SIGTERM)
    assert status == 0
    (device,) = json.loads(communode("list", "--json", folder=tmp_path).stdout)["devices"]
    assert (device["fcnt_up"], device["fcnt_down"], device["last_dev_nonce"]) == (1, 1, 1)
    assert communode("flush-nonces", "--dev-eui", EUI, folder=tmp_path).returncode == 0
    (device,) = json.loads(communode("list", "--json", folder=tmp_path).stdout)["devices"]
    assert device["last_dev_nonce"] is None


def test_ctrl_c_is_exit_status_130(tmp_path: Path):
    assert Running(tmp_path).stop(signal.SIGINT) == 130


def test_a_taken_port_is_a_sentence(tmp_path: Path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        bind = "127.0.0.1:{}".format(taken.getsockname()[1])
        done = communode("run", "--bind", bind, "--json", folder=tmp_path)
    assert (failure(done), done.returncode) == ("network.bind_failed", 1)
