# SPDX-License-Identifier: MIT
"""The ``[network]`` table of a batch file, and the network server that it describes.

Tokens are not in the table: ``token`` names a secret of the vault.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from communode.network.registration import NetworkServer
from communode.toml_table import Table

KINDS = ("bench", "chirpstack", "things-stack", "things-stack-file")
EXPORTING = ("things-stack-file",)  # these write keys into a file

Connect = Callable[[Callable[[str], str]], NetworkServer]


def read_network(table: Table) -> tuple[str, Connect]:
    """The kind of a ``[network]`` table, and how to connect, given a function from a token's name to it.

    Nothing is contacted yet. CommunodeError ``toml.*`` for what the table lacks.
    """
    kind = table.choice("kind", KINDS)
    reader = {
        "bench": _bench,
        "chirpstack": _chirpstack,
        "things-stack": _things_stack,
        "things-stack-file": _things_stack_file,
    }[kind]
    connect = reader(table)
    table.finish()
    return kind, connect


def _path(table: Table, key: str) -> Path:
    """A path relative to the file that names it."""
    return table.file.parent / Path(table.text(key)).expanduser()


def _bench(table: Table) -> Connect:
    store = _path(table, "store")

    def connect(token: Callable[[str], str]) -> NetworkServer:
        from communode.network.bench import BenchServer

        return BenchServer(store)

    return connect


def _chirpstack(table: Table) -> Connect:
    address, name = table.text("address"), table.text("token")
    application, profile = table.text("application"), table.text("device_profile")
    tls = table.flag("tls") if "tls" in table else True
    ca_file = _path(table, "ca_file") if "ca_file" in table else None

    def connect(token: Callable[[str], str]) -> NetworkServer:
        from communode.network.chirpstack import ChirpStack

        return ChirpStack(
            address, token(name), application=application, device_profile=profile, tls=tls, ca_file=ca_file
        )

    return connect


def _things_stack(table: Table) -> Connect:
    from communode.network.things_stack import FREQUENCY_PLAN, ThingsStack

    url, name, application = table.text("url"), table.text("token"), table.text("application")
    plan = table.text("frequency_plan") if "frequency_plan" in table else FREQUENCY_PLAN
    return lambda token: ThingsStack(url, token(name), application=application, frequency_plan=plan)


def _things_stack_file(table: Table) -> Connect:
    from communode.network.things_stack import FREQUENCY_PLAN
    from communode.network.things_stack_file import ThingsStackFile

    file = _path(table, "file")
    plan = table.text("frequency_plan") if "frequency_plan" in table else FREQUENCY_PLAN
    return lambda token: ThingsStackFile(file, plan)
