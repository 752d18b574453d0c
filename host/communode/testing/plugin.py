# SPDX-License-Identifier: MIT
"""The pytest plugin (entry point ``pytest11``): hardware or a virtual board in the loop.

    def test_the_node_says_who_it_is(node):
        assert node.exec("print(6 * 7)") == "42\\n"
        node.reset()
        node.expect(r"communode \\S+ \\S+ air")

The same file runs on a virtual board (``--dut virtual``, the default) and on hardware (``--dut serial --port
/dev/ttyUSB0``). ``--port`` is pytest-embedded's option; where that plugin is not there (or is switched off,
because pytest-repeat wants ``--count`` too), the environment variable COMMUNODE_PORT says the same. With an
explicit ``--dut virtual``, pytest-embedded's own ``dut`` (``--embedded-services serial``) gets a virtual
board.

This module imports pytest only: it is loaded by every pytest run of its environment, and a missing extra
must not break those. What needs more is in `communode.testing.node`, imported by the fixtures.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from communode.testing.node import Bench, Node

_embedded = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of their own names; ``--port``, ``--count`` and the like stay pytest-embedded's."""
    group = parser.getgroup("communode", "communode: boards in the loop")
    group.addoption(
        "--dut", choices=("virtual", "serial"), help="What `node` is: a virtual board (default) or --port."
    )
    group.addoption("--dut-board", default="virtual", metavar="BOARD", help="See `communode boards`.")
    group.addoption("--dut-profile", default="air", metavar="PROFILE", help="Profile that is flashed.")
    group.addoption("--dut-provision", action="store_true", help="Give the board a new identity.")
    group.addoption("--dut-keep", action="store_true", help="Flash nothing: test what is on the board.")


def pytest_configure(config: pytest.Config) -> None:
    """Register the plugin's markers."""
    config.addinivalue_line("markers", "nightly: a long campaign, run by `make nightly`")


def _bench(config: pytest.Config) -> Bench:
    from communode.testing.node import Bench

    port = config.getoption("port", None) or os.environ.get("COMMUNODE_PORT")
    if config.getoption("dut") == "serial" and not port:
        raise pytest.UsageError("--dut serial needs --port (pytest-embedded's) or COMMUNODE_PORT")
    return Bench(
        board=config.getoption("dut_board"),
        profile=config.getoption("dut_profile"),
        port=port if config.getoption("dut") == "serial" else None,
        provision=config.getoption("dut_provision"),
        keep=config.getoption("dut_keep"),
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Give pytest-embedded a virtual board where ``--dut virtual`` was asked for, and no port."""
    config = session.config
    if config.getoption("dut") != "virtual" or config.getoption("collectonly"):
        return
    services = str(config.getoption("embedded_services", None) or "").split(",")
    if "serial" not in services or config.getoption("port", None):
        return
    stack = ExitStack()
    config.stash[_embedded] = stack
    config.option.port = stack.enter_context(_bench(config)).port


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Unplug that board."""
    stack = session.config.stash.get(_embedded, None)
    if stack is not None:
        stack.close()


@pytest.fixture(scope="session")
def node_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The board of `node`: plugged in and flashed once a session."""
    with _bench(request.config) as bench:
        yield bench


@pytest.fixture
def node(node_bench: Bench) -> Iterator[Node]:
    """A flashed board, freshly reset, with its port open: see `communode.testing.node.Node`."""
    from communode.testing.node import Node

    with Node(node_bench.port) as node:
        yield node
