# SPDX-License-Identifier: MIT
"""The table of costs in virtual time: each line with a source, each line used."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from communode.virtual import costs

FOLDER = Path(costs.__file__).parent
TABLE = tomllib.loads((FOLDER / "costs.toml").read_text("utf-8"))
LINES = [(section, name) for section, lines in TABLE.items() for name in lines]


@pytest.mark.parametrize(("section", "name"), LINES)
def test_a_line_says_where_it_comes_from(section: str, name: str) -> None:
    line = TABLE[section][name]
    assert set(line) == {"value", "source"}
    assert isinstance(line["value"], int)
    assert line["value"] > 0
    # An estimate says so and why; anything else names a document, an issue or an image.
    assert re.match(r"estimate: \S+ \S+", line["source"]) or re.search(
        r"datasheet|#\d+|image|v\d", line["source"]
    )


@pytest.mark.parametrize(("section", "name"), LINES)
def test_a_line_is_used(section: str, name: str) -> None:
    sources = [path.read_text("utf-8") for path in FOLDER.rglob("*.py")]
    assert any(f'"{name}"' in source for source in sources)


def test_a_line_names_its_unit() -> None:
    for section, name in LINES:
        assert re.search(r"_(us|ms)(_per_\w+)?$", name), f"{section}.{name}"


def test_the_table_is_what_the_board_charges() -> None:
    table = costs.cost_table()
    assert {(section, name) for section, lines in table.items() for name in lines} == set(LINES)
    assert all(table[section][name] == TABLE[section][name]["value"] for section, name in LINES)


def test_a_line_without_a_source_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "costs.toml").write_text('[boot]\nwake_ms = { value = 68, source = "" }\n')
    monkeypatch.setattr(costs, "__file__", str(tmp_path / "costs.py"))
    with pytest.raises(ValueError, match=r"boot\.wake_ms names no source"):
        costs.cost_table.__wrapped__()
