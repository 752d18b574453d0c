# SPDX-License-Identifier: MIT
"""The message catalogue: complete in both languages, and every error of the code is in it."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from communode.errors import CommunodeError
from communode.messages import LANGUAGES, catalogue, text

HOST = Path(__file__).resolve().parents[2] / "host" / "communode"


def fields(message: str) -> set[str]:
    """The names of the fields of a format text."""
    return {name for _, name, _, _ in string.Formatter().parse(message) if name is not None}


def calls() -> Iterator[tuple[Path, ast.Call]]:
    """Every `CommunodeError(...)` of the host code."""
    for path in sorted(HOST.rglob("*.py")):
        if "node" in path.relative_to(HOST).parts[:1]:
            continue
        for node in ast.walk(ast.parse(path.read_bytes())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "CommunodeError"
            ):
                yield path, node


def test_every_message_is_there_in_every_language_with_the_same_fields() -> None:
    for key, message in catalogue().items():
        assert set(message) == set(LANGUAGES), key
        assert fields(message["en"]) == fields(message["fr"]), key
        assert all(message[language].strip() for language in LANGUAGES), key


def test_every_error_has_a_message_and_a_remedy() -> None:
    codes = {key.rpartition(".")[0] for key in catalogue() if key.endswith((".message", ".remedy"))}
    for code in codes:
        assert f"{code}.message" in catalogue(), code
        assert f"{code}.remedy" in catalogue(), code


def test_every_code_that_is_raised_is_in_the_catalogue_with_its_values() -> None:
    checked = 0
    for path, call in calls():
        code = call.args[0] if call.args else None
        if not isinstance(code, ast.Constant):
            continue  # passed on: the place that made it is checked
        wanted = fields(catalogue()[f"{code.value}.message"]["en"]) | fields(
            catalogue()[f"{code.value}.remedy"]["en"]
        )
        given = {keyword.arg for keyword in call.keywords}
        if None not in given:  # no **values
            assert wanted <= given - {"usage"}, (
                f"{path.name}:{call.lineno}: {code.value} lacks {wanted - given}"
            )
        checked += 1
    assert checked > 20


def test_messages_are_single_lines() -> None:
    for key, message in catalogue().items():
        assert all("\n" not in words for words in message.values()), key


def test_the_language_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMUNODE_LANG", "fr_FR.UTF-8")
    assert text("cli.commands") == "Commandes"
    monkeypatch.setenv("COMMUNODE_LANG", "de")
    assert text("cli.commands") == "Commands"


def test_an_error_says_what_happened_and_what_to_do() -> None:
    error = CommunodeError("board.unknown", usage=True, board="x", known="a, b")
    assert error.as_json() == {
        "schema": 1,
        "ok": False,
        "error": {"code": "board.unknown", "message": error.message, "remedy": error.remedy},
    }
    assert str(error) == f"{error.message} {error.remedy}"
