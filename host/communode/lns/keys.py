# SPDX-License-Identifier: MIT
"""LoRaWAN 1.0.x cryptography of the bench server, on the `cryptography` package.

Not shared with the node: the two sides are each other's check.

Sources: L2 = TS001-1.0.4 (4.3.3 payload, 4.4 MIC, 6.2.5/6.2.6 join), RFC 4493 (CMAC).
"""

from __future__ import annotations

import hmac
import struct
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

BLOCK_LENGTH = 16
MIC_LENGTH = 4
UPLINK = 0
DOWNLINK = 1

_JOIN_NWK_S_KEY = 0x01
_JOIN_APP_S_KEY = 0x02


class SessionKeys(NamedTuple):
    """The two 16-byte keys of a 1.0.x session."""

    nwk_s_key: bytes
    app_s_key: bytes


def encrypt_blocks(key: bytes, data: bytes) -> bytes:
    """AES-128 ECB encryption of whole blocks; ValueError for a wrong key or data length."""
    encryptor = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def decrypt_blocks(key: bytes, data: bytes) -> bytes:
    """AES-128 ECB decryption of whole blocks; ValueError for a wrong key or data length."""
    decryptor = Cipher(algorithms.AES128(key), modes.ECB()).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def short_cmac(key: bytes, data: bytes) -> bytes:
    """The first 4 bytes of AES-CMAC: what LoRaWAN sends as MIC."""
    mac = CMAC(algorithms.AES128(key))
    mac.update(data)
    return mac.finalize()[:MIC_LENGTH]


def data_mic(nwk_s_key: bytes, direction: int, dev_addr: int, fcnt: int, message: bytes) -> bytes:
    """MIC of a data frame (L2 4.4) over ``MHDR | FHDR | FPort | FRMPayload`` with the 32-bit counter."""
    b0 = struct.pack("<BIBIIBB", 0x49, 0, direction, dev_addr, fcnt, 0, len(message))
    return short_cmac(nwk_s_key, b0 + message)


def crypt_payload(key: bytes, direction: int, dev_addr: int, fcnt: int, payload: bytes) -> bytes:
    """Encrypt or decrypt FRMPayload (L2 4.3.3): AppSKey, or NwkSKey on port 0; counter 32 bits."""
    if not payload:
        return b""
    count = -(-len(payload) // BLOCK_LENGTH)
    blocks = b"".join(
        struct.pack("<BIBIIBB", 0x01, 0, direction, dev_addr, fcnt, 0, index) for index in range(1, count + 1)
    )
    stream = encrypt_blocks(key, blocks)
    return bytes(a ^ b for a, b in zip(payload, stream, strict=False))


def session_keys(app_key: bytes, join_nonce: int, net_id: int, dev_nonce: int) -> SessionKeys:
    """Session keys of a 1.0.x join (L2 6.2.6)."""
    seed = join_nonce.to_bytes(3, "little") + net_id.to_bytes(3, "little") + dev_nonce.to_bytes(2, "little")
    nwk, app = (
        encrypt_blocks(app_key, bytes((kind,)) + seed + bytes(7))
        for kind in (_JOIN_NWK_S_KEY, _JOIN_APP_S_KEY)
    )
    return SessionKeys(nwk, app)


def equal(a: bytes, b: bytes) -> bool:
    """Compare two MICs in constant time."""
    return hmac.compare_digest(a, b)
