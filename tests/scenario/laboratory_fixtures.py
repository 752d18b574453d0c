# SPDX-License-Identifier: MIT
"""Fixtures of the two certification suites: one flash for all, copied for each laboratory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from laboratory import Laboratory, make_flash

MakeLaboratory = Callable[..., Laboratory]


@pytest.fixture(scope="session")
def laboratory_flash(tmp_path_factory: pytest.TempPathFactory, micropython: str) -> Path:
    """The flash of a node in laboratory mode."""
    return make_flash(tmp_path_factory.mktemp("laboratory") / "node.flash")


@pytest.fixture
def laboratory(laboratory_flash: Path, tmp_path: Path) -> Iterator[MakeLaboratory]:
    """Makes laboratories, each with a new node, and closes them."""
    with ExitStack() as stack:

        def make(**settings: Any) -> Laboratory:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            flash = Path(shutil.copy(laboratory_flash, folder / "node.flash"))
            lab = Laboratory(flash, folder, **settings)
            stack.callback(lab.close)
            return lab

        yield make
