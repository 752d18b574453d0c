# SPDX-License-Identifier: MIT
"""The runner of README commands runs what is tagged, for virtual ports, and fails when a command does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "readme_blocks.py"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme_blocks", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["readme_blocks"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def write(folder: Path, text: str) -> str:
    path = folder / "README.md"
    path.write_text(text)
    return str(path)


def test_only_tagged_blocks_are_found(tool: ModuleType, tmp_path: Path) -> None:
    text = "# x\n```sh\nfalse\n```\n\n```sh run\ntrue\n```\n```python\n1/0\n```\n```sh hardware\necho\n```\n"
    found = tool.find_blocks(Path(write(tmp_path, text)))
    assert [(block.line, block.tag, block.code) for block in found] == [
        (6, "run", "true\n"),
        (12, "hardware", "echo\n"),
    ]


@pytest.mark.parametrize(
    ("code", "status"),
    [("true", 0), ("false", 1), ("false\ntrue", 1), ("false | true", 1), ("echo $undefined", 1)],
)
def test_the_status_is_that_of_the_commands(tool: ModuleType, tmp_path: Path, code: str, status: int) -> None:
    assert tool.main([write(tmp_path, f"```sh run\n{code}\n```\n")]) == status


def test_a_file_without_a_tagged_block_is_an_error(tool: ModuleType, tmp_path: Path) -> None:
    assert tool.main([write(tmp_path, "nothing")]) == 2


def test_hardware_commands_are_rewritten_for_virtual_ports(tool: ModuleType) -> None:
    code = "communode flash --port /dev/ttyUSB0\ncommunode monitor --port /dev/ttyUSB1\ncommunode boards\n"
    rewritten = tool.for_virtual_ports(code, {"/dev/ttyUSB0": "/tmp/a", "/dev/ttyUSB1": "/tmp/b"})
    assert rewritten.splitlines() == [
        "communode flash --port /tmp/a --body virtual",
        "communode monitor --port /tmp/b --seconds 2",
        "communode boards",
    ]
