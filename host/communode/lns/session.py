# SPDX-License-Identifier: MIT
"""What the bench server remembers of a device and its session, and the counter arithmetic.

Values only: the store writes them, the server decides. Source: L2 = TS001-1.0.4 4.3.1.5 (counters).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from communode.lns.frames import DataFrame, data_is_authentic

HISTORY_LENGTH = 20


@dataclass
class Device:
    """A registered device: identity, root key, and the nonces that must only rise."""

    dev_eui: str
    join_eui: str
    app_key: bytes = field(repr=False)
    name: str = ""
    last_dev_nonce: int = -1
    last_join_nonce: int = 0


@dataclass(frozen=True)
class Heard:
    """One uplink in the history that ADR looks at."""

    fcnt: int
    snr_db: float


@dataclass
class Session:
    """An activation. ``fcnt_up`` is the last counter accepted (-1: none), ``fcnt_down`` the next to use.

    The receive parameters are what the device uses, as far as it has confirmed them.
    """

    dev_eui: str
    dev_addr: int
    nwk_s_key: bytes = field(repr=False)
    app_s_key: bytes = field(repr=False)
    rx1_delay_s: int
    rx1_dr_offset: int
    rx2_data_rate: int
    rx2_hz: int
    channels_hz: list[int]  # uplink frequency by channel index, 0 where there is none
    rx1_hz: dict[str, int] = field(default_factory=dict)  # uplink Hz -> RX1 Hz where DlChannelReq moved it
    pending: bool = True  # until the first uplink, the previous session stays valid beside it
    fcnt_up: int = -1
    fcnt_down: int = 0
    data_rate: int = 0
    power_index: int = 0
    nb_trans: int = 1
    ack_item: str = ""  # queue item of the confirmed downlink that waits for its ACK
    ack_fcnt: int = 0
    queued_commands: bytes = b""  # MAC requests for the next downlink
    sent_commands: bytes = b""  # MAC requests of the last downlink, unanswered
    adr_refused: bytes = b""  # a LinkADRReq that the device turned down
    adr_patience: int = 1  # uplinks to wait for the answer to the last LinkADRReq
    adr_again: int = 0  # uplink counter from which on it may be sent again
    history: list[Heard] = field(default_factory=list)

    def full_counter(self, fcnt: int) -> int:
        """The 32-bit counter that 16 bits on air stand for: the nearest above the last one."""
        base = max(self.fcnt_up, 0) & ~0xFFFF | fcnt
        return base if base > self.fcnt_up else base + 0x10000

    def accepts(self, phy: bytes, frame: DataFrame) -> int | None:
        """The counter of a new authentic uplink, None when it is neither."""
        fcnt = self.full_counter(frame.fcnt)
        if fcnt > 0xFFFFFFFF or not data_is_authentic(phy, frame, self.nwk_s_key, fcnt):
            return None
        return fcnt

    def repeats(self, phy: bytes, frame: DataFrame) -> bool:
        """Whether it is the last accepted uplink once more (NbTrans, or a confirmed retry)."""
        if self.fcnt_up < 0 or frame.fcnt != self.fcnt_up & 0xFFFF:
            return False
        return data_is_authentic(phy, frame, self.nwk_s_key, self.fcnt_up)

    def remember(self, fcnt: int, snr_db: float, data_rate: int) -> None:
        """Take an accepted uplink into the counters and the ADR history."""
        if data_rate != self.data_rate:
            self.history.clear()  # SNR is comparable at one data rate and power only
        self.fcnt_up = fcnt
        self.data_rate = data_rate
        self.history.append(Heard(fcnt, snr_db))
        del self.history[:-HISTORY_LENGTH]


@dataclass(frozen=True)
class Downlink:
    """Application data for a device; ``item`` names it in events. Port 0 carries MAC commands."""

    f_port: int
    payload: bytes
    confirmed: bool = False
    item: str = ""
