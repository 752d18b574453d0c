# SPDX-License-Identifier: MIT
"""ChirpStack: every call and field, checked by a gRPC server made from the official API package."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from concurrent import futures
from dataclasses import replace
from typing import Any

import grpc
import pytest
from chirpstack_api import api
from communode.errors import CommunodeError
from communode.network.chirpstack import ChirpStack
from communode.network.registration import NetworkDevice
from google.protobuf.empty_pb2 import Empty

TOKEN = "token-of-a-test"
APPLICATION, PROFILE = "5f0c1d1e-0000-4000-8000-000000000001", "5f0c1d1e-0000-4000-8000-000000000002"
KEY = bytes(range(16))
DEVICE = NetworkDevice(
    bytes.fromhex("70b3d57ed0001234"), bytes(7) + b"\1", KEY, "school", {"site": "school", "profile": "air"}
)
EUI = DEVICE.dev_eui.hex()


class Devices(api.DeviceServiceServicer):
    """ChirpStack's DeviceService as far as it matters here, with its rules: keys need a device, both once."""

    def __init__(self) -> None:
        self.devices: dict[str, Any] = {}
        self.keys: dict[str, Any] = {}
        self.sessions: dict[str, str] = {}
        self.flushed: list[str] = []
        self.calls: list[str] = []
        self.lose_answer_of: str | None = None  # the call is carried out, its answer does not arrive
        self.fail: dict[str, tuple[grpc.StatusCode, str]] = {}

    def _enter(self, name: str, context: Any) -> None:
        self.calls.append(name)
        if dict(context.invocation_metadata()).get("authorization") != f"Bearer {TOKEN}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "authentication failed: not authorized")
        if name in self.fail:
            context.abort(*self.fail[name])

    def _leave(self, name: str, context: Any) -> Empty:
        if self.lose_answer_of == name:
            self.lose_answer_of = None
            context.abort(grpc.StatusCode.UNAVAILABLE, "connection lost")
        return Empty()

    def Create(self, request: Any, context: Any) -> Empty:
        self._enter("Create", context)
        device = request.device
        if device.application_id != APPLICATION:
            context.abort(grpc.StatusCode.NOT_FOUND, "object does not exist")
        if device.dev_eui in self.devices:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "object already exists")
        self.devices[device.dev_eui] = device
        return self._leave("Create", context)

    def Get(self, request: Any, context: Any) -> Any:
        self._enter("Get", context)
        if request.dev_eui not in self.devices:
            context.abort(grpc.StatusCode.NOT_FOUND, "object does not exist")
        return api.GetDeviceResponse(device=self.devices[request.dev_eui])

    def CreateKeys(self, request: Any, context: Any) -> Empty:
        self._enter("CreateKeys", context)
        keys = request.device_keys
        if keys.dev_eui not in self.devices:
            context.abort(grpc.StatusCode.NOT_FOUND, "object does not exist")
        if keys.dev_eui in self.keys:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "object already exists")
        self.keys[keys.dev_eui] = keys
        return self._leave("CreateKeys", context)

    def GetKeys(self, request: Any, context: Any) -> Any:
        self._enter("GetKeys", context)
        if request.dev_eui not in self.keys:
            context.abort(grpc.StatusCode.NOT_FOUND, "object does not exist")
        return api.GetDeviceKeysResponse(device_keys=self.keys[request.dev_eui])

    def UpdateKeys(self, request: Any, context: Any) -> Empty:
        self._enter("UpdateKeys", context)
        self.keys[request.device_keys.dev_eui] = request.device_keys
        return self._leave("UpdateKeys", context)

    def Deactivate(self, request: Any, context: Any) -> Empty:
        self._enter("Deactivate", context)
        self.sessions.pop(request.dev_eui, None)
        return self._leave("Deactivate", context)

    def FlushDevNonces(self, request: Any, context: Any) -> Empty:
        self._enter("FlushDevNonces", context)
        self.flushed.append(request.dev_eui)
        return Empty()

    def GetActivation(self, request: Any, context: Any) -> Any:
        self._enter("GetActivation", context)
        if request.dev_eui not in self.sessions:
            return api.GetDeviceActivationResponse()
        activation = api.DeviceActivation(dev_eui=request.dev_eui, dev_addr=self.sessions[request.dev_eui])
        return api.GetDeviceActivationResponse(device_activation=activation)


@pytest.fixture
def served() -> Iterator[tuple[Devices, str]]:
    devices = Devices()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    api.add_DeviceServiceServicer_to_server(devices, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield devices, f"127.0.0.1:{port}"
    server.stop(None).wait(5)


@pytest.fixture
def devices(served: tuple[Devices, str]) -> Devices:
    return served[0]


@pytest.fixture
def chirpstack(served: tuple[Devices, str]) -> Iterator[ChirpStack]:
    client = connect(served[1])
    yield client
    client.close()


def connect(address: str, token: str = TOKEN, application: str = APPLICATION) -> ChirpStack:
    return ChirpStack(address, token, application=application, device_profile=PROFILE, tls=False)


def code(client: ChirpStack, **options: bool) -> str:
    """The code of the failure of a registration, none of whose texts holds a key or the token."""
    with pytest.raises(CommunodeError) as caught:
        client.register(DEVICE, **options)
    shown = "".join(traceback.format_exception(caught.value)) + str(caught.value) + repr(client)
    assert KEY.hex() not in shown
    assert TOKEN not in shown
    return caught.value.code


def test_every_field_of_a_new_device_is_right(chirpstack: ChirpStack, devices: Devices) -> None:
    assert chirpstack.register(DEVICE) == "created"
    assert devices.calls == ["Create", "CreateKeys"]
    expected = api.Device(
        dev_eui=EUI,
        join_eui="0000000000000001",
        name="school",
        application_id=APPLICATION,
        device_profile_id=PROFILE,
        tags={"site": "school", "profile": "air"},
    )
    assert devices.devices[EUI] == expected
    # LoRaWAN 1.0.x: the AppKey is in nwk_key, and nothing is anywhere else.
    assert devices.keys[EUI] == api.DeviceKeys(dev_eui=EUI, nwk_key=KEY.hex())


def test_registering_again_changes_nothing(chirpstack: ChirpStack, devices: Devices) -> None:
    chirpstack.register(DEVICE)
    devices.calls.clear()
    assert chirpstack.register(DEVICE) == "kept"
    assert devices.calls == ["Create", "Get", "GetKeys"]


def test_a_half_registered_device_is_completed(chirpstack: ChirpStack, devices: Devices) -> None:
    devices.fail["CreateKeys"] = (grpc.StatusCode.UNAVAILABLE, "gone")
    assert code(chirpstack) == "registration.unreachable"
    devices.fail.clear()
    assert chirpstack.register(DEVICE) == "completed"
    assert devices.keys[EUI].nwk_key == KEY.hex()


@pytest.mark.parametrize("call", ["Create", "CreateKeys"])
def test_a_call_whose_answer_was_lost_is_repeated(
    chirpstack: ChirpStack, devices: Devices, call: str
) -> None:
    devices.lose_answer_of = call
    assert code(chirpstack) == "registration.unreachable"
    assert chirpstack.register(DEVICE) in ("completed", "kept")
    assert devices.keys[EUI].nwk_key == KEY.hex()


def test_another_key_is_kept_unless_it_shall_be_renewed(chirpstack: ChirpStack, devices: Devices) -> None:
    chirpstack.register(replace(DEVICE, app_key=b"\7" * 16))
    devices.sessions[EUI] = "01000001"
    assert code(chirpstack) == "registration.key_differs"
    assert devices.keys[EUI].nwk_key == "07" * 16
    assert chirpstack.register(DEVICE, renew=True) == "renewed"
    assert devices.keys[EUI].nwk_key == KEY.hex()
    assert chirpstack.joined(DEVICE.dev_eui) is None  # the session under the old key is no join


def test_a_renewal_that_was_cut_short_still_ends_the_session(
    chirpstack: ChirpStack, devices: Devices
) -> None:
    chirpstack.register(replace(DEVICE, app_key=b"\7" * 16))
    devices.sessions[EUI] = "01000001"
    devices.lose_answer_of = "UpdateKeys"
    assert code(chirpstack, renew=True) == "registration.unreachable"
    assert chirpstack.joined(DEVICE.dev_eui) == "01000001"
    assert chirpstack.register(DEVICE, renew=True) == "renewed"
    assert chirpstack.joined(DEVICE.dev_eui) is None


@pytest.mark.parametrize(
    "change", [{"application_id": "5f0c1d1e-0000-4000-8000-00000000000f"}, {"join_eui": "00000000000000ff"}]
)
def test_a_device_of_somebody_else_is_left_alone(
    chirpstack: ChirpStack, devices: Devices, change: dict[str, str]
) -> None:
    values = {"dev_eui": EUI, "application_id": APPLICATION, **change}
    devices.devices[EUI] = api.Device(**values)
    assert code(chirpstack, renew=True) == "registration.elsewhere"
    assert devices.keys == {}


def test_a_wrong_token_is_said_as_such(served: tuple[Devices, str]) -> None:
    client = connect(served[1], token="another")
    with pytest.raises(CommunodeError) as caught:
        client.register(DEVICE)
    client.close()
    assert caught.value.code == "registration.unauthorised"


def test_an_unknown_application_is_said_as_such(served: tuple[Devices, str]) -> None:
    client = connect(served[1], application="5f0c1d1e-0000-4000-8000-00000000000e")
    assert code(client) == "registration.unknown"
    client.close()


def test_a_server_that_is_not_there_is_said_as_such() -> None:
    client = connect("127.0.0.1:9")
    assert code(client) == "registration.unreachable"
    client.close()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, "registration.unauthorised"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "registration.unreachable"),
        (grpc.StatusCode.INTERNAL, "registration.refused"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "registration.refused"),
        (grpc.StatusCode.INVALID_ARGUMENT, "registration.refused"),
    ],
)
@pytest.mark.parametrize("call", ["Create", "CreateKeys"])
def test_every_other_status_is_told(
    chirpstack: ChirpStack, devices: Devices, status: grpc.StatusCode, expected: str, call: str
) -> None:
    devices.fail[call] = (status, f"quoted: {KEY.hex()}" if status.name == "INVALID_ARGUMENT" else "why")
    assert code(chirpstack) == expected


def test_nonces_are_flushed_by_a_call_of_their_own(chirpstack: ChirpStack, devices: Devices) -> None:
    chirpstack.register(DEVICE)
    assert devices.flushed == []
    chirpstack.flush_dev_nonces(DEVICE.dev_eui)
    assert devices.flushed == [EUI]


def test_a_join_shows_as_a_dev_addr(chirpstack: ChirpStack, devices: Devices) -> None:
    chirpstack.register(DEVICE)
    assert chirpstack.joined(DEVICE.dev_eui) is None
    devices.sessions[EUI] = "00a1b2c3"
    assert chirpstack.joined(DEVICE.dev_eui) == "00a1b2c3"
