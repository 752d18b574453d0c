# SPDX-License-Identifier: MIT
# Patience: how join-requests are held back, and how a node that hears nothing steps down. Pure.
#
# Not here: duty cycles (airtime.py). Sources: TR007-1.1 4.3 and 4.8; L2 = TS001-1.0.4, 4.3.1.1 and table 9.

from micropython import const

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .session import Session

ADR_ACK_LIMIT = const(64)  # RP002-1.0.4, 2.2
_ADR_ACK_DELAY = const(32)
_HOUR_MS = const(3600000)


def join_wait_ms(session: "Session", now: int, airtime_ms: int) -> int:
    """How long a join-request is held back: 36 s of airtime in the first hour, 36 s in the ten after it, then
    8.7 s a day. 0: it may go. ``now`` is session time."""
    hours = (now - session.join_epoch_ms) // _HOUR_MS
    if hours < 11:
        period, limit, until = (0, 36000, 1) if hours < 1 else (1, 36000, 11)
    else:
        days = (hours - 11) // 24
        period, limit, until = 2 + days, 8700, 11 + 24 * (days + 1)
    period &= 0xFFFF
    if period != session.join_period:
        session.join_period = period
        session.join_airtime_ms = 0
    if session.join_airtime_ms + airtime_ms <= limit:
        return 0
    return session.join_epoch_ms + until * _HOUR_MS - now


def join_pause_ms(session: "Session") -> int:
    """Least pause after a join-request in vain: 5 s, doubling to 320 s. As much again is drawn at random."""
    return 5000 << min(session.join_attempts, 7) - 1


def step_down(session: "Session") -> None:
    """Count an uplink nobody answered, and go down the ADR ladder: power, data rate, channels, lost."""
    region = session.region
    count = min(session.adr_ack_cnt + 1, 0xFFFF)
    session.adr_ack_cnt = count
    if not session.adr or count < ADR_ACK_LIMIT + _ADR_ACK_DELAY or count % _ADR_ACK_DELAY:
        return
    if session.power_index:
        session.power_index = 0
    elif session.data_rate > region.lowest_rate(session):
        session.data_rate -= 1
        while not region.payload_limit(session, session.data_rate):  # ends at the lowest
            session.data_rate -= 1
    elif session.nb_trans != 1 or not region.defaults_enabled(session):
        session.nb_trans = 1
        region.enable_defaults(session)
    else:
        session.lost = True  # nothing is left to try but to join again (TR007-1.1 4.3)
