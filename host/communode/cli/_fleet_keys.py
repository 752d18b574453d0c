# SPDX-License-Identifier: MIT
"""``communode fleet keys``: the vault, and the one way by which keys leave it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from communode.cli._fleet import complete_node, keys_options
from communode.cli._options import json_option
from communode.fleet.place import Place
from communode.report import Report


@click.group()
def keys() -> None:
    """The vault with the nodes' keys.

    \b
    Example: communode fleet keys init --passphrase-file phrase.txt
    """


@keys.command()
@keys_options
@json_option
def init(place: Place, as_json: bool) -> None:
    """Make the vault; it is also made when the first node is provisioned.

    \b
    Example: communode fleet keys init
    """
    from communode.messages import text
    from communode.vault import Vault
    from communode.vault_locks import default_lock

    report = Report(as_json)
    lock = default_lock(place.passphrase_file, place.age_identity, place.ask)
    with Vault.create(place.vault_file, lock):
        report.result({"vault": str(place.vault_file), "locks": [lock.kind]})
        report.line(text("fleet.vault_made", file=place.vault_file, lock=lock.kind))


@keys.command()
@keys_options
@json_option
def status(place: Place, as_json: bool) -> None:
    """Say what the vault holds, by name.

    \b
    Example: communode fleet keys status --json
    """
    from communode.messages import text

    report = Report(as_json)
    with place.vault() as vault:
        names, locks = vault.names(), vault.locks()
    report.result({"vault": str(place.vault_file), "locks": locks, "names": names})
    report.line(text("fleet.vault_status", file=place.vault_file, locks=", ".join(locks), count=len(names)))


@keys.command()
@click.option("--new-passphrase-file", type=click.Path(path_type=Path), help="Lock it with this instead.")
@click.option("--new-age-identity", type=click.Path(path_type=Path), help="Lock it with this instead.")
@click.option("--keyring", "to_keyring", is_flag=True, help="Lock it with this computer's keyring instead.")
@keys_options
@json_option
def lock(
    new_passphrase_file: Path | None,
    new_age_identity: Path | None,
    to_keyring: bool,
    place: Place,
    as_json: bool,
) -> None:
    """Change what opens the vault. Secrets are not touched.

    \b
    Example: communode fleet keys lock --new-age-identity key.txt
    """
    from communode.messages import text
    from communode.vault_locks import KeyringLock, default_lock

    report = Report(as_json)
    with place.vault() as vault:
        new = KeyringLock() if to_keyring else default_lock(new_passphrase_file, new_age_identity, place.ask)
        vault.replace_locks(new)
        report.result({"vault": str(place.vault_file), "locks": vault.locks()})
        report.line(text("fleet.vault_made", file=place.vault_file, lock=new.kind))


@keys.command()
@click.argument("node", nargs=-1, required=True, shell_complete=complete_node)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A new file.")
@keys_options
@json_option
def export(node: tuple[str, ...], out: Path, place: Place, as_json: bool) -> None:
    """Write the keys of nodes into a file that only you can read. Each export is recorded.

    \b
    Example: communode fleet keys export 70b3d57ed0001234 --out keys.json
    """
    from communode.messages import text
    from communode.provision import KeysFile

    report = Report(as_json)
    with place.register() as register, place.vault() as vault:
        wanted = [bytes.fromhex(register.node(name)["dev_eui"]) for name in node]
        identities = [vault.identity(dev_eui) for dev_eui in wanted]
        KeysFile(out, lambda dev_eui: register.note_export(dev_eui.hex(), out)).save(identities)
    report.result({"file": str(out), "dev_euis": [dev_eui.hex() for dev_eui in wanted]})
    report.note(text("fleet.exported", count=len(wanted), file=out))


@keys.command()
@click.argument("node", shell_complete=complete_node)
@keys_options
@json_option
def rotate(node: str, place: Place, as_json: bool) -> None:
    """Draw new keys for NODE; the next provisioning of its board puts them in place.

    \b
    Example: communode fleet keys rotate 70b3d57ed0001234
    """
    from communode.messages import text
    from communode.provisioning.rotate import draw_new_keys

    report = Report(as_json)
    with place.register() as register, place.vault() as vault:
        dev_eui = register.node(node)["dev_eui"]
        draw_new_keys(dev_eui, register, vault)
    report.result({"dev_eui": dev_eui})
    report.line(text("fleet.rotating", dev_eui=dev_eui))


@keys.command()
@click.argument("name")
@keys_options
@json_option
def token(name: str, place: Place, as_json: bool) -> None:
    """Keep an API token under NAME, read from standard input; batch files name it.

    \b
    Example: communode fleet keys token chirpstack < token.txt
    """
    from communode.messages import text

    report = Report(as_json)
    if sys.stdin.isatty():
        value = click.prompt(text("fleet.token_prompt"), hide_input=True, err=True)
    else:
        value = sys.stdin.readline()
    with place.vault(create=True) as vault:
        vault.put(f"token:{name}", value.strip().encode())
    report.result({"token": name})
    report.line(text("fleet.token_kept", name=name))
