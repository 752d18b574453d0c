# SPDX-License-Identifier: MIT
"""The generated codec runs in QuickJS, the engine of ChirpStack, and says what our own decoder says."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from communode.cli import run
from communode.ingest.javascript import decoded_as_json, make_codec, make_examples
from communode.node.codec.record import pack_record, pack_values
from communode.node.codec.uplink import UplinkWriter
from communode.node.schema.quantities import QUANTITIES
from communode.profiles import load_profile, profile_names

quickjs = pytest.importorskip("quickjs")


@pytest.fixture(scope="module")
def javascript() -> Any:
    context = quickjs.Context()
    context.eval(make_codec())
    context.eval("function call(text) { return JSON.stringify(decodeUplink(JSON.parse(text))); }")
    call = context.get("call")

    def decode(f_port: int, payload: bytes) -> Any:
        return json.loads(call(json.dumps({"fPort": f_port, "bytes": list(payload)})))

    return decode


def test_every_example_decodes_as_it_says(javascript: Any) -> None:
    examples = make_examples()
    assert len(examples) == len(profile_names())
    for example in examples:
        assert javascript(2, bytes(example["input"]["bytes"])) == example["output"]


@pytest.mark.parametrize("name", profile_names())
def test_random_records_decode_alike_in_both_languages(javascript: Any, name: str) -> None:
    rng = random.Random(name)
    profile = load_profile(name)
    order = {facts[0]: code for code, facts in QUANTITIES.items()}
    codes = tuple(order[quantity] for quantity in profile.quantities)
    for _ in range(50):
        writer = UplinkWriter(profile.id, rng.randrange(65536), 5, 222, rng.random() < 0.5)
        record_id, time_s = rng.randrange(5000, 1 << 24), rng.randrange(1 << 31, 1 << 32)
        for _ in range(rng.randrange(1, 6)):
            readings = {}
            for code in codes:
                _, _, _, low, step, bits = QUANTITIES[code]
                value = None if rng.random() < 0.1 else low + step * rng.randrange((1 << bits) - 1)
                readings[code] = (value, rng.randrange(8))
            if not writer.add(
                record_id, pack_record(time_s, rng.randrange(32), pack_values(codes, readings))
            ):
                break
            record_id -= rng.randrange(1, 256)
            time_s -= rng.randrange(65536)
        payload = writer.to_bytes()
        assert javascript(2, payload) == {"data": decoded_as_json(payload)}


def test_what_is_no_readings_payload_is_an_error_or_a_warning(javascript: Any) -> None:
    payload = bytes(make_examples()[0]["input"]["bytes"])
    for cut in range(len(payload)):
        assert "errors" in javascript(2, payload[:cut])
    assert javascript(2, payload + b"\0")["errors"] == ["payload too long"]
    assert "warnings" in javascript(9, payload)


def test_the_command_writes_codec_and_examples(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["codec", "--out", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    assert (tmp_path / "communode.js").read_text("utf-8") == make_codec()


def test_events_are_stored_once_however_often_they_are_read(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    import base64
    import sqlite3

    payload = bytes(make_examples()[0]["input"]["bytes"])
    event = {
        "event": "up",
        "deviceInfo": {"devEui": "0200c0fffe000001"},
        "time": "2026-03-02T00:00:00Z",
        "fPort": 2,
        "data": base64.b64encode(payload).decode(),
    }
    (tmp_path / "events.jsonl").write_text(
        json.dumps(event) + "\n" + json.dumps({"event": "join"}) + "\n", "utf-8"
    )
    for _ in range(2):
        assert run(["ingest", "--store", str(tmp_path / "r.sqlite"), str(tmp_path / "events.jsonl")]) == 0
    database = sqlite3.connect(tmp_path / "r.sqlite")
    assert database.execute("SELECT count(DISTINCT record_id) FROM readings").fetchone() == (2,)
    database.close()
    (tmp_path / "bad.jsonl").write_text("not json\n", "utf-8")
    assert run(["ingest", "--store", str(tmp_path / "r.sqlite"), str(tmp_path / "bad.jsonl")]) == 2
    assert "Line 1" in capsys.readouterr().err
