# SPDX-License-Identifier: MIT
# What the MAC answers (mac.py makes these, runner.py executes them). Pure, without behaviour.

from ..radio.airtime import time_on_air_us
from ..radio.modem import LoraParameters


class MacError(Exception):
    """What was asked cannot be done. ``code`` is stable.

    ``not_joined``, ``bad_port`` (1..224, or None with no payload), ``payload_too_long`` (see `max_payload`),
    ``dev_nonce_exhausted`` (provision a new JoinEUI), ``counter_exhausted`` (join again), ``never_allowed``
    (no channel of the plan can ever carry such a frame).
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Wait:
    """Not now: ask again in ``ms``. ``reason``: ``duty_cycle``, ``join_backoff`` or ``pause``."""

    def __init__(self, ms: int, reason: str) -> None:
        self.ms = ms
        self.reason = reason


class Plan:
    """One transmission and its two receive windows; delays count from the end of the transmission."""

    def __init__(self, wire: bytes, uplink: LoraParameters, data_rate: int) -> None:
        self.wire = wire
        self.uplink = uplink
        self.data_rate = data_rate
        self.airtime_us = time_on_air_us(uplink, len(wire))
        self.power_dbm = 0  # conducted
        self.commit = False
        self.joining = False
        self.complete = True  # False: MAC answers came first, the application payload was not sent
        self.rx1 = self.rx2 = uplink
        self.rx1_data_rate = self.rx2_data_rate = 0
        self.rx1_delay_us = 0
        self.rx2_delay_us = 0


class Joined:
    """A join-accept was taken: there is a new session."""


class Downlink:
    """An accepted data frame; ``f_port`` None when it holds nothing for the application."""

    def __init__(self, f_port: "int | None", payload: bytes, acked: bool, pending: bool) -> None:
        self.f_port = f_port
        self.payload = payload
        self.acked = acked
        self.pending = pending
