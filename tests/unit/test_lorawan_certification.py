# SPDX-License-Identifier: MIT
"""TS009 on port 224: the commands, over the air, as a test laboratory sends them."""

from __future__ import annotations

import pytest
from communode.node.lorawan.certification import F_PORT, Certification
from communode.node.lorawan.runner import Outcome
from runner_bench import Network, Node


class Laboratory:
    """A node in test mode, and a harness that gives one command at a time."""

    def __init__(self) -> None:
        self.network = Network()
        self.node = Node(self.network).joined()
        self.dut = Certification(self.node.mac, (1, 2, 3, 4))

    def round(self) -> Outcome:
        """One uplink of the node, with whatever the network answers; then its pause."""
        f_port, payload, confirmed = self.dut.next_uplink()
        outcome = self.node.runner.send(f_port, payload, confirmed)
        self.dut.take(outcome.downlinks, outcome.acked)
        self.node.sleep(self.dut.period_ms)
        return outcome

    def order(self, hexes: str, f_port: int = F_PORT) -> bytes:
        """Give a command in RX1; what the node then sends on port 224, empty when nothing."""
        self.network.reply = lambda data: {"fport": f_port, "payload": bytes.fromhex(hexes)}
        self.round()
        self.network.reply = lambda data: None
        self.round()
        last = self.network.received[-1]
        return bytes(last.payload) if last.fport == F_PORT else b""


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("00", "000601"),
        ("7f", "7f010203040100040002010004"),
        ("08010203ff", "0802030400"),
        ("08", "08"),
        ("03", ""),  # class A stays class A
        ("7d0800d8b2830e", ""),
        ("55", ""),
    ],
)
def test_what_the_harness_asks_is_answered_on_port_224(command: str, answer: str) -> None:
    assert Laboratory().order(command).hex() == answer


def test_the_answer_is_sent_once() -> None:
    lab = Laboratory()
    assert lab.order("00")
    lab.round()
    assert lab.network.received[-1].fport != F_PORT


def test_an_echo_is_cut_to_what_the_rate_can_carry() -> None:
    lab = Laboratory()
    lab.node.mac.session.data_rate = 0
    lab.network.window = 1
    assert lab.order("08" + "00" * 50) == b"\x08" + b"\x01" * 50
    lab.node.mac.request_link_check()
    lab.dut._answer = bytes(60)
    assert len(lab.dut.next_uplink()[1]) == 50


def test_the_same_command_on_another_port_is_not_followed() -> None:
    assert Laboratory().order("00", f_port=10) == b""


def test_adr_can_be_switched() -> None:
    lab = Laboratory()
    lab.order("0400")
    assert not lab.network.received[-1].adr
    lab.order("0401")
    assert lab.network.received[-1].adr


def test_the_period_follows_the_table() -> None:
    lab = Laboratory()
    for index, seconds in enumerate((10, 5, 10, 20, 30, 40, 50, 60, 120, 240, 480)):
        lab.order(f"06{index:02x}")
        assert lab.dut.period_ms == 1000 * seconds
    lab.order("060b")
    assert lab.dut.period_ms == 480_000


def test_frames_can_be_confirmed_or_not() -> None:
    lab = Laboratory()
    lab.order("0702")
    assert lab.network.received[-1].confirmed
    lab.order("0700")
    assert lab.network.received[-1].confirmed
    lab.order("0701")
    assert not lab.network.received[-1].confirmed


def test_downlinks_are_counted_little_endian() -> None:
    lab = Laboratory()
    lab.network.reply = lambda data: {"fport": 10, "payload": b"x"}
    for _ in range(3):
        lab.round()
    assert lab.order("09") == b"\x09\x04\x00"
    lab.order("0a")
    assert lab.order("09") == b"\x09\x01\x00"


def test_mac_requests_can_be_ordered() -> None:
    lab = Laboratory()
    lab.order("20")
    assert bytes(lab.network.received[-1].fopts) == b"\x02"
    lab.order("21")
    assert bytes(lab.network.received[-1].fopts) == b"\x0d"


def test_the_duty_cycle_can_be_switched_off_and_on_for_the_laboratory() -> None:
    lab = Laboratory()
    lab.node.mac.session.data_rate = 0
    lab.node.mac.set_adr(False)
    lab.dut.period_ms = 0
    lab.order("0500")
    for _ in range(100):
        assert lab.round().code == "sent"
    lab.order("0501")
    assert lab.node.runner.send(1, bytes(51)).reason == "duty_cycle"


@pytest.mark.parametrize(("command", "action"), [("01", "reset"), ("02", "join"), ("7e", "disable")])
def test_what_only_the_caller_can_do_is_handed_to_it(command: str, action: str) -> None:
    lab = Laboratory()
    lab.order(command)
    assert lab.dut.action == action


def test_a_dut_that_is_told_to_join_joins_again_with_the_next_dev_nonce() -> None:
    lab = Laboratory()
    lab.order("02")
    assert lab.node.runner.join().code == "joined"
    assert lab.network.dev_nonces == [0, 1]
    assert lab.round().code == "sent"
    assert lab.network.received[-1].fcnt == 0
