# SPDX-License-Identifier: MIT
"""The command line: help, JSON, exit status and errors are the same for every verb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from communode import __version__
from communode.cli import root, run
from communode.messages import catalogue

VERBS = root.list_commands(click.Context(root))


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, without a terminal."""
    command = [sys.executable, "-m", "communode", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_a_summary(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = root.get_command(click.Context(root), verb)
    assert command is not None
    assert command.name == verb
    for name in [verb, *(f"{verb} {sub}" for sub in getattr(command, "commands", {}))]:
        assert run([*name.split(), "--help"]) == 0
        help_text = capsys.readouterr().out
        if name == verb and getattr(command, "commands", {}):
            continue
        assert f"communode {name}" in help_text.split("Example", 1)[1], name
    assert f"cli.verb.{verb}" in catalogue()


def test_help_is_quick_and_imports_no_verb() -> None:
    program = (
        "import sys; from communode.cli import run; run(['--help']);"
        "print([m for m in sys.modules if m.startswith('communode.cli.') or m in ('serial', 'rich')])"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    seconds = time.perf_counter() - began
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(verb in done.stdout for verb in VERBS)
    assert seconds < 2  # 0.1 s on an idle machine; the bound is for a crowded one


def test_the_version_is_that_of_the_package() -> None:
    assert cli("--version").stdout.split() == ["communode,", "version", __version__]


def test_an_error_is_one_line_on_stderr_and_status_2() -> None:
    done = cli("build", "--board", "vritual", "--out", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "vritual" in done.stderr


def test_an_error_with_json_is_one_object_on_stdout() -> None:
    done = cli("build", "--board", "vritual", "--out", "nowhere", "--json")
    failure = json.loads(done.stdout)
    assert failure["ok"] is False
    assert set(failure["error"]) == {"code", "message", "remedy"}
    assert done.stderr == ""


def test_an_unknown_profile_names_the_known_ones(tmp_path: Path) -> None:
    done = cli("build", "--board", "virtual", "--profile", "airr", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "air, air_gases, air_outdoor, bin" in done.stderr


@pytest.mark.parametrize("arguments", [["flsh"], ["flash"], ["boards", "--jsno"], ["boards", "extra"]])
def test_wrong_usage_is_status_2_and_points_to_the_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert "--help" in capsys.readouterr().err


def test_wrong_usage_with_json_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["flash", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "cli.usage"


def test_the_messages_follow_the_language() -> None:
    done = cli("build", "--board", "x", "--out", "y", COMMUNODE_LANG="fr")
    assert "Il n'y a pas de carte" in done.stderr


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    done = subprocess.run(
        f"{sys.executable} -m communode boards --json | true", shell=True, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    done = cli("build", "--board", "virtual", "--out", str(blocked / "image"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_boards_lists_all_boards_as_json() -> None:
    listed = json.loads(cli("boards", "--json").stdout)
    assert listed["schema"] == 1
    assert {"virtual", "heltec_ht_ct62"} <= {board["name"] for board in listed["boards"]}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell: str) -> None:
    assert "_COMMUNODE_COMPLETE" in cli("completion", shell).stdout


def test_boards_and_profiles_are_completed() -> None:
    done = cli(
        _COMMUNODE_COMPLETE="bash_complete", COMP_WORDS="communode build --board heltec_", COMP_CWORD="3"
    )
    names = [line.split(",")[1] for line in done.stdout.splitlines()]
    assert names == ["heltec_ht_ct62", "heltec_wifi_lora_32_v3"]


def test_nothing_is_coloured_where_no_terminal_is() -> None:
    for arguments in (["boards"], ["build", "--board", "x", "--out", "y"]):
        done = cli(*arguments)
        assert "\x1b" not in done.stdout + done.stderr
