# SPDX-License-Identifier: MIT
"""Registration at ChirpStack v4, through its gRPC API. Needs the extra ``chirpstack``.

For LoRaWAN 1.0.x the AppKey goes into the field ``nwk_key`` and ``app_key`` stays empty. Device and keys are
two calls, so a device can exist without keys ("half-registered"): that is completed. Another key at the
server is replaced only when that was asked for, and then the session is ended last, so that what `joined`
sees is a join under the new key, however often the calls were repeated.

Sources: chirpstack-api 4.20, api/device.proto (comments at DeviceKeys and FlushDevNonces);
grpc.io "Status codes".
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from communode.errors import CommunodeError
from communode.network.registration import NetworkDevice

TIMEOUT_S = 10.0


class ChirpStack:
    """See `communode.network.registration.NetworkServer`. ``token``: an API key of the tenant."""

    sees_joins = True

    def __init__(
        self,
        address: str,
        token: str,
        *,
        application: str,
        device_profile: str,
        tls: bool = True,
        ca_file: Path | None = None,
    ) -> None:
        try:
            import grpc
            from chirpstack_api import api
        except ImportError:
            raise CommunodeError(
                "vault.extra_missing", package="chirpstack-api", extra="chirpstack"
            ) from None
        self.name = f"ChirpStack {address}"
        self._grpc: Any = grpc
        self._api: Any = api
        self._application, self._device_profile = application, device_profile
        self._metadata = (("authorization", f"Bearer {token}"),)
        if tls:
            roots = ca_file.read_bytes() if ca_file else None
            self._channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(roots))
        else:
            self._channel = grpc.insecure_channel(address)
        self._devices: Any = api.DeviceServiceStub(self._channel)

    def __repr__(self) -> str:
        return f"ChirpStack({self.name!r})"

    def register(self, device: NetworkDevice, *, renew: bool = False) -> str:
        """See `communode.network.registration.NetworkServer`."""
        dev_eui = device.dev_eui.hex()
        created = self._create(device)
        keys = self._api.DeviceKeys(dev_eui=dev_eui, nwk_key=device.app_key.hex())
        request = self._api.CreateDeviceKeysRequest(device_keys=keys)
        known = None if created else self._key_of(dev_eui)
        if known is None:
            # AlreadyExists: an earlier call whose answer was lost did it; the key is compared below.
            if self._call(self._devices.CreateKeys, request, dev_eui, allow=("ALREADY_EXISTS",)) is not None:
                return "created" if created else "completed"
            known = self._key_of(dev_eui)
        if known == device.app_key.hex() and not renew:
            return "kept"
        if not renew:
            raise CommunodeError("registration.key_differs", dev_eui=dev_eui, network=self.name)
        self._call(self._devices.UpdateKeys, self._api.UpdateDeviceKeysRequest(device_keys=keys), dev_eui)
        deactivate = self._api.DeactivateDeviceRequest(dev_eui=dev_eui)
        self._call(self._devices.Deactivate, deactivate, dev_eui, allow=("NOT_FOUND",))
        return "renewed"

    def _create(self, device: NetworkDevice) -> bool:
        """Make the device; False where it is there already, in our application and with our JoinEUI."""
        dev_eui = device.dev_eui.hex()
        made = self._api.Device(
            dev_eui=dev_eui,
            join_eui=device.join_eui.hex(),
            name=device.name or dev_eui,
            application_id=self._application,
            device_profile_id=self._device_profile,
            tags=device.tags,
        )
        request = self._api.CreateDeviceRequest(device=made)
        if self._call(self._devices.Create, request, dev_eui, allow=("ALREADY_EXISTS",)) is not None:
            return True
        found = self._call(self._devices.Get, self._api.GetDeviceRequest(dev_eui=dev_eui), dev_eui).device
        ours = found.application_id == self._application and found.join_eui.lower() in (
            "",
            device.join_eui.hex(),
        )
        if not ours:
            raise CommunodeError("registration.elsewhere", dev_eui=dev_eui, network=self.name)
        return False

    def _key_of(self, dev_eui: str) -> str | None:
        request = self._api.GetDeviceKeysRequest(dev_eui=dev_eui)
        answer = self._call(self._devices.GetKeys, request, dev_eui, allow=("NOT_FOUND",))
        return str(answer.device_keys.nwk_key).lower() if answer is not None else None

    def flush_dev_nonces(self, dev_eui: bytes) -> None:
        """See `communode.network.registration.NetworkServer`."""
        request = self._api.FlushDevNoncesRequest(dev_eui=dev_eui.hex())
        self._call(self._devices.FlushDevNonces, request, dev_eui.hex())

    def joined(self, dev_eui: bytes) -> str | None:
        """See `communode.network.registration.NetworkServer`."""
        request = self._api.GetDeviceActivationRequest(dev_eui=dev_eui.hex())
        answer = self._call(self._devices.GetActivation, request, dev_eui.hex(), allow=("NOT_FOUND",))
        if answer is None or not answer.device_activation.dev_addr:
            return None
        return str(answer.device_activation.dev_addr)

    def close(self) -> None:
        """See `communode.network.registration.NetworkServer`."""
        self._channel.close()

    def _call(
        self, method: Callable[..., Any], request: Any, dev_eui: str, allow: tuple[str, ...] = ()
    ) -> Any:
        """The answer, or None for a status in ``allow``. Other statuses become ``registration.*``.

        The server's own words are passed on except for bad requests, which may quote what was sent.
        """
        try:
            return method(request, metadata=self._metadata, timeout=TIMEOUT_S)
        except self._grpc.RpcError as error:
            status = error.code().name
            if status in allow:
                return None
            if status in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
                raise CommunodeError("registration.unreachable", network=self.name) from None
            if status in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
                raise CommunodeError("registration.unauthorised", network=self.name) from None
            if status == "NOT_FOUND":
                raise CommunodeError("registration.unknown", dev_eui=dev_eui, network=self.name) from None
            said = "" if status == "INVALID_ARGUMENT" else str(error.details())
            raise CommunodeError(
                "registration.refused", dev_eui=dev_eui, network=self.name, status=status, reason=said
            ) from None
