# SPDX-License-Identifier: MIT
"""Every region: its numbers hang together, and the rules of its own hold."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from communode.node.lorawan import channels
from communode.node.lorawan.exchange import Plan, Wait
from communode.node.lorawan.mac import Mac
from communode.node.lorawan.region import plan as plans
from communode.node.lorawan.runner import Runner
from communode.node.radio.airtime import time_on_air_us
from communode.node.storage.delivery import SLOW_AIRTIME_HELD_MS
from lorawan_air import Air, Block, FakeModem, MemoryStore, VirtualClock, entropy

FOLDER = Path(plans.__file__).parent
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ("__init__", "plan", "fixed", "as923"))
DWELL_US = 400_000


def region_of(name: str) -> plans.Region:
    region = importlib.import_module("communode.node.lorawan.region." + name).REGION
    assert isinstance(region, plans.Region)
    return region


def new_mac(name: str, dev_eui: bytes = bytes(8), joined: bool = True) -> Mac:
    mac = Mac(region_of(name), Block, dev_eui, bytes(8), bytes(16))
    mac.restore(None, None, 0)
    if joined:
        mac.personalize(1, bytes(16), bytes(16))
    return mac


def joins(mac: Mac, count: int) -> list[Plan]:
    """That many join-requests, however long the pauses are."""
    got: list[Plan] = []
    now = 0
    while len(got) < count:
        plan = mac.join(now)
        if isinstance(plan, Wait):
            now += plan.ms
            continue
        got.append(plan)
        mac.finish(now)
    return got


def order(mac: Mac, hexes: str) -> str:
    """MAC commands as if received; the answers."""
    from communode.node.lorawan import commands

    return commands.execute(mac, bytes.fromhex(hexes), 0, 0).hex()


def test_all_regions_of_the_issue_are_there() -> None:
    assert [region_of(name).name for name in NAMES] == [
        "AS923-1",
        "AS923-2",
        "AS923-3",
        "AS923-4",
        "AU915",
        "EU433",
        "EU868",
        "IN865",
        "KR920",
        "US915",
    ]
    assert len({region_of(name).code for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_tables_of_a_region_hang_together(name: str) -> None:
    region = region_of(name)
    session = new_mac(name).session
    assert len(region.max_mac_payload) == len(region.data_rates)
    assert len(region.dwell_mac_payload) in (0, len(region.data_rates))
    assert region.receivable(region.rx2_frequency_hz)
    assert region.downlink_rate(region.rx2_data_rate)
    for data_rate, rate in enumerate(region.data_rates):
        assert (region.max_mac_payload[data_rate] > 0) == (rate is not None)
        if not region.payload_limit(session, data_rate):
            continue
        for offset in range(region.max_rx1_dr_offset + 1):
            if region.supporting(session, session.mask, data_rate):
                assert region.known_rate(region.rx1_data_rate(session, data_rate, offset))
    for channel in range(72):
        if session.mask >> channel & 1:
            frequency = region.frequency_hz(session, channel)
            assert not region.sub_bands or region.band(frequency) >= 0
            assert region.receivable(region.rx1_frequency_hz(session, channel))


@pytest.mark.parametrize("name", ["us915", *(name for name in NAMES if region_of(name).dwell_mac_payload)])
def test_the_longest_uplink_and_the_join_request_respect_the_dwell_time(name: str) -> None:
    region = region_of(name)
    session = new_mac(name).session
    for data_rate in range(len(region.data_rates)):
        limit = region.payload_limit(session, data_rate)
        if limit and region.supporting(session, session.mask, data_rate):
            uplink = channels.parameters(region, 0, data_rate, False)
            assert time_on_air_us(uplink, limit + 5) <= DWELL_US
    for plan in joins(new_mac(name, joined=False), 20):
        assert plan.airtime_us <= DWELL_US


@pytest.mark.parametrize("name", NAMES)
def test_a_node_joins_sends_and_is_restored_in_every_region(name: str) -> None:
    mac = new_mac(name)
    region = mac.region
    plan = mac.uplink(0, 1, b"x")
    assert isinstance(plan, Plan)
    assert plan.data_rate == region.lowest_rate(mac.session)
    assert region.low_hz <= plan.rx1.frequency_hz <= region.high_hz
    flash, cache = mac.flash_record(0), mac.cache_record(0)
    assert len(flash) <= 512
    again = Mac(region, Block, bytes(8), bytes(8), bytes(16))
    again.restore(flash, cache, 10)
    assert again.session.mask == mac.session.mask
    assert again.cache_record(0) == cache


@pytest.mark.parametrize("name", ["us915", "au915"])
def test_seventy_two_joins_use_every_channel_once(name: str) -> None:
    for last in range(0, 8, 3):
        plans_made = joins(new_mac(name, bytes((0, 0, 0, 0, 0, 0, 0, last)), joined=False), 72)
        assert len({plan.uplink.frequency_hz for plan in plans_made}) == 72
        wide = [plan for plan in plans_made if plan.uplink.bandwidth_hz == 500_000]
        assert len(wide) == 8
        assert {plan.data_rate for plan in wide} == {4 if name == "us915" else 6}
        assert {plan.data_rate for plan in plans_made if plan not in wide} == {0 if name == "us915" else 2}


def test_joins_can_be_kept_in_one_bank() -> None:
    mac = new_mac("us915", joined=False)
    mac.region = type(mac.region)()
    mac.region.bank = 1  # type: ignore[attr-defined]
    for plan in joins(mac, 18):
        frequency = plan.uplink.frequency_hz
        assert 903_900_000 <= frequency <= 905_300_000 or frequency == 904_600_000


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("us915", ["10 9 8 8", "11 10 9 8", "12 11 10 9", "13 12 11 10", "13 13 12 11"]),
        (
            "au915",
            [
                "8 8 8 8 8 8",
                "9 8 8 8 8 8",
                "10 9 8 8 8 8",
                "11 10 9 8 8 8",
                "12 11 10 9 8 8",
                "13 12 11 10 9 8",
                "13 13 12 11 10 9",
            ],
        ),
        ("eu868", ["0 0 0 0 0 0", "1 0 0 0 0 0", "2 1 0 0 0 0", "3 2 1 0 0 0", "4 3 2 1 0 0", "5 4 3 2 1 0"]),
        ("in865", ["0 0 0 0 0 0 1 2", "1 0 0 0 0 0 2 3", "2 1 0 0 0 0 3 4", "3 2 1 0 0 0 4 5"]),
    ],
)
def test_rx1_data_rates_are_those_of_the_regional_table(name: str, table: list[str]) -> None:
    region, session = region_of(name), new_mac(name).session
    for data_rate, row in enumerate(table):
        want = [int(cell) for cell in row.split()]
        assert [region.rx1_data_rate(session, data_rate, offset) for offset in range(len(want))] == want


def test_as923_rx1_follows_the_downlink_dwell_time() -> None:
    mac = new_mac("as923_1")
    rates = [mac.region.rx1_data_rate(mac.session, 5, offset) for offset in range(8)]
    assert rates == [5, 4, 3, 2, 2, 2, 5, 5]
    assert order(mac, "0905") == "09"  # both limits lifted, 16 dBm
    rates = [mac.region.rx1_data_rate(mac.session, 5, offset) for offset in range(8)]
    assert rates == [5, 4, 3, 2, 1, 0, 5, 5]


def test_the_dwell_time_limit_is_lifted_by_the_network() -> None:
    mac = new_mac("au915")
    assert (mac.session.data_rate, mac.max_payload()) == (2, 11)
    assert order(mac, "03 0f ff 00 01") == "0305"  # DR0 under the limit: no
    assert order(mac, "090d") == "09"
    assert mac.max_payload() == 51
    assert order(mac, "03 0f ff 00 01") == "0307"
    assert mac.max_payload() == 51


def test_max_eirp_of_tx_param_setup_is_followed_down() -> None:
    mac = new_mac("as923_1")
    assert mac.region.eirp_dbm(mac.session, 0, 0) == 16
    order(mac, "0932")
    assert mac.region.eirp_dbm(mac.session, 1, 0) == 10


@pytest.mark.parametrize(
    ("hexes", "answer", "mask"),
    [
        ("0300000070", "0306", None),  # nothing is left on
        ("0300ff0070", "0305", None),  # only wide channels: DR0 is not possible
        ("0340ff0070", "0307", 0xFF << 64),
        ("03000100700300ff0000", "03070307", 0xFF | 1 << 64),  # TTN: all off but one, then channels 0-7
        ("0300020050", "0307", 0xFF00 | 1 << 65),  # bank 1
        ("0300000060", "0307", (1 << 64) - 1),
        ("03000100700300010000", "03060306", None),  # a single narrow channel
        ("0300ff0040", "0307", (1 << 72) - 1),
        ("03f0ff0040", "0307", (1 << 72) - 1),
        ("0350ff0060", "0305", None),  # DR5 is LR-FHSS
        ("0380ff0060", "0305", None),  # DR8 is a downlink rate
        ("030fff0060", "0307", (1 << 72) - 1),
    ],
)
def test_link_adr_of_the_fixed_plans(hexes: str, answer: str, mask: int | None) -> None:
    mac = new_mac("us915")
    before = mac.session.mask
    assert order(mac, hexes) == answer
    assert mac.session.mask == (before if mask is None else mask)


def test_the_cf_list_of_the_fixed_plans_is_a_mask() -> None:
    mac = new_mac("us915")
    mac.region.take_cf_list(mac.session, bytes.fromhex("00ff000000000000020000000000 0001".replace(" ", "")))
    assert mac.session.mask == 0xFF00 | 2 << 64
    mac.region.take_cf_list(mac.session, bytes.fromhex("184f84e85684b85e84886684586e8400"))  # type 0: ignored
    assert mac.session.mask == 0xFF00 | 2 << 64


def test_the_fixed_plans_drop_commands_about_channels() -> None:
    assert order(new_mac("us915"), "0703084384500a00d2ad8406") == "06ff00"


def test_rx_param_setup_of_the_fixed_plans_wants_a_downlink_rate() -> None:
    mac = new_mac("us915")
    assert order(mac, "0508" + (9_233_000).to_bytes(3, "little").hex()) == "0507"
    assert order(mac, "0503" + (9_233_000).to_bytes(3, "little").hex()) == "0505"


def test_us915_with_fewer_than_fifty_channels_sends_no_more_than_21_dbm() -> None:
    mac = new_mac("us915")
    assert mac.region.eirp_dbm(mac.session, 0, 0) == 30
    order(mac, "0300020050")
    assert mac.region.eirp_dbm(mac.session, 0, 0) == 21
    assert mac.region.eirp_dbm(mac.session, 7, 0) == 16


def test_as923_groups_move_channels_and_rx2() -> None:
    seen = [region_of("as923_" + str(group)) for group in (1, 2, 3, 4)]
    assert [region.default_channels_hz[0] for region in seen] == [
        923_200_000,
        921_400_000,
        916_600_000,
        917_300_000,
    ]
    assert [region.rx2_frequency_hz for region in seen] == [
        923_200_000,
        921_400_000,
        916_600_000,
        917_300_000,
    ]


class QuietAfter(FakeModem):
    """A channel that is busy for the first ``busy`` looks."""

    looks = 0
    busy_looks = 0

    def rssi_dbm(self) -> int:
        self.looks += 1
        self.clock.time_us += 500
        return -50 if self.looks <= self.busy_looks else -100


@pytest.mark.parametrize(
    ("busy", "code", "sent"), [(0, "no_accept", 1), (3, "no_accept", 1), (999, "channel_busy", 0)]
)
def test_kr920_listens_before_it_talks(busy: int, code: str, sent: int) -> None:
    clock, air = VirtualClock(), Air()
    modem = QuietAfter(clock, air)
    modem.busy_looks = busy
    mac = Mac(region_of("kr920"), Block, bytes(8), bytes(8), bytes(16))
    runner = Runner(mac, modem, clock, MemoryStore(modem), entropy(1))
    assert runner.join().code == code
    assert len(air.uplinks) == sent
    assert modem.looks >= (12 if sent else 8)


def test_kr920_sends_no_more_than_10_dbm_below_922_mhz() -> None:
    mac = new_mac("kr920")
    assert mac.region.eirp_dbm(mac.session, 0, 921_900_000) == 10
    assert mac.region.eirp_dbm(mac.session, 0, 922_100_000) == 14


def test_the_adr_ladder_skips_what_is_no_uplink_rate() -> None:
    mac = new_mac("au915")
    mac.session.data_rate = 6
    mac.session.mask = (1 << 72) - 2
    seen = []
    for number in range(64 + 32 * 6 + 1):
        plan = mac.uplink(number * 600_000, 1, b"x")
        assert isinstance(plan, Plan)
        seen.append(plan.data_rate)
        mac.close()
    assert sorted(set(seen)) == [2, 3, 4, 5, 6]
    assert mac.session.mask == (1 << 72) - 1


@pytest.mark.parametrize("name", NAMES)
def test_the_day_s_airtime_can_hold_the_longest_frame_of_every_rate(name: str) -> None:
    mac = new_mac(name)
    for data_rate in range(len(mac.region.data_rates)):
        if mac.region.known_rate(data_rate):
            mac.session.data_rate = data_rate
            assert 0 < mac.longest_ms() <= SLOW_AIRTIME_HELD_MS
