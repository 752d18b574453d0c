#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the commands of Markdown files, so that no README promises what does not work: readme_blocks.py FILE...

A shell block tagged ``sh run`` is run as it stands. One tagged ``sh hardware`` is run against virtual boards:
every ``/dev/ttyUSBn`` in it becomes the port of a virtual board of the kind that the block names with
``--board``, each with an address of its own; ``flash``, ``build``, ``deploy`` and ``tray`` get ``--body
virtual``; ``monitor`` ends after two seconds. Untagged blocks are not run. Each block has a folder of its
own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```sh (?P<tag>run|hardware)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
PORT = re.compile(r"/dev/ttyUSB\d+")
BODY = re.compile(r"^(communode (?:flash|build|deploy|tray)\b.*)$", re.MULTILINE)
MONITOR = re.compile(r"^(communode monitor\b.*)$", re.MULTILINE)
TIMEOUT_S = 300


@dataclass(frozen=True)
class Block:
    """One tagged block of a file."""

    file: Path
    line: int
    tag: str
    code: str


def find_blocks(file: Path) -> list[Block]:
    """All tagged blocks of ``file``."""
    text = file.read_text("utf-8")
    return [
        Block(file, text.count("\n", 0, found.start()) + 1, found["tag"], found["code"])
        for found in BLOCK.finditer(text)
    ]


def for_virtual_ports(code: str, ports: dict[str, str]) -> str:
    """The commands of a hardware block as they run against virtual boards."""
    code = PORT.sub(lambda found: ports[found[0]], code)
    code = BODY.sub(r"\1 --body virtual", code)
    return MONITOR.sub(r"\1 --seconds 2", code)


@contextmanager
def virtual_board(board: str, profile: str, link: Path, number: int) -> Iterator[str]:
    """A virtual board for as long as the block runs; its port."""
    command = [sys.executable, "-m", "communode", "virtual", "run", "--board", board, "--profile", profile]
    command += ["--mac", f"0200c0{number + 1:06x}"]
    with subprocess.Popen([*command, "--link", str(link)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield str(json.loads(process.stdout.readline())["port"])
        finally:
            process.terminate()


def run_block(block: Block) -> str | None:
    """Run one block; what went wrong, or None."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        code = block.code
        if block.tag == "hardware":
            board = re.search(r"--board (\S+)", code)
            profile = re.search(r"--profile (\S+)", code)
            if not board:
                return "a hardware block names its board with --board"
            kind = board[1], profile[1] if profile else "air"
            ports = {
                name: stack.enter_context(virtual_board(*kind, folder / f"port{number}", number))
                for number, name in enumerate(sorted(set(PORT.findall(code))))
            }
            code = for_virtual_ports(code, ports)
        environment = os.environ | {"COMMUNODE_FLEET": str(folder / "fleet")}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        try:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", code],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return f"not done after {TIMEOUT_S} s"
    return None if done.returncode == 0 else f"{code}\n{done.stdout}{done.stderr}"


def main(arguments: list[str]) -> int:
    """Run all blocks; exit status 1 if one failed, 2 if there was none to run."""
    blocks = [block for file in arguments for block in find_blocks(Path(file))]
    failures = 0
    for block in blocks:
        wrong = run_block(block)
        failures += wrong is not None
        print(
            f"{block.file}:{block.line}: {block.tag}: {'ok' if wrong is None else f'FAILED{chr(10)}{wrong}'}"
        )
    if not blocks:
        print("no block is tagged; nothing was run", file=sys.stderr)
        return 2
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
