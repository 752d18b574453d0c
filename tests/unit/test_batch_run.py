# SPDX-License-Identifier: MIT
"""Batches on boards with real loaders: each step once, whatever fails; nothing lost when a run is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from communode.errors import CommunodeError
from communode.fleet.register import Register
from communode.identity import new_identity
from communode.lns.store import Store
from communode.nvs_image import identity_in, make_image
from communode.partitions import table_for
from communode.provisioning.batch import Batch, Block, Row, read_batch
from communode.provisioning.move import move_nodes
from communode.provisioning.rotate import draw_new_keys
from communode.provisioning.run import BatchRun, Choices, Provisioned
from communode.vault import Vault
from communode.virtual.nvs import NvsPartition
from fleet_bench import FakeNetwork, kinds, new_batch, new_node, open_vault, provision
from loader_board import LoaderBoard
from nightly import Nightly

PARTS = {item.name: item for item in table_for(4 << 20)}
NVS, STATE = PARTS["nvs"], PARTS["state"]
FIRST = "020000fffe000001"  # of the MAC address that a loader board has when it is given none
SCRIPT = Path(__file__).with_name("batch_run.py")


class Bench:
    """Boards, register, vault and network server of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.register = Register(folder / "fleet.sqlite")
        self.vault: Vault = open_vault(folder)
        self.network = FakeNetwork()
        self.events: list[dict[str, Any]] = []
        self.stack = ExitStack()

    def board(self, mac: str = "020000000001", **options: Any) -> LoaderBoard:
        folder = self.folder / f"boards-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        board = LoaderBoard(folder, mac=mac, **options)
        self.stack.enter_context(board)
        return board

    def run(self, *boards: LoaderBoard, batch: Batch | None = None, **choices: Any) -> list[Provisioned]:
        given = (batch or new_batch(), self.register, self.vault, self.network)
        run = BatchRun(*given, Choices(**choices))
        return provision(run, [board.port for board in boards], self.events.append)

    def one(self, board: LoaderBoard, **options: Any) -> Provisioned:
        (done,) = self.run(board, **options)
        return done

    def close(self) -> None:
        self.stack.close()
        self.register.close()
        self.vault.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def code(done: Provisioned) -> str | None:
    return done.error.code if done.error else None


def wipe(board: LoaderBoard, *names: str) -> None:
    for name in names:
        board.flash.erase(PARTS[name].offset, PARTS[name].size)


def held(board: LoaderBoard) -> dict[str, bytes]:
    """The identity that a board has in its flash, as its firmware reads it."""
    store = NvsPartition(board.flash, NVS.offset, NVS.size)
    names = ("dev_eui", "join_eui", "app_key", "command_key")
    return {key: store.get("identity", key, "blob") for key in names}


def test_a_board_goes_all_the_way(bench: Bench) -> None:
    board = bench.board()
    done = bench.one(board)
    assert done.done
    assert done.dev_eui == FIRST
    identity = bench.vault.identity(bytes.fromhex(FIRST))
    assert held(board) == identity.blobs()
    assert bench.network.devices[FIRST].app_key == identity.app_key
    assert bench.network.devices[FIRST].tags["tenant"] == "Saint-Rémy"
    expected = ["drawn", "network", "registered", "written", "join_seen", "joined", "labelled", "done"]
    assert kinds(bench.register, FIRST) == expected
    node = bench.register.node(FIRST)
    assert (node["state"], node["keys"], node["network"]) == ("provisioned", "vault", "fake network")
    assert [event["verdict"] for event in bench.events if event["verdict"]] == ["good"]


def test_a_second_run_changes_nothing(bench: Bench) -> None:
    board = bench.board()
    bench.one(board)
    before, calls = bench.register.history(), list(bench.network.calls)
    flash = board.flash.read(NVS.offset, NVS.size)
    assert bench.one(board).done
    assert bench.register.history() == before
    assert bench.network.calls == calls
    assert board.flash.read(NVS.offset, NVS.size) == flash


def test_the_rest_of_a_tray_finishes_and_each_failure_says_why(bench: Bench) -> None:
    good = [bench.board(f"0200000000{number:02x}") for number in range(1, 4)]
    wrong = bench.board("020000000010", chip="esp32")
    (bench.folder / "dying").mkdir()
    dying = LoaderBoard(bench.folder / "dying", mac="020000000011")
    dying.die_after = 0
    twin = bench.board("020000000001")
    with dying:
        done = bench.run(*good, wrong, dying, twin)
    twins = sorted([str(code(done[0])), str(code(done[5]))])  # whichever comes first is the board
    assert twins == ["None", "tray.same_mac"]
    assert [code(item) for item in done[1:4]] == [None, None, "flash.wrong_chip"]
    assert done[4].error is not None
    assert done[4].step == "registered"
    assert all(item.error is None or item.error.remedy for item in done)
    before = bench.vault.identity(bytes.fromhex("020000fffe000011"))
    with LoaderBoard(bench.folder / "dying", mac="020000000011") as revived:
        again = bench.one(revived)
        assert again.done
        assert held(revived) == before.blobs()  # resumed, not drawn again
    assert kinds(bench.register, again.dev_eui or "").count("registered") == 1


def test_a_server_that_is_down_is_asked_once_and_nothing_is_written(bench: Bench) -> None:
    boards = [bench.board(f"0200000000{number:02x}") for number in (1, 2)]
    bench.network.down = True
    done = bench.run(*boards)
    assert [code(item) for item in done] == ["registration.unreachable"] * 2
    assert len(bench.network.calls) == 1
    assert all(identity_in(board.flash.read(NVS.offset, NVS.size)) is None for board in boards)
    bench.network.down = False
    assert all(item.done for item in bench.run(*boards))


def test_a_node_that_does_not_join_is_not_done_until_it_does(bench: Bench) -> None:
    board = bench.board()
    bench.network.silent.add(FIRST)
    failed = bench.one(board)
    assert (code(failed), failed.step) == ("registration.no_join", "written")
    assert bench.register.node(FIRST)["state"] == "drawn"
    bench.network.silent.clear()
    assert bench.one(board).done


def test_without_a_network_server_a_board_is_written_and_waits(bench: Bench) -> None:
    board = bench.board()
    (done,) = provision(BatchRun(new_batch(), bench.register, bench.vault, None), [board.port])
    assert (done.error, done.step, done.done) == (None, "written", False)


def test_an_identity_from_elsewhere_is_kept_unless_its_owner_says_otherwise(bench: Bench) -> None:
    board = bench.board()
    board.flash.program(NVS.offset, make_image(new_identity(b"\7" * 8).blobs(), NVS.size))
    refused = bench.one(board)
    assert code(refused) == "provision.exists"
    assert bench.register.nodes() == []
    assert bench.network.calls == []
    assert bench.one(board, replace=True).done
    assert identity_in(board.flash.read(NVS.offset, NVS.size)) == FIRST


def test_nonces_are_flushed_only_when_the_boards_own_are_gone(bench: Bench) -> None:
    board = bench.board()
    board.flash.program(STATE.offset, b"counters")
    bench.one(board)
    wipe(board, "nvs")
    assert code(bench.one(board)) == "registration.identity_lost"
    assert bench.one(board, restore=True).done
    assert ("flush", FIRST) not in bench.network.calls  # the counters are still there
    wipe(board, "nvs", "state")
    assert bench.one(board, restore=True).done
    assert bench.network.calls.count(("flush", FIRST)) == 1
    assert "nonces_flushed" in kinds(bench.register, FIRST)


def test_a_board_that_was_erased_and_has_booted_since_gets_its_nonces_flushed(bench: Bench) -> None:
    board = bench.board()
    bench.one(board)
    bench.register.note_wiped("020000000001")
    wipe(board, "nvs")
    board.flash.program(STATE.offset, b"a new log")
    assert bench.one(board, restore=True).done
    assert bench.network.calls.count(("flush", FIRST)) == 1
    assert bench.register.node(FIRST)["nonces"] == "rising"


def test_rotated_keys_reach_server_and_board_and_the_old_ones_are_forgotten(bench: Bench) -> None:
    board = bench.board()
    board.flash.program(STATE.offset, b"counters")
    bench.one(board)
    old = bench.vault.identity(bytes.fromhex(FIRST))
    draw_new_keys(FIRST, bench.register, bench.vault)
    assert bench.register.node(FIRST)["keys"] == "due"
    assert held(board) == old.blobs()
    assert bench.one(board).done
    new = bench.vault.identity(bytes.fromhex(FIRST))
    assert new.app_key != old.app_key
    assert new.command_key != old.command_key
    assert held(board) == new.blobs()
    assert bench.network.devices[FIRST].app_key == new.app_key
    assert ("renew", FIRST) in bench.network.calls
    assert ("flush", FIRST) not in bench.network.calls
    assert bench.register.node(FIRST)["keys"] == "vault"
    with pytest.raises(CommunodeError):
        bench.vault.identity(bytes.fromhex(FIRST), 1)


def test_a_node_from_a_bench_without_a_batch_is_adopted(bench: Bench) -> None:
    board = bench.board()
    identity = new_identity(bytes.fromhex(FIRST))
    board.flash.program(NVS.offset, make_image(identity.blobs(), NVS.size))
    board.flash.program(STATE.offset, b"counters")
    generation = bench.vault.keep_identity(identity)
    node = new_node(1, dev_eui=FIRST, mac="020000000001")
    bench.register.add_node(node, key_generation=generation, state="provisioned")
    assert bench.one(board).done
    assert held(board) == identity.blobs()
    assert bench.network.calls == []
    draw_new_keys(FIRST, bench.register, bench.vault)
    assert bench.one(board).done
    assert held(board) == bench.vault.identity(bytes.fromhex(FIRST)).blobs() != identity.blobs()


def test_a_node_whose_keys_others_have_gets_ours_and_keeps_its_place(bench: Bench) -> None:
    board = bench.board()
    board.flash.program(NVS.offset, make_image(new_identity(bytes.fromhex(FIRST)).blobs(), NVS.size))
    node = new_node(1, dev_eui=FIRST, mac="020000000001", site="school")
    bench.register.add_node(node, keys="elsewhere", state="in_service")
    with pytest.raises(CommunodeError) as caught:
        draw_new_keys(FIRST, bench.register, bench.vault)
    assert caught.value.code == "fleet.no_job"
    assert code(bench.one(board)) == "provision.exists"
    assert bench.one(board, replace=True).done
    assert held(board) == bench.vault.identity(bytes.fromhex(FIRST)).blobs()
    known = bench.register.node(FIRST)
    assert (known["keys"], known["site"], known["state"]) == ("vault", "school", "in_service")


def test_nodes_move_to_another_server_without_their_boards(bench: Bench) -> None:
    bench.one(bench.board())
    second = FakeNetwork()
    second.name = "second network"
    nodes = bench.register.nodes()
    moved = move_nodes(nodes, bench.register, bench.vault, second, exporting=False)
    assert moved == [FIRST]
    assert second.devices[FIRST].app_key == bench.network.devices[FIRST].app_key
    assert move_nodes(bench.register.nodes(), bench.register, bench.vault, second, exporting=False) == []


def test_dev_euis_come_from_the_block_in_order_and_then_no_more(bench: Bench) -> None:
    block = Block(0x70B3D57ED0000010, 2)
    boards = [bench.board(f"0200000000{number:02x}") for number in (1, 2, 3)]
    done = [bench.one(board, batch=new_batch(block=block)) for board in boards]
    assert [item.dev_eui for item in done] == ["70b3d57ed0000010", "70b3d57ed0000011", None]
    assert code(done[2]) == "registration.block_used_up"


def test_rows_go_to_their_boards_and_the_others_in_order(bench: Bench) -> None:
    rows = (Row(name="a", site="north"), Row(mac="020000000001", name="b"), Row(name="c"))
    boards = [bench.board(f"0200000000{number:02x}") for number in (1, 2, 3, 4)]
    done = [bench.one(board, batch=new_batch(rows)) for board in boards]
    names = [bench.register.node(item.dev_eui)["name"] if item.dev_eui else None for item in done]
    assert names == ["b", "a", "c", None]
    assert code(done[3]) == "registration.no_row"
    assert bench.register.node("a")["site"] == "north"


# --- many ---------------------------------------------------------------------------------------------------


def draw_many(folder: Path, count: int) -> dict[str, int]:
    """Draw identities as a run does, half from a block, half from MAC addresses; how many differ in what."""
    with Register(folder / "fleet.sqlite") as register, open_vault(folder) as vault:
        run = None
        for number in range(count):
            if number % 500 == 0:
                lot, by_mac = divmod(number // 500, 2)
                block = None if by_mac else Block(0x70B3D57ED0000000 + lot * 500, 500)
                batch = new_batch(block=block, name=f"lot-{number}")
                run = BatchRun(batch, register, vault, None)
            assert run is not None
            run.draw(f"0200{number:08x}")
        dev_euis = [node["dev_eui"] for node in register.nodes()]
        identities = [vault.identity(bytes.fromhex(dev_eui)) for dev_eui in dev_euis]
    keys = {key for identity in identities for key in (identity.app_key, identity.command_key)}
    return {"drawn": count, "dev_euis": len(set(dev_euis)), "keys": len(keys)}


def test_a_thousand_identities_have_no_duplicate(tmp_path: Path) -> None:
    assert draw_many(tmp_path, 1000) == {"drawn": 1000, "dev_euis": 1000, "keys": 2000}


@pytest.mark.nightly
@pytest.mark.timeout(0)
def test_a_hundred_thousand_identities_have_no_duplicate(tmp_path: Path, nightly: Nightly) -> None:
    count = nightly.count(100_000)
    found = draw_many(tmp_path, count)
    nightly.record("identities.json", "campaigns", {"name": "identities", **found})
    assert found == {"drawn": count, "dev_euis": count, "keys": 2 * count}


# --- killed -------------------------------------------------------------------------------------------------

STEPS = ("registered", "written", "joined", "labelled", "done")
CASES = ["vault", "begin", *(f"{when}-{step}" for step in STEPS for when in ("before", "after"))]


def start(folder: Path, case: str, *boards: LoaderBoard) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), str(folder), case, *(board.port for board in boards)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_was_killed_goes_on(tmp_path: Path, case: str) -> None:
    with LoaderBoard(tmp_path) as board:
        killed = start(tmp_path, case, board)
        assert killed.returncode == -9, killed
        with open_vault(tmp_path) as vault:
            drawn = vault.identity(bytes.fromhex(FIRST))
        with Register(tmp_path / "fleet.sqlite") as register:
            assert register.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            assert len(register.nodes()) == (0 if case in ("vault", "begin") else 1)
        finished = start(tmp_path, "never", board)
        assert finished.returncode == 0, finished
        assert held(board) == drawn.blobs()
    store = Store(tmp_path / "lns.sqlite")
    device = store.device(FIRST)
    store.close()
    assert device is not None
    assert device.app_key == drawn.app_key
    with Register(tmp_path / "fleet.sqlite") as register:
        told = [kind for kind in kinds(register, FIRST) if kind in ("drawn", *STEPS)]
        assert told == ["drawn", *STEPS]  # each step is recorded once
        assert len(register.search(FIRST)) == 1
    assert (tmp_path / "labels" / f"{FIRST}.png").stat().st_size > 1000
    assert (tmp_path / "labels" / "lot-7.pdf").stat().st_size > 1000


ROTATION = [f"rotate {when}-{step}" for step in STEPS for when in ("before", "after")]


@pytest.mark.parametrize("case", ROTATION)
def test_a_rotation_that_was_killed_goes_on(tmp_path: Path, case: str) -> None:
    eui = bytes.fromhex(FIRST)
    with LoaderBoard(tmp_path) as board:
        assert start(tmp_path, "never", board).returncode == 0
        with open_vault(tmp_path) as vault:
            old = vault.identity(eui)
        assert start(tmp_path, case, board).returncode == -9
        assert start(tmp_path, "never", board).returncode == 0
        with open_vault(tmp_path) as vault:
            new = vault.identity(eui)
            assert vault.generation(FIRST) == 2
            with pytest.raises(CommunodeError):
                vault.identity(eui, 1)
        assert new.app_key != old.app_key
        assert held(board) == new.blobs()
    store = Store(tmp_path / "lns.sqlite")
    device = store.device(FIRST)
    store.close()
    assert device is not None
    assert device.app_key == new.app_key
    with Register(tmp_path / "fleet.sqlite") as register:
        assert (register.node(FIRST)["keys"], register.node(FIRST)["state"]) == ("vault", "provisioned")


# --- the file -----------------------------------------------------------------------------------------------

GOOD = """
name = "lot-7"
board = "virtual"
profile = "air"
tenant = "Saint-Rémy"
join_eui = "0000000000000001"
nodes = "nodes.csv"

[block]
first = "70b3d57ed0000010"
count = 16

[network]
kind = "bench"
store = "lns.sqlite"

[labels]
folder = "labels"
profile_id = "00010002"

[node.school]
site = "school"
"""


def write(folder: Path, text: str, nodes: str = "name,mac\npool,02:00:00:00:00:01\n") -> Path:
    (folder / "nodes.csv").write_text(nodes, "utf-8")
    path = folder / "lot.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_batch_file_says_what_it_says(tmp_path: Path) -> None:
    batch = read_batch(write(tmp_path, GOOD))
    assert batch.rows == (Row(name="school", site="school"), Row(mac="020000000001", name="pool"))
    assert batch.block == Block(0x70B3D57ED0000010, 16)
    assert (batch.network, batch.labels, batch.profile_id) == ("bench", tmp_path / "labels", "00010002")
    assert batch.connect is not None
    server = batch.connect(lambda name: "")
    assert server.sees_joins
    server.close()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('name = "lot-7"', "", "toml.missing"),
        ('name = "lot-7"', 'name = "../x"', "toml.wrong_value"),
        ('board = "virtual"', 'board = "x"', "board.unknown"),
        ("count = 16", "count = 0", "toml.wrong_value"),
        ('first = "70b3d57ed0000010"', 'first = "70b3"', "provision.bad_eui"),
        ('first = "70b3d57ed0000010"', 'first = "ffffffffffffffff"', "registration.bad_block"),
        ('kind = "bench"', 'kind = "bank"', "toml.wrong_value"),
        ('store = "lns.sqlite"', 'store = "lns.sqlite"\ncolour = "red"', "toml.unknown_key"),
        ('profile_id = "00010002"', 'profile_id = "1"', "toml.wrong_value"),
        ('site = "school"', 'site = "school"\nmac = "02"', "registration.bad_row"),
        ('site = "school"', 'mac = "020000000001"', "registration.bad_row"),
        ('nodes = "nodes.csv"', 'nodes = "other.csv"', "fleet.unreadable"),
        ('tenant = "Saint-Rémy"', 'tenants = "x"', "toml.unknown_key"),
    ],
)
def test_a_batch_file_with_a_mistake_is_refused(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    with pytest.raises(CommunodeError) as caught:
        read_batch(write(tmp_path, GOOD.replace(old, new, 1)))
    assert caught.value.code == expected
    assert caught.value.usage
    json.dumps(caught.value.as_json())


def test_a_csv_with_an_unknown_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommunodeError) as caught:
        read_batch(write(tmp_path, GOOD, "name,colour\nx,red\n"))
    assert caught.value.code == "registration.bad_row"


CSV = """batch,board,profile,tenant,name,site
lot-8,virtual,bin,Commune,a,north
lot-8,virtual,bin,Commune,b,south
"""


def test_a_csv_alone_is_a_batch_too(tmp_path: Path) -> None:
    path = tmp_path / "lot.csv"
    path.write_text(CSV, "utf-8")
    batch = read_batch(path)
    assert (batch.name, batch.board.name, batch.profile, batch.tenant) == (
        "lot-8",
        "virtual",
        "bin",
        "Commune",
    )
    assert batch.rows == (Row(name="a", site="north"), Row(name="b", site="south"))
    assert batch.connect is None
    (tmp_path / "network.toml").write_text('[network]\nkind = "bench"\nstore = "x.sqlite"\n')
    assert read_batch(path).network == "bench"
    path.write_text(CSV.replace("bin,Commune,b", "air,Commune,b"), "utf-8")
    with pytest.raises(CommunodeError) as caught:
        read_batch(path)
    assert caught.value.code == "registration.bad_row"
    assert "air, bin" in caught.value.message
