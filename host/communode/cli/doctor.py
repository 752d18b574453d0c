# SPDX-License-Identifier: MIT
"""``communode doctor``: check this computer, and say how to mend it."""

from __future__ import annotations

import click

from communode.cli._options import json_option
from communode.report import Report

_SIGNS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check Python, packages, images, ports and permissions; each finding comes with what mends it.

    Exit status 1 if something stops work.

    \b
    Example: communode doctor
    """
    from communode.doctor import FAIL, examine

    findings = examine()
    failed = any(finding.status == FAIL for finding in findings)
    report = Report(as_json)
    report.result({"ok": not failed, "findings": [finding.describe() for finding in findings]})
    for finding in findings:
        report.line(f"{_SIGNS[finding.status]} {finding.message}")
        if finding.remedy:
            report.line(f"     -> {finding.remedy}")
    return 1 if failed else 0
