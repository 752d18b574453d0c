# SPDX-License-Identifier: MIT
# LoRaWAN 1.0.x cryptography over an AES block that is handed in. Pure.
#
# Not here: AES itself. `aes(key)` is any factory whose result has `encrypt(block16) -> 16 bytes`; on a node
# `lambda key: cryptolib.aes(key, 1)`, on the host one over a library. Nothing here decrypts: LoRaWAN devices
# never need to.
# Sources: RFC 4493 (CMAC); L2 = TS001-1.0.4, 4.3.3 (payload), 4.4 (MIC), 6.2.6 (join-accept keys).
#
# 16-byte blocks are handled as integers: on MicroPython one big XOR is much faster than sixteen small ones.

from struct import pack

from micropython import const

TYPE_CHECKING = const(0)

if TYPE_CHECKING:

    class Block:
        """One AES-128 key: ``encrypt`` maps 16 bytes to 16 bytes (ECB)."""

        def encrypt(self, block: bytes) -> bytes: ...

    class Cipher:
        """The factory: a key of 16 bytes to a Block."""

        def __call__(self, key: bytes) -> Block: ...


UPLINK = const(0)
DOWNLINK = const(1)

NWK_S_KEY = const(1)
APP_S_KEY = const(2)

_MASK_128 = (1 << 128) - 1


def _double(value: int) -> int:
    """Multiply by x in GF(2^128): how RFC 4493 2.3 makes its subkeys."""
    value <<= 1
    return value & _MASK_128 ^ 0x87 if value >> 128 else value


def cmac(block: "Block", message: bytes) -> bytes:
    """AES-CMAC (RFC 4493 2.4): 16 bytes over a message of any length."""
    subkey = _double(int.from_bytes(block.encrypt(bytes(16)), "big"))
    full = (len(message) - 1) // 16 if message else 0
    last = message[16 * full :]
    if len(last) < 16:
        subkey = _double(subkey)
        last = last + b"\x80" + bytes(15 - len(last))
    state = 0
    for start in range(0, 16 * full, 16):
        state ^= int.from_bytes(message[start : start + 16], "big")
        state = int.from_bytes(block.encrypt(state.to_bytes(16, "big")), "big")
    return block.encrypt((state ^ int.from_bytes(last, "big") ^ subkey).to_bytes(16, "big"))


def data_mic(block: "Block", direction: int, dev_addr: int, fcnt: int, message: bytes) -> bytes:
    """MIC (4 bytes) of a data frame without its MIC; ``fcnt`` is the whole 32-bit counter (L2 4.4)."""
    head = pack("<BIBIIBB", 0x49, 0, direction, dev_addr, fcnt, 0, len(message))
    return cmac(block, head + message)[:4]


def crypt_payload(block: "Block", direction: int, dev_addr: int, fcnt: int, data: bytes) -> bytes:
    """Encrypt or decrypt (the same XOR) the FRMPayload of a data frame (L2 4.3.3)."""
    out = b""
    for number in range(1, (len(data) + 15) // 16 + 1):
        stream = block.encrypt(pack("<BIBIIBB", 1, 0, direction, dev_addr, fcnt, 0, number))
        part = data[16 * number - 16 : 16 * number]
        size = len(part)
        mixed = int.from_bytes(part, "big") ^ int.from_bytes(stream[:size], "big")
        out += mixed.to_bytes(size, "big")
    return out


def session_key(block: "Block", kind: int, join_nonce: int, net_id: int, dev_nonce: int) -> bytes:
    """NwkSKey or AppSKey (``kind`` NWK_S_KEY, APP_S_KEY) from a block of the AppKey (L2 6.2.6)."""
    nonces = join_nonce | net_id << 24 | dev_nonce << 48
    return block.encrypt(bytes((kind,)) + nonces.to_bytes(8, "little") + bytes(7))
