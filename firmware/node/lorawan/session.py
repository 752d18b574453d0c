# SPDX-License-Identifier: MIT
# All that a LoRaWAN node must not forget, and its one atomic record. Pure.
#
# Not here: where the record is written (a store, handed to runner.py) and what the fields do (mac.py).
#
# There are two copies. Flash is the truth after a power cut: its FCntUp is the reserved ceiling and its
# ledger is charged in advance, so that what was used since can be skipped but never used again. RTC RAM is a
# cache with the exact values, good after deep sleep and resets. Both carry the sequence number of the last
# write to flash: a cache that does not belong to that write is not used.
# A record that is damaged, of another version or of another DevEUI is no record at all: it loses the session
# (and, were flash itself to lie, the DevNonce), which a join heals; it never mixes two states.

from binascii import crc32
from struct import calcsize, pack, unpack_from

from micropython import const

from .airtime import Ledger

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .region.plan import Region

_VERSION = const(1)
_NUMBERS = "<BBBI8s16s16sIIIIIIIBBBBBBBBBHHHIqqqB"
_SIZE = calcsize(_NUMBERS)
CHANNELS = const(16)

_JOINED = const(1)
_ADR = const(2)
_ACK = const(4)
_LOST = const(8)

# How many frame counters are reserved by one write to flash: a power cut skips at most this many.
FCNT_BLOCK = const(32)


class Session:
    """The state of one node in one region. Plain fields; frequencies in Hz, times in ms of `time_ms`."""

    def __init__(self, region: "Region", dev_eui: bytes) -> None:
        self.region = region
        self.dev_eui = dev_eui
        self.ledger = Ledger(region.budgets_ms())
        self.sequence = 0  # of the last write to flash
        self.joined = False
        self.adr = True
        self.dev_nonce = 0  # next to use, 65536 when exhausted
        self.join_nonce = 0  # lowest that is acceptable
        self.dev_addr = 0
        self.nwk_s_key = bytes(16)
        self.app_s_key = bytes(16)
        self.join_attempts = 0
        self.join_epoch_ms = 0  # when the join procedure began, 0: not begun
        self.join_period = 0
        self.join_airtime_ms = 0  # in that period
        self.quiet_until_ms = 0  # nothing is sent before
        self.rx_lead_ms = 0  # how early windows open, learned by the runner; 0: not yet
        self.offset_ms = 0  # session time minus clock time
        self.forget_network()

    def forget_network(self) -> None:
        """Back to what holds just before a join: counters, plan and rates, but never the nonces."""
        self.lost = False
        self.ack_pending = False
        self.answers = b""  # MAC answers of the next uplink
        self.fcnt_up = 0
        self.fcnt_ceiling = 0
        self.fcnt_down = 0  # lowest that is acceptable
        self.adr_ack_cnt = 0
        self.power_index = 0
        self.nb_trans = 1
        self.rx_delay = 1
        self.rx1_dr_offset = 0
        self.max_duty_cycle = 0
        self.tx_param = self.region.default_tx_param
        self.rx2_data_rate = self.region.rx2_data_rate
        self.rx2_frequency_hz = self.region.rx2_frequency_hz
        self.data_rate = self.region.lowest_rate(self)
        self.frequencies = [0] * CHANNELS
        self.downlinks = [0] * CHANNELS  # RX1 frequency where it differs, else 0
        self.ranges = bytearray(CHANNELS)  # data rates: high nibble to, low nibble from
        self.mask = 0
        self.used = 0  # channels already used in this round
        self.region.setup(self)

    def time_ms(self, now_ms: int) -> int:
        """Session time: like the clock, but never going back and never jumping over a power cut."""
        return now_ms + self.offset_ms

    def to_bytes(self, now_ms: int, exact: bool) -> bytes:
        """The record: ``exact`` for the cache, else for flash (reserved counters, airtime in advance)."""
        flags = self.joined * _JOINED | self.adr * _ADR | self.ack_pending * _ACK | self.lost * _LOST
        head = pack(
            _NUMBERS,
            _VERSION,
            self.region.code,
            flags,
            self.sequence,
            self.dev_eui,
            self.nwk_s_key,
            self.app_s_key,
            self.dev_nonce,
            self.join_nonce,
            self.dev_addr,
            self.fcnt_up if exact else self.fcnt_ceiling,
            self.fcnt_ceiling,
            self.fcnt_down,
            self.rx2_frequency_hz,
            self.rx2_data_rate,
            self.data_rate,
            self.power_index,
            self.nb_trans,
            self.rx_delay,
            self.rx1_dr_offset,
            self.max_duty_cycle,
            self.tx_param,
            self.rx_lead_ms,
            self.adr_ack_cnt,
            self.join_attempts,
            self.join_period,
            self.join_airtime_ms,
            self.join_epoch_ms,
            self.quiet_until_ms,
            self.time_ms(now_ms),
            len(self.answers),
        )
        parts = [
            head,
            self.answers,
            self.mask.to_bytes(9, "little"),
            self.used.to_bytes(9, "little"),
            pack("<q", self.offset_ms),
            self._channels_to_bytes(),
            self.ledger.to_bytes(self.joined and not exact),
        ]
        body = b"".join(parts)
        return body + pack("<I", crc32(body))

    def _channels_to_bytes(self) -> bytes:
        count = CHANNELS
        while count and not self.frequencies[count - 1]:
            count -= 1
        out = bytearray((count,))
        for channel in range(count):
            out += (self.frequencies[channel] // 100).to_bytes(3, "little")
            out += (self.downlinks[channel] // 100).to_bytes(3, "little")
            out.append(self.ranges[channel])
        return bytes(out)

    def load(self, record: bytes, exact: bool, now_ms: int) -> None:
        """Take over a record that `sequence_of` accepted.

        ``exact`` is true for the cache. Session time goes on from the record: with the cache the clock is
        trusted to have counted the sleep, with flash alone the gap counts as no time at all.
        """
        (
            _,
            code,
            flags,
            self.sequence,
            _,
            self.nwk_s_key,
            self.app_s_key,
            self.dev_nonce,
            self.join_nonce,
            self.dev_addr,
            fcnt_up,
            fcnt_ceiling,
            fcnt_down,
            rx2_frequency_hz,
            *small,
            attempts,
            period,
            airtime_ms,
            epoch_ms,
            quiet_until_ms,
            time_ms,
            answers_size,
        ) = unpack_from(_NUMBERS, record, 0)
        at = _SIZE + answers_size
        (offset_ms,) = unpack_from("<q", record, at + 18)
        self.offset_ms = offset_ms if exact and now_ms + offset_ms >= time_ms else time_ms - now_ms
        self.rx_lead_ms = small[8]
        if code != self.region.code:
            return
        self.joined = bool(flags & _JOINED)
        self.adr = bool(flags & _ADR)
        self.ack_pending = bool(flags & _ACK)
        self.lost = bool(flags & _LOST)
        self.fcnt_up = fcnt_up
        self.fcnt_ceiling = fcnt_ceiling
        self.fcnt_down = fcnt_down
        self.rx2_frequency_hz = rx2_frequency_hz
        self.rx2_data_rate, self.data_rate, self.power_index, self.nb_trans = small[:4]
        self.rx_delay, self.rx1_dr_offset, self.max_duty_cycle, self.tx_param = small[4:8]
        self.adr_ack_cnt = small[9]
        self.quiet_until_ms = quiet_until_ms
        if exact:  # T0 of the join back-off is power-up (TR007-1.1 4.8)
            self.join_attempts = attempts
            self.join_period = period
            self.join_airtime_ms = airtime_ms
            self.join_epoch_ms = epoch_ms
        self.answers = record[_SIZE:at]
        self.mask = int.from_bytes(record[at : at + 9], "little")
        self.used = int.from_bytes(record[at + 9 : at + 18], "little")
        self._load_channels(record, at + 26)

    def _load_channels(self, record: bytes, at: int) -> None:
        count = record[at]
        at += 1
        for channel in range(count):
            self.frequencies[channel] = 100 * int.from_bytes(record[at : at + 3], "little")
            self.downlinks[channel] = 100 * int.from_bytes(record[at + 3 : at + 6], "little")
            self.ranges[channel] = record[at + 6]
            at += 7
        self.ledger.load(record[at:-4])


def sequence_of(record: "bytes | None", dev_eui: bytes) -> int:
    """Sequence number of a whole record of this node, -1 of anything else."""
    if not record or len(record) < _SIZE + 4 or record[0] != _VERSION or record[7:15] != dev_eui:
        return -1
    if crc32(record[:-4]) != unpack_from("<I", record, len(record) - 4)[0]:
        return -1
    sequence: int = unpack_from("<I", record, 3)[0]
    return sequence
