# SPDX-License-Identifier: MIT
"""Boards that the scenarios share: flashed once a session, copied for each test that writes to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from running_board import RunningBoard, output

FlashCopy = Callable[..., Path]
FirstBuild = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> FirstBuild:
    """The folder of a board's image for a virtual body, made once a session by ``communode build``."""
    done: dict[tuple[str, str], Path] = {}

    def build(board: str, profile: str) -> Path:
        if (board, profile) not in done:
            folder = tmp_path_factory.mktemp("built") / board
            what = ("--board", board, "--profile", profile, "--body", "virtual", "--out", folder)
            output("communode", "build", *what, limit_s=240)  # the first one may have to fetch the image
            done[board, profile] = folder
        return done[board, profile]

    return build


@pytest.fixture(scope="session")
def flashed(
    tmp_path_factory: pytest.TempPathFactory, micropython: str, built: FirstBuild
) -> Callable[[str, str], Path]:
    """The flash file of a board that ``communode flash`` has written, never to be written again."""
    done: dict[tuple[str, str], Path] = {}

    def flash(board: str, profile: str) -> Path:
        if (board, profile) not in done:
            file = tmp_path_factory.mktemp("flashed") / f"{board}.flash"
            with RunningBoard(board, profile, flash=file) as running:
                what = ("--board", board, "--profile", profile, "--image", built(board, profile))
                output("communode", "flash", *what, "--body", "virtual", "--port", running.port)
            done[board, profile] = file
        return done[board, profile]

    return flash


@pytest.fixture
def flash_copy(flashed: Callable[[str, str], Path], tmp_path: Path) -> FlashCopy:
    """A copy of a flashed board's flash for this test alone."""

    def copy(board: str = "virtual", profile: str = "air") -> Path:
        return Path(shutil.copy(flashed(board, profile), tmp_path / f"{board}.flash"))

    return copy
