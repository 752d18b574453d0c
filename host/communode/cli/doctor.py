# SPDX-License-Identifier: MIT
"""``communode doctor``: check this computer, and say how to mend it."""

from __future__ import annotations

from pathlib import Path

import click

from communode.cli._options import json_option, port_option
from communode.report import Report

_SIGNS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@click.command()
@port_option(multiple=True, required=False)
@click.option(
    "--network", metavar="HOST:PORT", multiple=True, help="A network server (udp:// for gateways')."
)
@click.option(
    "--store",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Store of the bench server, to compare the boards' join counters with.",
)
@json_option
def doctor(ports: tuple[str, ...], network: tuple[str, ...], store: Path | None, as_json: bool) -> int:
    """Check Python, packages, images, ports and permissions; each finding comes with what mends it.

    A board whose port is named is looked at too, and reset by that. Exit status 1 if something stops work.

    \b
    Example: communode doctor
    Example: communode doctor --port /dev/ttyUSB0 --network udp://192.168.1.10:1700
    """
    from communode.doctor import FAIL, examine

    findings = examine()
    if network or ports:
        from communode.checkup import examine_board, examine_network

        for address in network:
            findings += examine_network(address)
        for port in ports:
            findings += examine_board(port, store)
    failed = any(finding.status == FAIL for finding in findings)
    report = Report(as_json)
    report.result({"ok": not failed, "findings": [finding.describe() for finding in findings]})
    for finding in findings:
        report.line(f"{_SIGNS[finding.status]} {finding.message}")
        if finding.remedy:
            report.line(f"     -> {finding.remedy}")
    return 1 if failed else 0
