# SPDX-License-Identifier: MIT
"""What ``communode lns`` does, without the parsing: serve, and look after the store."""

from __future__ import annotations

import base64
import json
import signal
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from communode.errors import CommunodeError
from communode.identity import parse_eui
from communode.lns.adr import AdrSettings
from communode.lns.network import Event, Network, NetworkSettings
from communode.lns.server import Address, ServerThread
from communode.lns.session import Device, Downlink, Session
from communode.lns.store import Store
from communode.messages import text
from communode.report import Report

_KEY_BYTES = 16


def parse_address(value: str) -> Address:
    """(host, port) from ``HOST:PORT``; CommunodeError ``network.bad_address``."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise CommunodeError("network.bad_address", usage=True, value=value)
    return host.strip("[]"), int(port)


def parse_payload(value: str) -> bytes:
    """Bytes from hex; CommunodeError ``network.bad_payload``."""
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise CommunodeError("network.bad_payload", usage=True, reason=value) from None


def parse_key(value: str) -> bytes:
    """16 bytes from hex; CommunodeError ``network.bad_key``, which does not repeat the value."""
    try:
        key = bytes.fromhex(value.strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise CommunodeError("network.bad_key", usage=True)
    return key


def read_key(source: str) -> bytes:
    """The key in file ``source``, or from standard input for ``-`` (asked for without echo on a terminal)."""
    if source == "-":
        if sys.stdin.isatty():
            import click

            return parse_key(click.prompt(text("network.lns_key_prompt"), hide_input=True, err=True))
        return parse_key(sys.stdin.readline())
    try:
        return parse_key(Path(source).read_text("ascii"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise CommunodeError("network.key_unreadable", usage=True, path=source, reason=reason) from None


def new_device(dev_eui: str, join_eui: str, key_file: str, name: str) -> Device:
    """A device from what a person gave."""
    return Device(parse_eui(dev_eui).hex(), parse_eui(join_eui).hex(), read_key(key_file), name)


def read_devices(path: Path) -> list[Device]:
    """The devices of a keys file: a list, or an object with ``nodes``, of ``dev_eui, join_eui, app_key``."""
    try:
        content = json.loads(path.read_text("utf-8"))
        entries = content["nodes"] if isinstance(content, dict) else content
        return [
            Device(
                parse_eui(entry["dev_eui"]).hex(),
                parse_eui(entry["join_eui"]).hex(),
                parse_key(entry["app_key"]),
                str(entry.get("name", "")),
            )
            for entry in entries
        ]
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommunodeError("network.key_unreadable", usage=True, path=path, reason=reason) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CommunodeError("network.bad_keys", usage=True, path=path) from None


@contextmanager
def opened(path: Path, *, existing: bool = False) -> Iterator[Store]:
    """The store at ``path`` for the length of a block; with ``existing`` it must be there."""
    if existing and not path.exists():
        raise CommunodeError("network.store_unusable", usage=True, path=str(path), reason="no such file")
    store = Store(path)
    try:
        yield store
    finally:
        store.close()


def require(store: Store, dev_eui: str) -> Device:
    """The device, or CommunodeError ``network.unknown_device``."""
    eui = parse_eui(dev_eui).hex()
    device = store.device(eui)
    if device is None:
        raise CommunodeError("network.unknown_device", dev_eui=eui, store=str(store.path))
    return device


def queue(store: Store, dev_eui: str, f_port: int, payload: bytes, confirmed: bool) -> tuple[str, str]:
    """Queue application data; the device's DevEUI and the item's name."""
    eui = require(store, dev_eui).dev_eui
    return eui, Network(store).enqueue(eui, Downlink(f_port, payload, confirmed))


def describe(device: Device, session: Session | None) -> dict[str, Any]:
    """A device for people and programs, without keys."""
    return {
        "dev_eui": device.dev_eui,
        "join_eui": device.join_eui,
        "name": device.name,
        "last_dev_nonce": device.last_dev_nonce if device.last_dev_nonce >= 0 else None,
        "dev_addr": f"{session.dev_addr:08x}" if session else None,
        "fcnt_up": session.fcnt_up if session else None,
        "fcnt_down": session.fcnt_down if session else None,
        "data_rate": session.data_rate if session else None,
    }


def tell(event: Event) -> str:
    """An event in words, in the user's language."""
    values: dict[str, Any] = {
        "time": event.get("time", ""),
        "device": event.get("deviceInfo", {}).get("deviceName", "-"),
    }
    if event["event"] == "up":
        heard = max(event["rxInfo"], key=lambda info: info["snr"])
        values |= {
            "fcnt": event["fCnt"],
            "f_port": event["fPort"],
            "data": base64.b64decode(event["data"]).hex(),
            "rssi": heard["rssi"],
            "snr": heard["snr"],
            "dr": event["dr"],
        }
    elif event["event"] == "join":
        values["dev_addr"] = event["devAddr"]
    elif event["event"] == "txack":
        values |= {"fcnt": event["fCntDown"], "window": event["window"], "gateway": event["gatewayId"]}
    elif event["event"] == "ack":
        values |= {"fcnt": event["fCntDown"], "acknowledged": event["acknowledged"]}
    elif event["event"] == "status":
        values |= {"battery": event["batteryLevel"], "margin": event["margin"]}
    else:
        values |= {name: event[name] for name in ("level", "code", "description")}
    return text(f"network.lns_event_{event['event']}", **values)


def serve(bind: str, path: Path, report: Report, *, rx1_delay_s: int, dedup_ms: int, adapt: bool) -> None:
    """Serve until SIGTERM (returns) or Ctrl-C (KeyboardInterrupt)."""
    settings = NetworkSettings(rx1_delay_s=rx1_delay_s, adr=AdrSettings() if adapt else None)
    stopped = threading.Event()

    def show(event: Event) -> None:
        values = dict(event)
        report.event(values.pop("event"), **values)
        report.line(tell(event))

    with opened(path) as store:
        server = ServerThread(store, settings, bind=parse_address(bind), dedup_ms=dedup_ms, on_event=show)
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
        host, port = server.start()
        address = f"{host}:{port}"
        try:
            report.event("ready", address=address, region=settings.region.name, store=str(path))
            devices = len(store.devices())
            report.note(
                text(
                    "network.lns_ready",
                    region=settings.region.name,
                    address=address,
                    devices=devices,
                    store=path,
                )
            )
            while server.running and not stopped.wait(0.2):
                pass
        finally:
            _stop(server, path)


def _stop(server: ServerThread, path: Path) -> None:
    """Stop; a store that failed meanwhile (full disk, say) is CommunodeError ``network.store_unusable``."""
    try:
        server.stop()
    except sqlite3.Error as error:
        raise CommunodeError("network.store_unusable", path=path, reason=str(error)) from None
