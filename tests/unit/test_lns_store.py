# SPDX-License-Identifier: MIT
"""The bench server's memory: permissions, identity changes, foreign files, keys that stay out of texts."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from communode.errors import CommunodeError
from communode.lns.adr import AdrSettings, link_adr_request
from communode.lns.mac import DOWNLINK_LENGTHS, UPLINK_LENGTHS, split
from communode.lns.region import EU868
from communode.lns.session import Device, Downlink, Heard, Session
from communode.lns.store import Store

EUI = "70b3d57ed0001234"
KEY = bytes(range(16))


def session(**changes) -> Session:
    fields = {
        "dev_eui": EUI,
        "dev_addr": 5,
        "nwk_s_key": bytes(16),
        "app_s_key": KEY,
        "rx1_delay_s": 1,
        "rx1_dr_offset": 0,
        "rx2_data_rate": 0,
        "rx2_hz": 869_525_000,
        "channels_hz": [868_100_000, 868_300_000, 868_500_000],
    }
    return Session(**(fields | changes))


def test_the_file_is_for_its_owner_only(tmp_path: Path):
    path = tmp_path / "lns.sqlite"
    store = Store(path)
    store.add(Device(EUI, "00" * 8, KEY))
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    store.close()


def test_a_session_comes_back_as_it_was(tmp_path: Path):
    path = tmp_path / "lns.sqlite"
    store = Store(path)
    store.add(Device(EUI, "00" * 8, KEY, "bin 7"))
    kept = session(fcnt_up=70_000, history=[Heard(1, -3.5)], queued_commands=b"\x06", rx1_hz={"1": 2})
    store.save_session(kept)
    store.close()
    again = Store(path)
    assert again.session(EUI) == kept
    assert again.sessions_of_address(5) == [kept]
    assert again.device(EUI) == Device(EUI, "00" * 8, KEY, "bin 7")
    again.close()


def test_another_key_needs_replace_and_drops_the_session():
    store = Store()
    store.add(Device(EUI, "00" * 8, KEY))
    store.save_session(session())
    store.enqueue(EUI, Downlink(1, b"x"))
    with pytest.raises(CommunodeError) as caught:
        store.add(Device(EUI, "00" * 8, bytes(16)))
    assert caught.value.code == "network.device_exists"
    assert KEY.hex() not in str(caught.value)
    store.add(Device(EUI, "00" * 8, bytes(16)), replace=True)
    assert store.session(EUI) is None
    assert store.queue(EUI) == []


def test_dev_addrs_are_never_given_twice_across_restarts(tmp_path: Path):
    path = tmp_path / "lns.sqlite"
    given = []
    for _ in range(3):
        store = Store(path)
        given += [store.next_dev_addr(0x13) for _ in range(3)]
        store.close()
    assert len(set(given)) == 9
    assert {address >> 25 for address in given} == {0x13}


@pytest.mark.parametrize("content", [b"not a database, but long enough to be read as one" * 50, None])
def test_what_is_no_store_is_a_clear_error(tmp_path: Path, content: bytes | None):
    path = tmp_path / "lns.sqlite"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(CommunodeError) as caught:
        Store(path)
    assert caught.value.code == "network.store_unusable"
    assert caught.value.usage


def test_a_store_of_another_version_is_left_alone(tmp_path: Path):
    path = tmp_path / "lns.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(CommunodeError, match="schema 99"):
        Store(path)


def test_only_the_newest_frames_are_kept():
    store = Store()
    for number in range(10_700):
        store.log_frame("", EUI, "up", number, b"\x40")
    kept = store.frames(EUI)
    assert 10_000 <= len(kept) <= 10_256
    assert kept[-1][3] == 10_699


def test_a_failed_transaction_leaves_nothing():
    store = Store()

    def fail() -> None:
        with store.transaction():
            store.count("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert store.count("x") == 1


def test_keys_do_not_show_in_the_text_of_devices_and_sessions():
    shown = repr(Device(EUI, "00" * 8, KEY)) + repr(session())
    assert repr(KEY) not in shown
    assert KEY.hex() not in shown


@pytest.mark.parametrize(
    ("commands", "lengths", "expected"),
    [
        (b"\x02\x0d", UPLINK_LENGTHS, [(2, b""), (13, b"")]),
        (b"\x03\x07\x06\xff\x09", UPLINK_LENGTHS, [(3, b"\x07"), (6, b"\xff\x09")]),
        (b"\x02\x80\x02", UPLINK_LENGTHS, [(2, b"")]),
        (b"\x06\xff", UPLINK_LENGTHS, []),
        (
            bytes.fromhex("020a010d120b9f55800352ff0001"),
            DOWNLINK_LENGTHS,
            [(2, b"\x0a\x01"), (13, bytes.fromhex("120b9f5580")), (3, bytes.fromhex("52ff0001"))],
        ),
    ],
)
def test_commands_are_split_up_to_the_first_that_cannot_be_read(commands, lengths, expected):
    assert split(commands, lengths) == expected


def heard(count: int, snr_db: float, step: int = 1) -> list[Heard]:
    return [Heard(number * step, snr_db) for number in range(count)]


@pytest.mark.parametrize(
    ("data_rate", "power_index", "snr_db", "expected"),
    [
        (0, 0, 5.0, "0350070001"),  # 15 dB to spare: five steps, DR5
        (0, 0, -10.0, None),  # just the margin
        (0, 0, -7.0, "0310070001"),
        (5, 0, 20.0, "0355070001"),  # 17.5 dB: power down five steps
        (5, 3, 2.5, None),
        (5, 3, -4.0, "0351070001"),  # 6.5 dB short: two steps of power back
        (5, 7, 30.0, None),
        (3, 0, -20.0, None),  # never slower
    ],
)
def test_adr_turns_snr_into_rate_and_power(data_rate, power_index, snr_db, expected):
    state = session(data_rate=data_rate, power_index=power_index, history=heard(20, snr_db))
    assert (link_adr_request(state, EU868, AdrSettings()).hex() or None) == expected


def test_adr_waits_for_twenty_uplinks():
    state = session(history=heard(19, 20.0))
    assert link_adr_request(state, EU868, AdrSettings()) == b""


@pytest.mark.parametrize(("step", "nb_trans"), [(1, 1), (2, 3)])
def test_adr_repeats_frames_only_when_allowed(step: int, nb_trans: int):
    state = session(data_rate=5, history=heard(20, 2.5, step))
    request = link_adr_request(state, EU868, AdrSettings(max_nb_trans=3))
    assert (request[-1] if request else 1) == nb_trans
    assert link_adr_request(state, EU868, AdrSettings()) == b""


def test_adr_history_has_a_limit():
    with pytest.raises(ValueError, match="1 to 20"):
        AdrSettings(history=21)
