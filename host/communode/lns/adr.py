# SPDX-License-Identifier: MIT
"""Adaptive data rate, the network's half: from the SNR of recent uplinks to a LinkADRReq.

Pure. Never lowers a data rate: a device that is not heard does that itself (TS001 4.3.1.1). Repetitions
(NbTrans) stay at `max_nb_trans`'s default of 1, because these nodes' records are acknowledged end to end and
sent again when missing; repeating every frame blindly would cost more air time than that.

Source: Semtech, "LoRaWAN - simple rate adaptation recommended algorithm", revision 1.0 (20 uplinks, margin,
3 dB steps, NbTrans by loss).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from communode.lns.region import Region
from communode.lns.session import HISTORY_LENGTH, Session

LINK_ADR_REQ = 0x03
_STEP_DB = 3.0
_MOST_PATIENCE = 32  # uplinks
# NbTrans by loss below 5, 10, 30 % and above; column: the present NbTrans (1 to 3).
_NB_TRANS = ((0.05, (1, 1, 2)), (0.10, (1, 2, 3)), (0.30, (2, 3, 3)), (1.01, (3, 3, 3)))


@dataclass(frozen=True)
class AdrSettings:
    """``history`` uplinks at one data rate are looked at; ``margin_db`` is kept in hand."""

    history: int = 20
    margin_db: float = 10.0
    max_nb_trans: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.history <= HISTORY_LENGTH:
            raise ValueError(f"ADR looks at 1 to {HISTORY_LENGTH} uplinks")


def link_adr_request(session: Session, region: Region, settings: AdrSettings) -> bytes:
    """The LinkADRReq (5 bytes) that would suit the device better, empty when it is fine as it is."""
    if len(session.history) < settings.history or session.data_rate > region.max_adr_data_rate:
        return b""
    recent = session.history[-settings.history :]
    data_rate, power_index = session.data_rate, session.power_index
    best_snr_db = max(heard.snr_db for heard in recent)
    spare_db = best_snr_db - region.data_rates[data_rate].required_snr_db - settings.margin_db
    steps = int(spare_db / _STEP_DB)
    faster = min(max(steps, 0), region.max_adr_data_rate - data_rate)
    data_rate += faster
    power_index = min(max(power_index + steps - faster, 0), region.max_power_index)
    nb_trans = _nb_trans(session, settings)
    if (data_rate, power_index, nb_trans) == (session.data_rate, session.power_index, session.nb_trans):
        return b""
    mask = sum(1 << index for index, hz in enumerate(session.channels_hz) if hz)
    request = struct.pack("<BBHB", LINK_ADR_REQ, data_rate << 4 | power_index, mask, nb_trans)
    return b"" if request == session.adr_refused else request


def may_ask(session: Session) -> bool:
    """Whether an unanswered LinkADRReq may be sent once more, for which a downlink of its own is needed.

    It or its answer was lost: asked at every uplink, a bad link would take a day's downlinks for nothing else.
    """
    return session.fcnt_up >= session.adr_again


def note_asked(session: Session) -> None:
    """A LinkADRReq is on its way: the next one waits twice as long, until an answer comes."""
    session.adr_again = session.fcnt_up + session.adr_patience
    session.adr_patience = min(2 * session.adr_patience, _MOST_PATIENCE)


def _nb_trans(session: Session, settings: AdrSettings) -> int:
    history = session.history
    span = history[-1].fcnt - history[0].fcnt + 1
    lost = 1 - len(history) / span
    row = next(counts for limit, counts in _NB_TRANS if lost < limit)
    return min(row[min(max(session.nb_trans, 1), 3) - 1], settings.max_nb_trans)
