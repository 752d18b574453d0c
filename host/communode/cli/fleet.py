# SPDX-License-Identifier: MIT
"""``communode fleet``: the register of nodes, sites and keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from communode.cli._fleet import complete_node, fleet_option, keys_options
from communode.cli._fleet_keys import keys
from communode.cli._options import json_option
from communode.fleet.place import Place
from communode.report import Report

_FILTERS = ("tenant", "site", "batch", "profile", "state")


@click.group()
def fleet() -> None:
    """The register of nodes, sites and keys.

    \b
    Example: communode fleet list --tenant Saint-Leger
    Example: communode fleet search ecole
    """


fleet.add_command(keys)


def _row(node: dict[str, Any]) -> str:
    place = " / ".join(filter(None, (node["tenant"], node["site"]))) or "-"
    return f"{node['dev_eui']}  {node['name']:20}  {node['profile']:8}  {node['state']:12}  {place}"


def _show(report: Report, nodes: list[dict[str, Any]], none: str) -> None:
    from communode.messages import text

    report.result({"nodes": nodes})
    for node in nodes:
        report.line(_row(node))
    if not nodes:
        report.note(text(none))


@fleet.command("list")
@click.option("--tenant", help="Of one tenant.")
@click.option("--site", help="At one site.")
@click.option("--batch", help="Of one batch.")
@click.option("--profile", help="With one profile.")
@click.option("--state", help="In one state: drawn, provisioned, in_service, replaced, retired.")
@fleet_option
@json_option
def list_nodes(place: Place, as_json: bool, **filters: str | None) -> None:
    """List the nodes.

    \b
    Example: communode fleet list --state provisioned --json
    """
    with place.register() as register:
        chosen = {name: value for name, value in filters.items() if value is not None}
        _show(Report(as_json), register.nodes(**chosen), "fleet.none_found" if chosen else "fleet.none")


@fleet.command()
@click.argument("words", nargs=-1, required=True)
@fleet_option
@json_option
def search(words: tuple[str, ...], place: Place, as_json: bool) -> None:
    """Find nodes by the beginning of words, or the last digits of a DevEUI.

    \b
    Example: communode fleet search ecole 3f2a
    """
    with place.register() as register:
        _show(Report(as_json), register.search(" ".join(words)), "fleet.none_found")


@fleet.command()
@click.argument("node", shell_complete=complete_node)
@fleet_option
@json_option
def show(node: str, place: Place, as_json: bool) -> None:
    """Show a node, given by DevEUI, MAC address or name.

    \b
    Example: communode fleet show 70b3d57ed0001234
    """
    report = Report(as_json)
    with place.register() as register:
        found = register.node(node)
    report.result({"node": found})
    for name, value in found.items():
        if value not in (None, ""):
            report.line(f"{name:15} {value}")


@fleet.command()
@click.option("--node", default="", shell_complete=complete_node, help="Of one node.")
@click.option("--site", default="", help="Of one site, whichever nodes were there.")
@fleet_option
@json_option
def history(node: str, site: str, place: Place, as_json: bool) -> None:
    """Tell what happened, oldest first.

    \b
    Example: communode fleet history --site Saint-Leger/school
    """
    report = Report(as_json)
    with place.register() as register:
        events = register.history(node, site)
        placements = register.placements(site) if site else []
    report.result({"events": events, "placements": placements})
    for event in events:
        told = " ".join(f"{name}={value}" for name, value in event["detail"].items() if value)
        report.line(f"{event['at']}  {event['actor']:10}  {event['kind']:14}  {event['dev_eui']:16}  {told}")


@fleet.command("add-site")
@click.argument("tenant")
@click.argument("name")
@click.option("--latitude", type=float, help="Degrees north.")
@click.option("--longitude", type=float, help="Degrees east.")
@click.option("--address", default="", help="Street and number.")
@fleet_option
@json_option
def add_site(
    tenant: str,
    name: str,
    latitude: float | None,
    longitude: float | None,
    address: str,
    place: Place,
    as_json: bool,
) -> None:
    """Add a site of a tenant, or complete it.

    \b
    Example: communode fleet add-site Saint-Leger school --latitude 48.72 --longitude 1.76
    """
    from communode.messages import text

    report = Report(as_json)
    with place.register() as register:
        register.add_site(tenant, name, latitude, longitude, address)
    report.result({"site": f"{tenant}/{name}"})
    report.line(text("fleet.site_added", site=f"{tenant}/{name}"))


@fleet.command()
@fleet_option
@json_option
def sites(place: Place, as_json: bool) -> None:
    """List the sites, with the node that is there.

    \b
    Example: communode fleet sites --json
    """
    report = Report(as_json)
    with place.register() as register:
        found = register.sites()
    report.result({"sites": found})
    for site in found:
        where = "" if site["latitude"] is None else f"{site['latitude']:.5f} {site['longitude']:.5f}"
        report.line(f"{site['tenant']}/{site['name']:20}  {site['dev_eui'] or '-':16}  {where}".rstrip())


@fleet.command()
@click.argument("node", shell_complete=complete_node)
@click.argument("site")
@fleet_option
@json_option
def place(node: str, site: str, place: Place, as_json: bool) -> None:
    """Put NODE at SITE, which has none.

    \b
    Example: communode fleet place 70b3d57ed0001234 Saint-Leger/school
    """
    from communode.messages import text

    report = Report(as_json)
    with place.register() as register:
        register.place(node, site)
        dev_eui = register.node(node)["dev_eui"]
    report.result({"dev_eui": dev_eui, "site": site})
    report.line(text("fleet.placed", dev_eui=dev_eui, site=site))


@fleet.command()
@click.argument("site")
@click.option("--with", "node", required=True, shell_complete=complete_node, help="The node that comes.")
@click.option("--reason", default="", help="Why, for the history.")
@fleet_option
@json_option
def replace(site: str, node: str, reason: str, place: Place, as_json: bool) -> None:
    """Swap the node at SITE for another one; the site keeps its history.

    \b
    Example: communode fleet replace Saint-Leger/school --with 70b3d57ed0001235 --reason "battery leaked"
    """
    from communode.messages import text

    report = Report(as_json)
    with place.register() as register:
        old, new = register.replace(site, node, reason)
    report.result({"site": site, "old": old, "new": new})
    report.line(text("fleet.replaced", site=site, old=old, new=new))


@fleet.command()
@click.argument("node", shell_complete=complete_node)
@fleet_option
@json_option
def joined(node: str, place: Place, as_json: bool) -> None:
    """Record that you have seen NODE join, where its network server cannot be asked.

    \b
    Example: communode fleet joined 70b3d57ed0001234
    """
    from communode.fleet.journal import Journal
    from communode.fleet.register import now

    report = Report(as_json)
    with place.register() as register:
        found = register.node(node)
        with register.transaction():
            register.change_node(found["dev_eui"], "join_told", joined_at=now())
            Journal(register).tell_joined(found["dev_eui"])
    report.result({"dev_eui": found["dev_eui"]})


@fleet.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@fleet_option
@json_option
def import_file(file: Path, place: Place, as_json: bool) -> None:
    """Take in nodes from a CSV FILE, or sites from a GeoJSON FILE: all of it or nothing.

    \b
    Example: communode fleet import sites.geojson
    """
    from communode.errors import CommunodeError
    from communode.fleet.exchange import import_csv, import_geojson
    from communode.messages import text

    report = Report(as_json)
    try:
        content = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "UTF-8?"
        raise CommunodeError("fleet.unreadable", usage=True, file=file, reason=reason) from None
    with place.register() as register:
        if file.suffix.lower() in (".geojson", ".json"):
            new, known = import_geojson(register, content), 0
        else:
            new, known = import_csv(register, content)
    report.result({"new": new, "known": known})
    report.line(text("fleet.imported", new=new, known=known))


@fleet.command()
@click.option("--format", "kind", type=click.Choice(["csv", "geojson"]), default="csv", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file; else stdout.")
@fleet_option
def export(kind: str, out: Path | None, place: Place) -> None:
    """Write nodes as CSV, or sites as GeoJSON. Never a key: for those see `communode fleet keys export`.

    \b
    Example: communode fleet export --format geojson --out sites.geojson
    """
    from communode.errors import CommunodeError
    from communode.fleet.exchange import to_csv, to_geojson

    with place.register() as register:
        if kind == "csv":
            content = to_csv(register.nodes())
        else:
            content = json.dumps(to_geojson(register), ensure_ascii=False, indent=2) + "\n"
    if out is None:
        click.echo(content, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8") as stream:
            stream.write(content)
    except FileExistsError:
        raise CommunodeError("fleet.out_exists", usage=True, file=out) from None


@fleet.command()
@click.argument("batch_file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--batch", help="Only the nodes of one batch.")
@keys_options
@json_option
def move(batch_file: Path, batch: str | None, place: Place, as_json: bool) -> None:
    """Make the network server of BATCH_FILE know the nodes that are provisioned.

    \b
    Example: communode fleet move new-network.toml --batch lot-7
    """
    from communode.errors import CommunodeError
    from communode.messages import text
    from communode.provisioning.batch import read_batch
    from communode.provisioning.move import move_nodes

    report = Report(as_json)
    target = read_batch(batch_file)
    if target.connect is None:
        raise CommunodeError("toml.missing", usage=True, file=batch_file, key="network")
    with place.register() as register, place.vault() as vault:
        network = target.connect(lambda name: vault.get(f"token:{name}").decode())
        try:
            nodes = register.nodes(**({"batch": batch} if batch else {}), keys="vault")
            living = [node for node in nodes if node["state"] in ("provisioned", "in_service")]
            moved = move_nodes(living, register, vault, network, exporting=target.exporting)
        finally:
            network.close()
    report.result({"moved": moved, "network": network.name})
    report.line(text("registration.moved", count=len(moved), network=network.name))
