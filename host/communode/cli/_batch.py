# SPDX-License-Identifier: MIT
"""``communode provision --batch``, without the parsing."""

from __future__ import annotations

from pathlib import Path

from communode.batch_folder import BatchFolder
from communode.cli._image import image_for
from communode.cli._table import watch
from communode.fleet.place import Place
from communode.labels import check_installed
from communode.messages import text
from communode.provisioning.batch import Batch, read_batch
from communode.provisioning.run import BatchRun, Choices, Provisioned
from communode.report import Report
from communode.tray import Tray


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
    wanted = flash or image is not None
    made = image_for(batch.board.name, batch.profile, body, image, None) if wanted else None
    with place.register() as register, place.vault(create=True) as vault:
        network = batch.connect(lambda name: vault.get(f"token:{name}").decode()) if batch.connect else None
        try:
            with watch(report) as listener:
                run = BatchRun(batch, register, vault, network, Choices(replace, restore))
                Tray(batch.board, made, BatchFolder(None), listener, batch_run=run).run(ports)
        finally:
            if network:
                network.close()
        for item in sorted(run.concluded, key=lambda item: ports.index(item.port)):
            if item.dev_eui:
                _tell(report, batch, item, register.node(item.dev_eui)["name"])
    tell_unseen(report, run)
    return 1 if any(item.error for item in run.concluded) else 0


def tell_unseen(report: Report, run: BatchRun) -> None:
    """How many boards are written of which nobody knows whether they have joined."""
    unseen = [item for item in run.concluded if item.error is None and not item.done]
    if unseen:
        report.note(text("registration.not_seen", count=len(unseen)))


def _tell(report: Report, batch: Batch, item: Provisioned, name: str) -> None:
    values = {"port": item.port, "mac": item.mac, "dev_eui": item.dev_eui, "name": name, "step": item.step}
    report.event("provisioned", board=batch.board.name, batch=batch.name, **values)
    step = text(f"registration.step.{item.step}")
    report.line(text("registration.board", port=item.port, name=name, dev_eui=item.dev_eui, step=step))
