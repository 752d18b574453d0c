# SPDX-License-Identifier: MIT
"""From factory-new boards to labelled nodes by one command; afterwards a search for their keys everywhere."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from communode.fleet.register import Register
from communode.lns.server import ServerThread
from communode.lns.store import Store
from communode.vault import Vault
from communode.vault_locks import PassphraseLock, passphrase_from
from conftest import FirstBuild
from running_board import RunningBoard, start

pytestmark = pytest.mark.timeout(300)

BATCH = """
name = "lot-7"
board = "virtual"
profile = "water"
tenant = "Saint-Rémy"
join_timeout_s = 120

[network]
kind = "bench"
store = "lns/store.sqlite"

[labels]
folder = "labels"

[node.ecole]
site = "École Jules-Ferry"

[node.piscine]
site = "Piscine"
"""


class Watcher:
    """Reads, over and over, what other programs can see of ours: arguments and environment."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        self.seen.add((process / name).read_bytes())
                    except OSError:
                        continue  # it has ended, or is not ours

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def spellings(key: bytes) -> list[bytes]:
    """A key as it could be written down."""
    written = key.hex()
    in_three = [base64.b64encode(bytes(shift) + key)[4:-4] for shift in range(3)]  # wherever it begins
    spaced = [separator.join(written[n : n + 2] for n in range(0, 32, 2)) for separator in (" ", ":", "-")]
    texts = [written, written.upper(), *spaced, repr(key)[2:-1], str(list(key))[1:-1]]
    return [key, key[::-1], *in_three, *(text.encode() for text in texts)]


def files(folder: Path) -> dict[str, bytes]:
    """Everything on disk below ``folder``."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_tray_is_provisioned_by_one_command_and_no_key_is_left_anywhere(
    tmp_path: Path, built: FirstBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    for folder in (work, work / "lns", work / "boards", temporary):
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("COMMUNODE_FLEET", str(work / "fleet"))
    (work / "lot.toml").write_text(BATCH, "utf-8")
    phrase = work / "phrase.txt"
    phrase.touch(mode=0o600)
    phrase.write_text("correct horse battery staple\n")
    image = built("virtual", "water")
    store = Store(work / "lns" / "store.sqlite")
    command = ["communode", "provision", "--batch", work / "lot.toml", "--image", image]
    command += ["--passphrase-file", phrase, "--json"]
    with Watcher() as watcher, ServerThread(store) as server:
        gateway = "{}:{}".format(*server.address)
        boards = [
            RunningBoard(
                profile="water",
                flash=work / "boards" / f"{number}.flash",
                mac=f"02:00:c0:00:01:0{number}",
                gateway=gateway,
            )
            for number in (1, 2)
        ]
        with boards[0], boards[1]:
            ports = [part for board in boards for part in ("--port", board.port)]
            done = start(*command, *ports, limit_s=200)
            assert done.returncode == 0, (done.stdout, done.stderr)
            again = start(*command, *ports, limit_s=100)
            assert again.returncode == 0, (again.stdout, again.stderr)
    store.close()

    events = [json.loads(line) for line in done.stdout.splitlines()]
    steps = {event["dev_eui"]: event["step"] for event in events if event["event"] == "provisioned"}
    assert steps == {"0200c0fffe000101": "done", "0200c0fffe000102": "done"}
    listed = json.loads(start("communode", "fleet", "search", "jules", "--json").stdout)
    (node,) = listed["nodes"]
    assert (node["site"], node["state"]) == ("École Jules-Ferry", "provisioned")
    assert len(list((work / "labels").glob("*.png"))) == 2

    with Vault.open(work / "fleet" / "vault.sqlite", [PassphraseLock(passphrase_from(phrase))]) as vault:
        identities = [vault.identity(bytes.fromhex(dev_eui)) for dev_eui in steps]
    with Register(work / "fleet" / "fleet.sqlite") as register:
        assert not [event for event in register.history() if event["kind"] == "keys_exported"]
    where = files(tmp_path)
    where |= {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    where |= {f"process {number}": seen for number, seen in enumerate(watcher.seen)}
    keys = [key for identity in identities for key in (identity.app_key, identity.command_key)]
    found = {name for name, held in where.items() for key in keys for text in spellings(key) if text in held}
    # The boards hold their keys, and so does the network server, whose business they are.
    allowed = {name for name in where if name.endswith(".flash") or "/lns/" in name}
    assert {name for name in found if name.endswith(".flash")}  # the search does find keys where they are
    assert found <= allowed, found - allowed
    assert any(b"esptool_worker" in seen for seen in watcher.seen)
    assert list(temporary.glob("communode-nvs-*")) == []


def test_what_needs_keys_fails_in_words_where_nothing_opens_the_vault(tmp_path: Path) -> None:
    environment = {**os.environ, "COMMUNODE_FLEET": str(tmp_path), "COMMUNODE_LANG": "fr"}
    environment["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

    def run(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "communode", "fleet", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=environment, input=said
        )

    refused = run("keys", "init", "--json")
    assert refused.returncode == 2
    assert json.loads(refused.stdout)["error"]["code"] == "vault.no_lock"
    assert "phrase secrète" in json.loads(refused.stdout)["error"]["message"]
    phrase = tmp_path / "phrase.txt"
    phrase.write_text("correct horse battery staple\n")
    phrase.chmod(0o644)
    assert "chmod 600" in run("keys", "init", "--passphrase-file", str(phrase)).stderr
    phrase.chmod(0o600)
    opened = ("--passphrase-file", str(phrase))
    assert run("keys", "init", *opened).returncode == 0
    began = time.monotonic()
    assert run("keys", "token", "chirpstack", *opened, said="a-secret-token\n").returncode == 0
    assert time.monotonic() - began < 20
    status = json.loads(run("keys", "status", *opened, "--json").stdout)
    assert status["names"] == ["token:chirpstack"]
    assert status["locks"] == ["passphrase"]
    assert all(b"a-secret-token" not in content for content in files(tmp_path).values())
    assert run("keys", "status").returncode == 1  # locked, and nobody to ask
