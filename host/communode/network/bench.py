# SPDX-License-Identifier: MIT
"""Registration at the bench server: its store, which a running ``communode lns run`` reads for each frame."""

from __future__ import annotations

from pathlib import Path

from communode.errors import CommunodeError
from communode.lns.session import Device
from communode.lns.store import Store
from communode.network.registration import NetworkDevice


class BenchServer:
    """See `communode.network.registration.NetworkServer`."""

    sees_joins = True

    def __init__(self, store: Path) -> None:
        self.name = f"bench {store.resolve().parent.name}/{store.name}"  # each batch folder may have one
        self._store = Store(store)

    def register(self, device: NetworkDevice, *, renew: bool = False) -> str:
        """See `communode.network.registration.NetworkServer`."""
        wanted = Device(device.dev_eui.hex(), device.join_eui.hex(), device.app_key, device.name)
        known = self._store.device(wanted.dev_eui)
        differs = known and (known.join_eui, known.app_key) != (wanted.join_eui, wanted.app_key)
        if differs and not renew:
            raise CommunodeError("registration.key_differs", dev_eui=wanted.dev_eui, network=self.name)
        if known and renew:
            # The node goes on counting, and so does the server.
            wanted.last_dev_nonce, wanted.last_join_nonce = known.last_dev_nonce, known.last_join_nonce
            self._store.forget(wanted.dev_eui)
            self._store.add(wanted)
            return "renewed"
        self._store.add(wanted)
        return "kept" if known else "created"

    def flush_dev_nonces(self, dev_eui: bytes) -> None:
        """See `communode.network.registration.NetworkServer`."""
        device = self._store.device(dev_eui.hex())
        if device is None:
            raise CommunodeError("registration.unknown", dev_eui=dev_eui.hex(), network=self.name)
        device.last_dev_nonce = -1
        self._store.save_nonces(device)

    def joined(self, dev_eui: bytes) -> str | None:
        """See `communode.network.registration.NetworkServer`."""
        session = self._store.session(dev_eui.hex())
        return f"{session.dev_addr:08x}" if session else None

    def close(self) -> None:
        """See `communode.network.registration.NetworkServer`."""
        self._store.close()
