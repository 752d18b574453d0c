# SPDX-License-Identifier: MIT
"""The batch file: what all nodes of a batch have in common, and what each is called.

A TOML file, with the nodes in it or in a CSV beside it, or that CSV alone; what it says is listed at
`read_batch`. It holds no key and no token, so it may lie in a repository.
"""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from communode.boards import Board, load_board
from communode.errors import CommunodeError
from communode.identity import NO_JOIN_EUI, parse_eui
from communode.network.servers import EXPORTING, Connect, read_network
from communode.profiles import load_profile
from communode.toml_table import Table, read_toml

JOIN_TIMEOUT_S = 180  # some forty seconds of joining at ever slower data rates, and the back-off
NETWORK_FILE = "network.toml"
_ROW = ("mac", "dev_eui", "name", "site", "serial")
_COMMON = {name: name for name in ("board", "profile", "tenant", "join_eui")} | {"batch": "name"}


@dataclass(frozen=True)
class Row:
    """One node of a batch; what is empty is up to the run. EUIs and MAC in hex without separators."""

    mac: str = ""
    dev_eui: str = ""
    name: str = ""
    site: str = ""
    serial: str = ""


@dataclass(frozen=True)
class Block:
    """A bought block of DevEUIs."""

    first: int
    count: int


@dataclass(frozen=True)
class Batch:
    """What a batch file says, or a command line. Without ``block`` a DevEUI comes from the board's MAC address."""

    name: str
    board: Board
    profile: str
    tenant: str = ""
    join_eui: bytes = NO_JOIN_EUI
    block: Block | None = None
    rows: tuple[Row, ...] = ()
    network: str = ""
    connect: Connect | None = None
    exporting: bool = False
    labels: Path | None = None
    profile_id: str = "0" * 8
    join_timeout_s: int = JOIN_TIMEOUT_S


def read_batch(path: Path) -> Batch:
    """Read a batch file. CommunodeError ``toml.*``, ``registration.bad_row`` and ``registration.bad_block``.

    ``name, board, profile``; may have ``tenant, join_eui, join_timeout_s``, ``nodes`` (a CSV file with the
    columns mac, dev_eui, name, site, serial), ``[block] first, count``, ``[network]`` (see
    `communode.network.servers`), ``[labels] folder, profile_id`` and ``[node.NAME] mac, dev_eui, site,
    serial``. A ``.csv`` given as the batch file has the node columns and ``batch, board, profile`` (and
    ``tenant, join_eui``), the same in every line; its network server is that of `NETWORK_FILE` beside it.
    """
    table = _from_csv(path) if path.suffix.lower() == ".csv" else read_toml(path)
    block = _read_block(table.table("block")) if "block" in table else None
    kind, connect = read_network(table.table("network")) if "network" in table else ("", None)
    labels, profile_id = _read_labels(table)
    rows = [*_read_nodes(table), *_read_csv(table)]
    _check_rows(path, rows)
    timeout_s = table.integer("join_timeout_s", 1, 3600) if "join_timeout_s" in table else JOIN_TIMEOUT_S
    batch = Batch(
        name=table.text("name"),
        board=load_board(table.text("board")),
        profile=load_profile(table.text("profile")).name,
        tenant=table.text("tenant") if "tenant" in table else "",
        join_eui=parse_eui(table.text("join_eui")) if "join_eui" in table else NO_JOIN_EUI,
        block=block,
        rows=tuple(rows),
        network=kind,
        connect=connect,
        exporting=kind in EXPORTING,
        labels=labels,
        profile_id=profile_id,
        join_timeout_s=timeout_s,
    )
    table.finish()
    if "/" in batch.name or batch.name.startswith("."):
        raise table.wrong("name", "a text without / that does not begin with a dot")
    return batch


def _from_csv(path: Path) -> Table:
    """What the lines of a CSV batch file have in common, with what `NETWORK_FILE` beside it adds."""
    values: dict[str, Any] = {"nodes": path.name}
    lines = list(_csv_lines(path, (*_ROW, *_COMMON)))
    for column, key in _COMMON.items():
        found = {line[column] for line in lines if line.get(column)}
        if len(found) > 1:
            reason = f"{column}: {', '.join(sorted(found))}"
            raise CommunodeError("registration.bad_row", usage=True, file=path, row="*", reason=reason)
        if found:
            values[key] = found.pop()
    beside = path.with_name(NETWORK_FILE)
    if beside.exists():
        read_toml(beside)  # says what is wrong with it
        values |= tomllib.loads(beside.read_text("utf-8"))
    return Table(path, values)


def _csv_lines(file: Path, columns: Collection[str]) -> Iterator[dict[str, str]]:
    """The lines of a CSV file that has no other columns than ``columns``."""
    try:
        reader = csv.DictReader(io.StringIO(file.read_text("utf-8-sig")))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "UTF-8?"
        raise CommunodeError("fleet.unreadable", usage=True, file=file, reason=reason) from None
    if not reader.fieldnames or not set(reader.fieldnames) <= set(columns):
        known = ", ".join(columns)
        raise CommunodeError("registration.bad_row", usage=True, file=file, row=1, reason=known)
    for line in reader:
        yield {key: (value or "").strip() for key, value in line.items() if key in columns}


def _read_block(table: Table) -> Block:
    first = int.from_bytes(parse_eui(table.text("first")), "big")
    block = Block(first, table.integer("count", 1, 1 << 24))
    table.finish()
    if first + block.count > 1 << 64:
        raise CommunodeError("registration.bad_block", usage=True, file=table.file)
    return block


def _read_labels(table: Table) -> tuple[Path | None, str]:
    if "labels" not in table:
        return None, "0" * 8
    labels = table.table("labels")
    folder = table.file.parent / Path(labels.text("folder")).expanduser()
    profile_id = labels.text("profile_id") if "profile_id" in labels else "0" * 8
    if len(profile_id) != 8 or not _is_hex(profile_id):
        raise labels.wrong("profile_id", "VendorID and VendorProfileID, 8 hex digits")
    labels.finish()
    return folder, profile_id


def _read_nodes(table: Table) -> Iterator[Row]:
    for name, node in table.tables("node"):
        values = {key: node.text(key) for key in _ROW if key != "name" and key in node}
        node.finish()
        yield _row(table.file, {**values, "name": name})
    if "node" in table:
        table.table("node")


def _read_csv(table: Table) -> Iterator[Row]:
    if "nodes" not in table:
        return
    file = table.file.parent / Path(table.text("nodes")).expanduser()
    columns = (*_ROW, *_COMMON) if file == table.file else _ROW
    for line in _csv_lines(file, columns):
        yield _row(file, {key: line[key] for key in _ROW if key in line})


def _row(file: Path, values: dict[str, str]) -> Row:
    mac = values.get("mac", "").replace(":", "").replace("-", "").lower()
    dev_eui = values.get("dev_eui", "")
    shown = values.get("name", "") or mac
    if mac and (len(mac) != 12 or not _is_hex(mac)):
        raise CommunodeError("registration.bad_row", usage=True, file=file, row=shown, reason=f"mac {mac}")
    found = parse_eui(dev_eui).hex() if dev_eui else ""
    return Row(mac, found, values.get("name", ""), values.get("site", ""), values.get("serial", ""))


def _check_rows(file: Path, rows: list[Row]) -> None:
    """Nothing may be there twice."""
    for column in ("mac", "dev_eui", "name", "site", "serial"):
        seen: set[str] = set()
        for row in rows:
            value = getattr(row, column)
            if value and value in seen:
                reason = f"{column} {value}: 2 x"
                raise CommunodeError(
                    "registration.bad_row", usage=True, file=file, row=row.name, reason=reason
                )
            seen.add(value)


def _is_hex(text: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in text)
