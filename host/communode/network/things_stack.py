# SPDX-License-Identifier: MIT
"""Registration at The Things Stack v3, through its HTTP API; the standard library suffices.

A device lives in four registries and is set in this order: Identity Server (POST), Join Server, Network
Server, Application Server (PUT, which may be repeated). One that exists only in some of them is completed.
The Join Server gives the key out to those with the right to see it; where ours has not, a device that exists
is only overwritten when that was asked for.

Sources: The Things Stack documentation, API reference, "End Device APIs" (order of registration), "Field
masks", "Errors" (a JSON object with ``code`` as in gRPC, and an HTTP status).
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlsplit

from communode import __version__
from communode.errors import CommunodeError
from communode.network.registration import NetworkDevice

TIMEOUT_S = 10.0
LORAWAN_VERSION = "MAC_V1_0_4"
LORAWAN_PHY_VERSION = "PHY_V1_0_3_REV_A"  # EU868 as the node speaks it; RP002 revisions keep its channels
FREQUENCY_PLAN = "EU_863_870_TTN"
_EXISTS, _MISSING = 409, 404


def device_id(dev_eui: str) -> str:
    """The id under which the console, too, files a device that was given none."""
    return f"eui-{dev_eui}"


class ThingsStack:
    """See `communode.network.registration.NetworkServer`. ``token``: an API key of the application."""

    sees_joins = True

    def __init__(
        self, url: str, token: str, *, application: str, frequency_plan: str = FREQUENCY_PLAN
    ) -> None:
        parts = urlsplit(url)
        loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
            raise CommunodeError("registration.bad_address", usage=True, value=url)
        if not re.fullmatch(r"[a-z0-9](?:[-]?[a-z0-9]){2,35}", application):
            raise CommunodeError("registration.bad_address", usage=True, value=application)
        self.name = f"The Things Stack {parts.netloc}"
        self._base = f"{parts.scheme}://{parts.netloc}/api/v3"
        self._host = parts.hostname or ""
        self._token = token
        self._application = application
        self._frequency_plan = frequency_plan

    def __repr__(self) -> str:
        return f"ThingsStack({self.name!r})"

    def register(self, device: NetworkDevice, *, renew: bool = False) -> str:
        """See `communode.network.registration.NetworkServer`."""
        dev_eui, wanted = device.dev_eui.hex(), device.app_key.hex()
        created = self._create(device)
        known = None if created else self._key_of(dev_eui)
        if known is not None and known != wanted and not renew:
            raise CommunodeError("registration.key_differs", dev_eui=dev_eui, network=self.name)
        if known != wanted:
            self._set("js", device, {"root_keys.app_key.key": wanted.upper(), **self._addresses()})
        if known is not None and renew:
            for registry in ("as", "ns"):  # where the session is
                self._call("DELETE", self._path(registry, dev_eui), dev_eui, allow=(_MISSING,))
        whole = not created and self._exists("ns", dev_eui) and self._exists("as", dev_eui)
        if not whole:
            self._set("ns", device, self._network_settings())
            self._set("as", device, {})
        if created:
            return "created"
        if known is not None and renew:
            return "renewed"
        return "kept" if whole and known == wanted else "completed"

    def _create(self, device: NetworkDevice) -> bool:
        """The Identity Server's part; False where the device is there already."""
        dev_eui = device.dev_eui.hex()
        described = {
            "ids": self._ids(device),
            "name": device.name or dev_eui,
            "attributes": {
                name.replace("_", "-"): value[:200] for name, value in device.tags.items() if value
            },
            **self._addresses(),
            "join_server_address": self._host,
        }
        path = f"/applications/{quote(self._application)}/devices"
        if self._call("POST", path, dev_eui, {"end_device": described}, allow=(_EXISTS,)) is not None:
            return True
        # Somebody's device has this DevEUI: is it ours?
        mine = self._call("GET", f"{path}/{device_id(dev_eui)}", dev_eui, allow=(_MISSING,))
        if mine is None or mine["ids"].get("join_eui", "").lower() != device.join_eui.hex():
            raise CommunodeError("registration.elsewhere", dev_eui=dev_eui, network=self.name)
        return False

    def _key_of(self, dev_eui: str) -> str | None:
        path = self._path("js", dev_eui) + "?field_mask=root_keys.app_key.key"
        found = self._call("GET", path, dev_eui, allow=(_MISSING,))
        if found is None:
            return None
        return str(found.get("root_keys", {}).get("app_key", {}).get("key", "")).lower()

    def _exists(self, registry: str, dev_eui: str) -> bool:
        return self._call("GET", self._path(registry, dev_eui), dev_eui, allow=(_MISSING,)) is not None

    def _set(self, registry: str, device: NetworkDevice, settings: dict[str, Any]) -> None:
        """Create or update the part of one registry; the field mask names what is set."""
        ids = self._ids(device)
        end_device: dict[str, Any] = {"ids": ids}
        for path, value in settings.items():
            table = end_device
            *folders, last = path.split(".")
            for folder in folders:
                table = table.setdefault(folder, {})
            table[last] = value
        paths = ["ids.device_id", "ids.dev_eui", "ids.join_eui", *settings]
        body = {"end_device": end_device, "field_mask": {"paths": paths}}
        self._call("PUT", self._path(registry, device.dev_eui.hex()), device.dev_eui.hex(), body)

    def _ids(self, device: NetworkDevice) -> dict[str, Any]:
        return {
            "device_id": device_id(device.dev_eui.hex()),
            "dev_eui": device.dev_eui.hex().upper(),
            "join_eui": device.join_eui.hex().upper(),
            "application_ids": {"application_id": self._application},
        }

    def _addresses(self) -> dict[str, str]:
        return {"network_server_address": self._host, "application_server_address": self._host}

    def _network_settings(self) -> dict[str, Any]:
        return {
            "supports_join": True,
            "lorawan_version": LORAWAN_VERSION,
            "lorawan_phy_version": LORAWAN_PHY_VERSION,
            "frequency_plan_id": self._frequency_plan,
        }

    def flush_dev_nonces(self, dev_eui: bytes) -> None:
        """See `communode.network.registration.NetworkServer`."""
        settings: dict[str, Any] = {"last_dev_nonce": 0, "used_dev_nonces": []}
        body = {
            "end_device": {"ids": {"device_id": device_id(dev_eui.hex())}, **settings},
            "field_mask": {"paths": list(settings)},
        }
        self._call("PUT", self._path("js", dev_eui.hex()), dev_eui.hex(), body)

    def joined(self, dev_eui: bytes) -> str | None:
        """See `communode.network.registration.NetworkServer`."""
        path = self._path("ns", dev_eui.hex()) + "?field_mask=session.dev_addr,pending_session.dev_addr"
        found = self._call("GET", path, dev_eui.hex(), allow=(_MISSING,)) or {}
        for session in ("session", "pending_session"):
            if found.get(session, {}).get("dev_addr"):
                return str(found[session]["dev_addr"]).lower()
        return None

    def close(self) -> None:
        """Nothing is kept open."""

    def _path(self, registry: str, dev_eui: str) -> str:
        return f"/{registry}/applications/{quote(self._application)}/devices/{device_id(dev_eui)}"

    def _call(
        self, method: str, path: str, dev_eui: str, body: Any = None, allow: tuple[int, ...] = ()
    ) -> Any:
        """The answer, or None for an HTTP status in ``allow``; other failures become ``registration.*``."""
        request = urllib.request.Request(
            self._base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
                "User-Agent": f"communode/{__version__}",
            },
        )
        opener = urllib.request.build_opener(_NoRedirect)
        try:
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                status = error.code
            if status in allow:
                return None
            if status in (401, 403):
                raise CommunodeError("registration.unauthorised", network=self.name) from None
            if status == _MISSING:
                raise CommunodeError("registration.unknown", dev_eui=dev_eui, network=self.name) from None
            if status in (429, 502, 503, 504):
                raise CommunodeError("registration.unreachable", network=self.name) from None
            raise CommunodeError(
                "registration.refused", dev_eui=dev_eui, network=self.name, status=status, reason=""
            ) from None
        except (OSError, ValueError):
            raise CommunodeError("registration.unreachable", network=self.name) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the API key to another host."""

    def redirect_request(self, *_: Any) -> None:
        """Refuse."""
