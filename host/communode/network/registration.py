# SPDX-License-Identifier: MIT
"""What provisioning asks of a network server, whichever it is: know a device, forget its nonces, see it join.

Every call may be repeated: who is interrupted calls again. Errors are CommunodeError ``registration.*``:
``unreachable`` and ``unauthorised`` concern the server, the others one device.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class NetworkDevice:
    """A node as a network server knows it. EUIs: 8 bytes, big-endian; the AppKey shows in no print."""

    dev_eui: bytes
    join_eui: bytes
    app_key: bytes = field(repr=False)
    name: str = ""
    tags: dict[str, str] = field(default_factory=dict)


class NetworkServer(Protocol):
    """A network server, or a file for one."""

    name: str
    sees_joins: bool  # False: a file cannot tell whether a node joined

    def register(self, device: NetworkDevice, *, renew: bool = False) -> str:
        """Make the server know the device: ``created``, ``completed`` (half of it was there) or ``kept``.

        With ``renew`` another AppKey there is replaced and the session is ended in any case, so that `joined`
        can only see a new join (``renewed``); without, another key is ``registration.key_differs``. A device
        of somebody else is ``registration.elsewhere``.
        """

    def flush_dev_nonces(self, dev_eui: bytes) -> None:
        """Accept DevNonces from 0 again. Only for a node whose own memory of them was wiped."""

    def joined(self, dev_eui: bytes) -> str | None:
        """The DevAddr (8 hex digits) of the session under the registered key, None before the first join."""

    def close(self) -> None:
        """Release connections."""
