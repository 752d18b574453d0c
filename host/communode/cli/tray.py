# SPDX-License-Identifier: MIT
"""``communode tray``: from bare boards to labelled nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from communode.cli._fleet import keys_options
from communode.cli._options import (
    board_option,
    body_option,
    check_bench,
    json_option,
    micropython_option,
    on_bench,
    port_option,
    profile_option,
    tray_options,
)
from communode.report import Report

if TYPE_CHECKING:
    from communode.fleet.place import Place
    from communode.network.registration import NetworkServer
    from communode.provisioning.batch import Batch


@click.command()
@board_option()
@profile_option(default="air")
@port_option(multiple=True, required=False)
@tray_options
@body_option
@click.option(
    "--batch-dir",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the batch: records, log, labels.",
)
@click.option(
    "--image", type=click.Path(path_type=Path, file_okay=False), help="A folder of `communode build`."
)
@micropython_option
@click.option("--join-eui", default="0" * 16, show_default=True, help="JoinEUI, 16 hex digits.")
@keys_options
@click.option(
    "--gateways", metavar="HOST:PORT", help="Hear nodes join through gateways that send here (UDP)."
)
@click.option("--join-within", type=click.IntRange(1), default=180, show_default=True, help="Seconds.")
@click.option("--no-labels", is_flag=True, help="Print no labels.")
@click.option("--replace", is_flag=True, help="Give new identities to boards that hold one of elsewhere.")
@click.option("--restore", is_flag=True, help="Give erased boards their identity again.")
@json_option
def tray(
    board: str,
    profile: str,
    ports: tuple[str, ...],
    watch: bool,
    ports_in: Path | None,
    count: int | None,
    body: str,
    batch_dir: Path,
    image: Path | None,
    micropython: Path | None,
    join_eui: str,
    place: Place,
    gateways: str | None,
    join_within: int,
    no_labels: bool,
    replace: bool,
    restore: bool,
    as_json: bool,
) -> int:
    """Make nodes of a tray of boards: flash, identity, join, label, all at once.

    Run it again with the same --batch-dir after a failure: only what is missing is done. Keys go into the
    fleet's vault and nodes into its register; no key goes to the screen or into the batch folder.

    \b
    Example: communode tray --board heltec_ht_ct62 --profile bin --watch --batch-dir batch7
    Example: communode tray --board virtual --port /dev/ttyUSB0 --batch-dir b --gateways 192.168.1.10:1700
    """
    from communode.batch_folder import BatchFolder
    from communode.cli._batch import tell_unseen
    from communode.cli._image import image_for
    from communode.cli._table import watch as show
    from communode.flash import check_ports
    from communode.messages import text
    from communode.provisioning.run import BatchRun, Choices
    from communode.tray import Tray

    check_bench(ports, watch, ports_in, count)
    check_ports(ports)
    made = image_for(board, profile, body, image, micropython)
    labels = None if no_labels else batch_dir / "labels"
    batch = _make_batch(batch_dir, board, made.manifest["profile"], join_eui, labels, join_within)
    report = Report(as_json)
    records = BatchFolder(batch_dir)
    with ExitStack() as stack:
        vault = stack.enter_context(place.vault(create=True))
        register = stack.enter_context(place.register())
        network = stack.enter_context(_bench_server(gateways, batch_dir)) if gateways else None
        run = BatchRun(batch, register, vault, network, Choices(replace, restore))
        with show(report) as listener:
            bench = Tray(batch.board, made, records, listener, batch_run=run)
            status = on_bench(bench, ports, watch, ports_in, count, report)
    tell_unseen(report, run)
    if batch.labels and (sheet := batch.labels / f"{batch.name}.pdf").exists():
        report.note(text("tray.labels", file=sheet))
    return status


def _make_batch(
    folder: Path, board: str, profile: str, join_eui: str, labels: Path | None, join_within: int
) -> Batch:
    """What a batch file would say; ``labels`` is where they go."""
    from communode.boards import load_board
    from communode.identity import parse_eui
    from communode.labels import check_installed
    from communode.provisioning.batch import Batch

    if labels:
        check_installed()
    return Batch(
        name=folder.resolve().name,
        board=load_board(board),
        profile=profile,
        join_eui=parse_eui(join_eui),
        labels=labels,
        join_timeout_s=join_within,
    )


@contextmanager
def _bench_server(address: str, folder: Path) -> Iterator[NetworkServer]:
    """A bench server for gateways at ``address`` while the tray is worked on."""
    from communode.lns.bench import parse_address
    from communode.lns.server import ServerThread
    from communode.lns.store import Store
    from communode.network.bench import BenchServer

    path = folder / "bench-server.sqlite"
    store = Store(path)
    network = BenchServer(path)
    server = ServerThread(store, bind=parse_address(address), dedup_ms=200)
    server.start()
    try:
        yield network
    finally:
        server.stop()
        network.close()
        store.close()
