# SPDX-License-Identifier: MIT
"""Checkup: the doctor's look at one board and at one network server. The board is reset by it.

Of the board: chip and flash by its loader, then versions, clock and counters by its own account, compared
with what this package would put there and with a bench server's store. Nothing is written. The code that
runs on the board prints no key.

Sources: PROTOCOL.TXT of Lora-net/packet_forwarder v4.0.1 (PULL_DATA and PULL_ACK) for a server of gateways.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from communode import __version__
from communode.boards import Board, board_names, load_board
from communode.doctor import FAIL, OK, WARN, Finding, finding
from communode.errors import CommunodeError
from communode.flash import Flasher, Job, Seen
from communode.link.raw_repl import BoardError, RawRepl
from communode.link.serial_port import open_port
from communode.lns.bench import parse_address
from communode.node.lorawan.session import _NUMBERS as RECORD_FORMAT

_NETWORK_S = 3.0
_BOOT_S = 1.0
_BENCH_REGION = "eu868"

# One JSON object, without what cannot be found out. Field 7 of the MAC's record is the next join's number; an
# image has no name for the record's format (folding.py).
ASK = (
    f"NUMBERS = {RECORD_FORMAT!r}"
    + """
import json, os, sys, time
found = {"micropython": os.uname().release, "time_s": time.time()}
try:
    import pack
    pack.mount()
except (ImportError, OSError):
    pass
try:
    import hardware
    found["version"] = hardware.VERSION
    found["region"] = hardware.REGION
    found["board"] = hardware.BOARD["name"]
    found["profile"] = hardware.PROFILE["name"]
    from struct import unpack_from
    from node.hal.flash import PartitionRegion
    from node.storage.state import StateLog
    record = StateLog(PartitionRegion("state"), -1).load(1)
    found["dev_nonce"] = unpack_from(NUMBERS, record)[7] if record else 0
except (ImportError, OSError, ValueError, AttributeError) as error:
    found["missing"] = str(error)
print(json.dumps(found))
"""
)


def examine_board(port: str, store: Path | None = None) -> list[Finding]:
    """Look at the board at ``port``; with ``store``, that of a bench server, at its counters too."""
    try:
        seen = _see(port)
    except CommunodeError as error:
        return [_failure(error)]
    flash = {"flash_mb": seen.flash_mb, "flash_id": seen.flash_id or "-"}
    findings = [finding("chip", OK, port=port, chip=seen.chip, mac=seen.mac, **flash)]
    if seen.dev_eui is None:
        findings.append(finding("identity", WARN, port=port))
    try:
        told = _ask(port)
    except CommunodeError as error:
        return [*findings, _failure(error)]
    return [*findings, *_software(port, seen, told), *_counters(seen, told, store)]


def _failure(error: CommunodeError) -> Finding:
    return Finding(error.code, FAIL, error.message, error.remedy)


def _see(port: str) -> Seen:
    """Chip, address and identity, as the loader tells; raises what flashing would raise."""
    from communode.partitions import table_for

    found: list[Seen] = []
    nvs = table_for(4 << 20)[0]  # nvs is where it is whatever the size of the flash
    job = Job(port, None, None, 0, look={"offset": nvs.offset, "size": nvs.size})

    def note(seen: Seen) -> tuple[()]:
        found.append(seen)
        return ()

    outcome = Flasher("-", lambda event: None).run(job, note)
    if outcome.error is not None:
        raise outcome.error
    return found[-1]


def _ask(port: str) -> dict[str, Any]:
    time.sleep(_BOOT_S)
    opened = open_port(port)
    try:
        with RawRepl(opened, port) as repl:
            repl.soft_reset()
            told: dict[str, Any] = json.loads(repl.run(ASK, timeout_s=20))
            repl.send("import machine\nmachine.reset()")
            time.sleep(0.3)
    except (BoardError, ValueError) as error:
        last = str(error).strip().splitlines()[-1:]
        raise CommunodeError("deploy.board_error", reason=(last or ["-"])[0]) from None
    finally:
        opened.close()
    return told


def _software(port: str, seen: Seen, told: dict[str, Any]) -> Iterator[Finding]:
    if "version" not in told:
        yield finding("software", WARN, port=port, reason=told.get("missing", "-"))
        return
    name = told.get("board", "-")
    if name not in board_names():
        yield finding("software", WARN, port=port, reason=name)
        return
    board: Board = load_board(name)
    values = {"version": told["version"], "board": name, "profile": told.get("profile", "-")}
    if board.chip != seen.chip:
        yield finding("board", FAIL, port=port, board=name, chip=seen.chip, expected=board.chip)
    elif told["version"] != __version__:
        yield finding("version", WARN, port=port, wanted=__version__, **values)
    else:
        yield finding("node", OK, port=port, **values)
    image = board.image.version.removeprefix("v")
    if not str(told["micropython"]).startswith(image.rsplit(".", 1)[0] if _is_virtual(seen) else image):
        yield finding("micropython", WARN, port=port, found=told["micropython"], wanted=image, board=name)


def _is_virtual(seen: Seen) -> bool:
    return bool(int(seen.mac[:2], 16) & 0x02)  # its processor is the unix port, of another patch release


def _counters(seen: Seen, told: dict[str, Any], store: Path | None) -> Iterator[Finding]:
    """DevNonce against the server that will judge it, and the region against the one that it serves."""
    nonce = told.get("dev_nonce")
    if nonce is not None and nonce >= 1 << 16:
        yield finding("nonce_exhausted", FAIL, dev_eui=seen.dev_eui or "-")
    if store is None or seen.dev_eui is None:
        return
    from communode.lns.bench import opened

    try:
        with opened(store, existing=True) as memory:
            device = memory.device(seen.dev_eui)
    except CommunodeError as error:
        yield _failure(error)
        return
    if device is None:
        yield finding("unregistered", FAIL, dev_eui=seen.dev_eui, store=store)
        return
    if told.get("region", _BENCH_REGION) != _BENCH_REGION:
        yield finding("region", FAIL, dev_eui=seen.dev_eui, region=told["region"], wanted=_BENCH_REGION)
    if nonce is not None and nonce <= device.last_dev_nonce:
        yield finding(
            "nonce", FAIL, dev_eui=seen.dev_eui, next=nonce, last=device.last_dev_nonce, store=store
        )
    elif nonce is not None:
        yield finding("joins", OK, dev_eui=seen.dev_eui, next=nonce)


def examine_network(address: str) -> list[Finding]:
    """Whether a network server answers: HOST:PORT by TCP, ``udp://HOST:PORT`` as a gateway would."""
    as_gateway = address.startswith("udp://")
    where = parse_address(address.removeprefix("udp://"))
    began = time.monotonic()
    try:
        if as_gateway:
            _pull(where)
        else:
            socket.create_connection(where, timeout=_NETWORK_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        return [finding("network", FAIL, address=address, reason=reason)]
    return [finding("network", OK, address=address, ms=int(1000 * (time.monotonic() - began)))]


def _pull(where: tuple[str, int]) -> None:
    """Ask for downlinks as a gateway does; OSError unless that is acknowledged."""
    token = os.urandom(2)
    family, kind, protocol, _, address = socket.getaddrinfo(*where, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as link:
        link.settimeout(_NETWORK_S)
        link.connect(address)
        link.send(b"\x02" + token + b"\x02" + b"\x02communo")
        if link.recv(64)[:4] != b"\x02" + token + b"\x04":
            raise OSError("no PULL_ACK")
