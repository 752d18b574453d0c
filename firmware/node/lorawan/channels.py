# SPDX-License-Identifier: MIT
# The channel of a transmission: which may be used now, which of these is taken, and what follows from it:
# frequencies, rates and power of the plan. Pure.
#
# Not here: what a channel plan is (region/), the airtime that is left (airtime.py), when to send (mac.py).
# Source: TR007-1.1.

from micropython import const

from ..radio.modem import LoraParameters
from .exchange import MacError, Plan, Wait

TYPE_CHECKING = const(0)

if TYPE_CHECKING:
    from .mac import Mac
    from .region.plan import Region


def plan_on(mac: "Mac", mask: int, wire: bytes, data_rate: int, now: int, joining: bool) -> "Plan | Wait":
    """A plan on one of the channels of ``mask`` that may be used now, or how long until one may.

    ``now`` is session time. Raises MacError ``never_allowed``.
    """
    session = mac.session
    region = mac.region
    if session.quiet_until_ms > now:
        return Wait(session.quiet_until_ms - now, "pause")
    plan = Plan(wire, parameters(region, 0, data_rate, False), data_rate)
    plan.joining = joining
    soonest = -1
    free = 0
    channel = -1
    while mask >> channel + 1:
        channel += 1
        if not mask >> channel & 1:
            continue
        band = region.band(region.frequency_hz(session, channel))
        wait = session.ledger.wait_ms(band, plan.airtime_us, now) if band >= 0 else 0
        if not mac.duty_cycle:
            wait = 0
        if not wait:
            free |= 1 << channel
        elif wait > 0 and (soonest < 0 or wait < soonest):
            soonest = wait
    if not free:
        if soonest < 0:
            raise MacError("never_allowed")
        return Wait(soonest, "duty_cycle")
    _tune(mac, plan, _pick(mac, free))
    return plan


def parameters(region: "Region", frequency_hz: int, data_rate: int, downlink: bool) -> LoraParameters:
    """What a packet of a data rate is like on air."""
    rate = region.data_rates[data_rate] or (12, 125000)
    return LoraParameters(frequency_hz, rate[0], rate[1], invert_iq=downlink, crc=not downlink)


def _pick(mac: "Mac", free: int) -> int:
    """A random channel of those not used in this round: every channel is used equally (TR007-1.1 4.7)."""
    session = mac.session
    fresh = free & ~session.used
    if not fresh:
        session.used &= ~free
        fresh = free
    nth = mac.draw(_ones(fresh))
    channel = 0
    while True:  # ends: `fresh` has more than `nth` ones
        if fresh >> channel & 1:
            if not nth:
                break
            nth -= 1
        channel += 1
    session.used |= 1 << channel
    return channel


def _tune(mac: "Mac", plan: Plan, channel: int) -> None:
    """Frequencies, rates and power of a plan on a channel."""
    session = mac.session
    region = mac.region
    plan.uplink.frequency_hz = region.frequency_hz(session, channel)
    joined = not plan.joining
    offset = session.rx1_dr_offset if joined else 0
    plan.rx1_data_rate = region.rx1_data_rate(session, plan.data_rate, offset)
    plan.rx1 = parameters(region, region.rx1_frequency_hz(session, channel), plan.rx1_data_rate, True)
    plan.rx2_data_rate = session.rx2_data_rate if joined else region.rx2_data_rate
    rx2_hz = session.rx2_frequency_hz if joined else region.rx2_frequency_hz
    plan.rx2 = parameters(region, rx2_hz, plan.rx2_data_rate, True)
    plan.power_dbm = mac.power_dbm(session.power_index if joined else 0, plan.uplink.frequency_hz)


def _ones(mask: int) -> int:
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count
