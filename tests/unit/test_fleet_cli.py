# SPDX-License-Identifier: MIT
"""``communode fleet`` as programs and people call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from communode.cli import run
from communode.errors import CommunodeError
from communode.fleet.register import Register
from communode.identity import new_identity
from communode.lns.session import Session
from communode.network.bench import BenchServer
from communode.network.registration import NetworkDevice
from communode.vault import Vault
from communode.vault_locks import PassphraseLock, passphrase_from
from fleet_bench import new_node

EUI = new_node(1).dev_eui


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fleet's folder with two nodes."""
    monkeypatch.setenv("COMMUNODE_FLEET", str(tmp_path))
    monkeypatch.setenv("COMMUNODE_LANG", "en")
    with Register(tmp_path / "fleet.sqlite") as register:
        register.add_node(new_node(1, site="school"), state="provisioned")
        register.add_node(new_node(2, name="spare"), state="provisioned")
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, Any]:
    """What a command says in JSON, which is one object and nothing else."""
    assert run(["fleet", *arguments, "--json"]) == status
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1
    return answer


def test_lists_are_wrapped_and_filtered(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [node["name"] for node in told(capsys, "list")["nodes"]] == ["spare", "node-1"]
    assert [node["name"] for node in told(capsys, "list", "--site", "school")["nodes"]] == ["node-1"]
    assert told(capsys, "list", "--state", "retired")["nodes"] == []
    assert [node["name"] for node in told(capsys, "search", "spa")["nodes"]] == ["spare"]
    assert told(capsys, "show", EUI.upper())["node"]["site"] == "school"
    assert [site["name"] for site in told(capsys, "sites")["sites"]] == ["school"]


def test_a_swap_shows_in_the_history_of_the_site(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    swapped = told(capsys, "replace", "school", "--with", "spare", "--reason", "broken")
    assert (swapped["old"], swapped["new"]) == (EUI, new_node(2).dev_eui)
    answer = told(capsys, "history", "--site", "school")
    assert [event["kind"] for event in answer["events"]][-2:] == ["replaced", "placed"]
    assert [place["dev_eui"] for place in answer["placements"]] == [EUI, new_node(2).dev_eui]


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (["show", "nobody"], "fleet.unknown_node", 2),
        (["place", EUI, "nowhere"], "fleet.unknown_site", 2),
        (["place", "spare", "school"], "fleet.site_taken", 1),
        (["add-site", "a", "b", "--latitude", "1"], "fleet.bad_place", 2),
        (["import", "no-such-file.csv"], "fleet.unreadable", 2),
        (["keys", "status"], "vault.missing", 2),
        (["list", "--colour", "red"], "cli.usage", 2),
    ],
)
def test_what_goes_wrong_is_told_with_its_remedy(
    fleet: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str, status: int
) -> None:
    error = told(capsys, *arguments, status=status)["error"]
    assert error["code"] == code
    assert error["remedy"]


def test_exports_hold_no_key_and_never_replace_a_file(
    fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = fleet / "nodes.csv"
    assert run(["fleet", "export", "--out", str(out)]) == 0
    assert "app_key" not in out.read_text()
    assert run(["fleet", "export", "--out", str(out)]) == 2
    assert run(["fleet", "export", "--format", "geojson"]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown)["type"] == "FeatureCollection"


def test_keys_leave_by_name_only_and_it_is_recorded(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phrase = fleet / "phrase.txt"
    phrase.touch(mode=0o600)
    phrase.write_text("correct horse battery staple\n")
    identity = new_identity(bytes.fromhex(EUI))
    lock = PassphraseLock(passphrase_from(phrase), cost=2)
    with Vault.create(fleet / "vault.sqlite", lock) as vault:
        vault.keep_identity(identity)
    out = fleet / "keys.json"
    told(capsys, "keys", "export", "node-1", "--out", str(out), "--passphrase-file", str(phrase))
    assert out.stat().st_mode & 0o077 == 0
    assert json.loads(out.read_text()) == [identity.reveal()]
    with Register(fleet / "fleet.sqlite") as register:
        last = register.history(node=EUI)[-1]
    assert (last["kind"], last["detail"]) == ("keys_exported", {"to": str(out)})


def test_the_bench_server_keeps_counting_when_a_key_is_renewed(tmp_path: Path) -> None:
    server = BenchServer(tmp_path / "lns.sqlite")
    device = NetworkDevice(bytes.fromhex(EUI), bytes(8), b"\1" * 16, "school")
    assert [server.register(device), server.register(device)] == ["created", "kept"]
    known = server._store.device(EUI)
    assert known is not None
    known.last_dev_nonce, known.last_join_nonce = 7, 3
    server._store.save_nonces(known)
    server._store.save_session(Session(EUI, 0x01000001, bytes(16), bytes(16), 5, 0, 0, 869_525_000, []))
    assert server.joined(device.dev_eui) == "01000001"
    other = NetworkDevice(device.dev_eui, bytes(8), b"\2" * 16, "school")
    with pytest.raises(CommunodeError) as caught:
        server.register(other)
    assert caught.value.code == "registration.key_differs"
    assert server.register(other, renew=True) == "renewed"
    assert server.joined(device.dev_eui) is None
    renewed = server._store.device(EUI)
    assert renewed is not None
    assert (renewed.last_dev_nonce, renewed.last_join_nonce, renewed.app_key) == (7, 3, b"\2" * 16)
    server.flush_dev_nonces(device.dev_eui)
    flushed = server._store.device(EUI)
    assert flushed is not None
    assert flushed.last_dev_nonce == -1
    server.close()
