# SPDX-License-Identifier: MIT
"""The join server: who may join, under which nonces, and what the join-accept says.

Sources: L2 = TS001-1.0.4 6.2 (DevNonce is a counter that rises for a JoinEUI, JoinNonce a counter that rises
for a device), RP002-1.0.4 2.4.4 (CFList).
"""

from __future__ import annotations

from communode.lns import keys
from communode.lns.frames import JoinAccept, JoinRequest, join_request_is_authentic
from communode.lns.region import Region
from communode.lns.session import Device, Session
from communode.lns.store import Store

_MAX_JOIN_NONCE = 0xFFFFFF


class JoinRefused(Exception):
    """The join-request stays without an answer; the text says why. ``device`` None: not ours."""

    def __init__(self, reason: str, device: Device | None) -> None:
        super().__init__(reason)
        self.device = device


class JoinServer:
    """Answers join-requests of the devices in ``store``; ``rx1_delay_s`` (1 to 15) and the region's RX2 are
    what devices are told to use."""

    def __init__(self, store: Store, region: Region, *, net_id: int = 0, rx1_delay_s: int = 1) -> None:
        if not 1 <= rx1_delay_s <= 15:
            raise ValueError("RX1 delay is 1 to 15 s")
        self._store = store
        self._region = region
        self._net_id = net_id
        self._rx1_delay_s = rx1_delay_s

    def answer(self, phy: bytes) -> tuple[bytes, Session]:
        """The join-accept for ``phy`` and the session it opens, both on file; `JoinRefused` otherwise.

        The session is pending: the previous one stays valid until an uplink proves that the device
        has the new keys.
        """
        request = JoinRequest.from_wire(phy)
        device = self._store.device(request.dev_eui)
        if device is None or device.join_eui != request.join_eui:
            raise JoinRefused("unknown device", None)
        if not join_request_is_authentic(phy, device.app_key):
            raise JoinRefused("MIC does not match: the device has another AppKey", device)
        if request.dev_nonce <= device.last_dev_nonce:
            raise JoinRefused(
                f"DevNonce {request.dev_nonce} has been used, the last was {device.last_dev_nonce}", device
            )
        if device.last_join_nonce >= _MAX_JOIN_NONCE:
            raise JoinRefused("all JoinNonces of this device are used: it needs a new AppKey", device)
        device.last_dev_nonce = request.dev_nonce
        device.last_join_nonce += 1
        region = self._region
        with self._store.transaction():
            self._store.save_nonces(device)
            accept = JoinAccept(
                join_nonce=device.last_join_nonce,
                net_id=self._net_id,
                dev_addr=self._store.next_dev_addr(self._net_id),
                dl_settings=region.rx2_data_rate,
                rx_delay=self._rx1_delay_s,
                cf_list=region.cf_list(),
            )
            pair = keys.session_keys(device.app_key, accept.join_nonce, self._net_id, request.dev_nonce)
            session = Session(
                dev_eui=device.dev_eui,
                dev_addr=accept.dev_addr,
                nwk_s_key=pair.nwk_s_key,
                app_s_key=pair.app_s_key,
                rx1_delay_s=self._rx1_delay_s,
                rx1_dr_offset=0,
                rx2_data_rate=region.rx2_data_rate,
                rx2_hz=region.rx2_hz,
                channels_hz=[*region.join_channels_hz, *region.cf_list_hz],
            )
            self._store.save_session(session)
        return accept.to_wire(device.app_key), session
