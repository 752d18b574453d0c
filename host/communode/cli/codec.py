# SPDX-License-Identifier: MIT
"""``communode codec``: the JavaScript codec for network servers."""

from __future__ import annotations

import json
from pathlib import Path

import click

from communode.cli._options import json_option
from communode.report import Report


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write into."
)
@json_option
def codec(out: Path, as_json: bool) -> None:
    """Write the JavaScript codec of the readings uplink, and examples that prove it.

    \b
    Example: communode codec --out build/codec
    """
    from communode.ingest.javascript import make_codec, make_examples

    out.mkdir(parents=True, exist_ok=True)
    files = {"communode.js": make_codec(), "examples.json": json.dumps(make_examples(), indent=2) + "\n"}
    for name, content in files.items():
        (out / name).write_text(content, "utf-8")
    report = Report(as_json)
    for name in files:
        report.line(str(out / name))
    report.result({"ok": True, "files": [str(out / name) for name in files]})
