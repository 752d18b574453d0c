# SPDX-License-Identifier: MIT
"""The Things Stack: its HTTP API, played by a local server with its registries; and its import file."""

from __future__ import annotations

import csv
import io
import json
import re
import stat
import threading
import traceback
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from communode.errors import CommunodeError
from communode.network.registration import NetworkDevice
from communode.network.things_stack import ThingsStack
from communode.network.things_stack_file import COLUMNS, ThingsStackFile

TOKEN = "NNSXS.TOKEN-OF-A-TEST"
KEY = bytes(range(16))
DEVICE = NetworkDevice(
    bytes.fromhex("70b3d57ed0001234"), bytes(7) + b"\1", KEY, "school; north", {"site": "school"}
)
ID = "eui-70b3d57ed0001234"
PATH = re.compile(r"/api/v3/(?:(js|ns|as)/)?applications/([a-z0-9-]+)/devices(?:/([a-z0-9-]+))?")


class Registries:
    """What the four registries hold: ``is`` and the three that have their letters in the path."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {"is": {}, "js": {}, "ns": {}, "as": {}}
        self.calls: list[str] = []
        self.fail: dict[str, int] = {}  # call: HTTP status
        self.fail_after: dict[str, int] = {}  # the same, once it was carried out
        self.hide_keys = False

    def answer(self, method: str, url: str, token: str | None, body: Any) -> tuple[int, Any]:
        parts = urlsplit(url)
        found = PATH.fullmatch(parts.path)
        if found is None or found[2] != "communes":
            return 404, {"code": 5, "message": "error:application_not_found"}
        registry = found[1] or "is"
        call = f"{method} {registry}"
        self.calls.append(call)
        if token != f"Bearer {TOKEN}":
            return 401, {"code": 16, "message": "error:unauthenticated"}
        if call in self.fail:
            return self.fail[call], {"code": 13}
        status, answer = self._carry_out(method, registry, found[3], body, parts.query)
        lost = self.fail_after.pop(call, None)
        return (lost, {}) if lost else (status, answer)

    def _carry_out(
        self, method: str, registry: str, device: str | None, body: Any, query: str
    ) -> tuple[int, Any]:
        held = self.held[registry]
        if method == "POST":
            described = body["end_device"]
            name = described["ids"]["device_id"]
            if name in held:
                return 409, {"code": 6, "message": "error:already_exists"}
            held[name] = described
            return 200, described
        assert device is not None
        if method == "PUT":
            if device not in self.held["is"]:
                return 404, {"code": 5}
            for path in body["field_mask"]["paths"]:  # only what the mask names is set
                self._copy(body["end_device"], held.setdefault(device, {}), path.split("."))
            return 200, held[device]
        if device not in held:
            return 404, {"code": 5}
        if method == "DELETE":
            del held[device]
            return 200, {}
        if registry == "is":
            return 200, held[device]
        answer: dict[str, Any] = {"ids": held[device]["ids"]}
        for path in ",".join(parse_qs(query).get("field_mask", [])).split(","):
            if path and not (self.hide_keys and "key" in path):
                self._copy(held[device], answer, path.split("."))
        return 200, answer

    def _copy(self, source: Any, target: dict[str, Any], path: list[str]) -> None:
        head, *rest = path
        if head not in source:
            return
        if rest:
            self._copy(source[head], target.setdefault(head, {}), rest)
        else:
            target[head] = source[head]


@pytest.fixture
def served() -> Iterator[tuple[Registries, str]]:
    registries = Registries()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            token = self.headers.get("Authorization")
            status, answer = registries.answer(self.command, self.path, token, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield registries, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def registries(served: tuple[Registries, str]) -> Registries:
    return served[0]


@pytest.fixture
def stack(served: tuple[Registries, str]) -> ThingsStack:
    return ThingsStack(served[1], TOKEN, application="communes")


def code(client: ThingsStack, **options: bool) -> str:
    with pytest.raises(CommunodeError) as caught:
        client.register(DEVICE, **options)
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value) + repr(client)
    assert KEY.hex() not in shown.lower()
    assert TOKEN not in shown
    return caught.value.code


def test_a_new_device_is_in_all_four_registries_in_their_order(
    stack: ThingsStack, registries: Registries
) -> None:
    assert stack.register(DEVICE) == "created"
    assert registries.calls == ["POST is", "PUT js", "PUT ns", "PUT as"]
    held = {name: registry[ID] for name, registry in registries.held.items()}
    for part in held.values():
        assert part["ids"]["dev_eui"] == "70B3D57ED0001234"
        assert part["ids"]["join_eui"] == "0000000000000001"
    assert held["is"]["name"] == "school; north"
    assert held["is"]["attributes"] == {"site": "school"}
    assert held["js"]["root_keys"] == {"app_key": {"key": KEY.hex().upper()}}
    assert held["ns"]["supports_join"] is True
    assert held["ns"]["lorawan_version"] == "MAC_V1_0_4"
    assert held["ns"]["frequency_plan_id"] == "EU_863_870_TTN"
    assert "root_keys" not in held["is"] | held["ns"] | held["as"]


def test_registering_again_changes_nothing(stack: ThingsStack, registries: Registries) -> None:
    stack.register(DEVICE)
    registries.calls.clear()
    assert stack.register(DEVICE) == "kept"
    assert not {call for call in registries.calls if call.startswith(("PUT", "DELETE"))}


@pytest.mark.parametrize("call", ["POST is", "PUT js", "PUT ns", "PUT as"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_registration_that_was_cut_short_is_completed(
    stack: ThingsStack, registries: Registries, call: str, when: str
) -> None:
    (registries.fail if when == "before" else registries.fail_after)[call] = 503
    assert code(stack) == "registration.unreachable"
    registries.fail.clear()
    assert stack.register(DEVICE) in ("created", "completed", "kept")
    assert all(ID in registry for registry in registries.held.values())
    assert registries.held["js"][ID]["root_keys"]["app_key"]["key"] == KEY.hex().upper()


def test_another_key_is_kept_unless_it_shall_be_renewed(stack: ThingsStack, registries: Registries) -> None:
    stack.register(replace(DEVICE, app_key=b"\7" * 16))
    registries.held["ns"][ID]["session"] = {"dev_addr": "260B0001"}
    assert code(stack) == "registration.key_differs"
    assert stack.register(DEVICE, renew=True) == "renewed"
    assert registries.held["js"][ID]["root_keys"]["app_key"]["key"] == KEY.hex().upper()
    assert stack.joined(DEVICE.dev_eui) is None


def test_a_key_that_we_may_not_see_counts_as_another(stack: ThingsStack, registries: Registries) -> None:
    stack.register(DEVICE)
    registries.hide_keys = True
    assert code(stack) == "registration.key_differs"
    assert stack.register(DEVICE, renew=True) == "renewed"


def test_a_device_of_somebody_else_is_left_alone(stack: ThingsStack, registries: Registries) -> None:
    stack.register(replace(DEVICE, join_eui=b"\5" * 8))
    assert code(stack, renew=True) == "registration.elsewhere"
    registries.held["is"].clear()
    registries.fail["POST is"] = 409  # the DevEUI is in another application
    assert code(stack) == "registration.elsewhere"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "registration.refused"),
        (401, "registration.unauthorised"),
        (403, "registration.unauthorised"),
        (404, "registration.unknown"),
        (429, "registration.unreachable"),
        (500, "registration.refused"),
        (302, "registration.refused"),  # the token does not follow to another host
    ],
)
def test_every_status_is_told(stack: ThingsStack, registries: Registries, status: int, expected: str) -> None:
    registries.fail["POST is"] = status
    assert code(stack) == expected


def test_a_server_that_is_not_there_is_said_as_such() -> None:
    assert (
        code(ThingsStack("http://127.0.0.1:9", TOKEN, application="communes")) == "registration.unreachable"
    )


@pytest.mark.parametrize(
    ("url", "application"),
    [
        ("http://eu1.example.org", "communes"),
        ("ftp://x", "communes"),
        ("https://x", "../y"),
        ("x", "communes"),
    ],
)
def test_keys_go_over_tls_only_and_to_a_plain_application(url: str, application: str) -> None:
    with pytest.raises(CommunodeError) as caught:
        ThingsStack(url, TOKEN, application=application)
    assert caught.value.code == "registration.bad_address"


def test_a_join_shows_as_a_dev_addr_and_nonces_are_flushed_apart(
    stack: ThingsStack, registries: Registries
) -> None:
    stack.register(DEVICE)
    assert stack.joined(DEVICE.dev_eui) is None
    registries.held["ns"][ID]["pending_session"] = {"dev_addr": "260B0001"}
    assert stack.joined(DEVICE.dev_eui) == "260b0001"
    registries.held["js"][ID] |= {"last_dev_nonce": 7, "used_dev_nonces": [1, 7]}
    stack.flush_dev_nonces(DEVICE.dev_eui)
    assert registries.held["js"][ID]["last_dev_nonce"] == 0
    assert registries.held["js"][ID]["used_dev_nonces"] == []
    assert registries.held["js"][ID]["root_keys"]  # and nothing else was touched


# --- the import file ----------------------------------------------------------------------------------------

# The Things Stack documentation, "CSV File Reference": the columns, and which of them are required.
DOCUMENTED = {
    "dev_eui",
    "join_eui",
    "app_eui",
    "id",
    "name",
    "description",
    "lorawan_version",
    "lorawan_phy_version",
    "frequency_plan_id",
    "brand_id",
    "model_id",
    "firmware_version",
    "hardware_version",
    "band_id",
    "app_key",
    "nwk_key",
    "rx1_delay",
    "supports_32_bit_f_cnt",
    "dev_addr",
    "app_s_key",
    "f_nwk_s_int_key",
    "last_f_cnt_up",
    "last_n_f_cnt_down",
    "last_a_f_cnt_down",
    "supports_class_c",
    "vendor_id",
    "vendor_profile_id",
}
REQUIRED = {"dev_eui", "join_eui", "lorawan_version", "lorawan_phy_version", "frequency_plan_id"}


def test_the_import_file_has_documented_columns_and_all_that_are_required(tmp_path: Path) -> None:
    assert set(COLUMNS) <= DOCUMENTED
    assert set(COLUMNS) >= REQUIRED
    file = ThingsStackFile(tmp_path / "import.csv")
    assert file.register(DEVICE) == "created"
    assert file.register(replace(DEVICE, dev_eui=b"\1" * 8)) == "created"
    text = (tmp_path / "import.csv").read_text("utf-8")
    first, second = csv.DictReader(io.StringIO(text), delimiter=";")
    assert text.splitlines()[0] == ";".join(COLUMNS)
    assert '"school; north"' in text  # a semicolon in a value is quoted
    assert first["id"] == ID
    assert re.fullmatch(r"[0-9A-F]{16}", first["dev_eui"])
    assert first["app_key"] == KEY.hex().upper()
    assert first["lorawan_version"] == "MAC_V1_0_4"
    assert second["dev_eui"] == "01" * 8


def test_the_import_file_is_private_and_a_line_is_changed_in_place(tmp_path: Path) -> None:
    path = tmp_path / "import.csv"
    file = ThingsStackFile(path)
    file.register(DEVICE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert file.register(DEVICE) == "kept"
    other = replace(DEVICE, app_key=b"\7" * 16)
    with pytest.raises(CommunodeError) as caught:
        file.register(other)
    assert caught.value.code == "registration.key_differs"
    assert file.register(other, renew=True) == "renewed"
    assert path.read_text().count("70B3D57ED0001234") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_foreign_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "import.csv"
    path.touch(mode=0o600)
    path.write_text("something;else\n")
    with pytest.raises(CommunodeError) as caught:
        ThingsStackFile(path).register(DEVICE)
    assert caught.value.code == "registration.foreign_file"
    assert path.read_text() == "something;else\n"
