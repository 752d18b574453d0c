# SPDX-License-Identifier: MIT
"""``communode provision --batch``, without the parsing."""

from __future__ import annotations

from pathlib import Path

from communode.build import build, read_build
from communode.cli._table import watch
from communode.errors import CommunodeError
from communode.fleet.place import Place
from communode.labels import check_installed
from communode.messages import text
from communode.profiles import load_profile
from communode.provisioning.batch import Batch, read_batch
from communode.provisioning.run import BatchRun, Choices, Provisioned
from communode.report import Report


def provision_batch(
    file: Path,
    ports: tuple[str, ...],
    place: Place,
    report: Report,
    *,
    image: Path | None,
    flash: bool,
    body: str,
    replace: bool,
    restore: bool,
) -> int:
    """Provision the boards at ``ports`` as ``file`` says; the exit status."""
    batch = read_batch(file)
    if batch.labels:
        check_installed()
    made = None
    if image:
        made = read_build(image)
        if made.manifest["board"] != batch.board.name:
            raise CommunodeError(
                "flash.other_board",
                usage=True,
                folder=image,
                found=made.manifest["board"],
                expected=batch.board.name,
            )
    elif flash:
        made = build(batch.board, load_profile(batch.profile), body=body)
    with place.register() as register, place.vault(create=True) as vault:
        network = batch.connect(lambda name: vault.get(f"token:{name}").decode()) if batch.connect else None
        try:
            with watch(report) as listener:
                run = BatchRun(batch, register, vault, network, Choices(made, replace, restore), listener)
                done = run.run(ports)
        finally:
            if network:
                network.close()
        for item in done:
            if item.dev_eui:
                _tell(report, batch, item, register.node(item.dev_eui)["name"])
    unseen = [item for item in done if item.error is None and not item.done]
    if unseen:
        report.note(text("registration.not_seen", count=len(unseen)))
    return 1 if any(item.error for item in done) else 0


def _tell(report: Report, batch: Batch, item: Provisioned, name: str) -> None:
    values = {"port": item.port, "mac": item.mac, "dev_eui": item.dev_eui, "name": name, "step": item.step}
    report.event("provisioned", board=batch.board.name, batch=batch.name, **values)
    step = text(f"registration.step.{item.step}")
    report.line(text("registration.board", port=item.port, name=name, dev_eui=item.dev_eui, step=step))
