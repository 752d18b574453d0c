# SPDX-License-Identifier: MIT
"""What the LoRa radio models share: supply and reset, energy, and the antenna switch.

Not here: registers and commands (``sx1262``, ``sx1276``), what a receiver hears (``lora``).

Sources: SX1261/2 Rev 2.1, 8.1; SX1276/77/78/79 Rev 7, 7.2.2 (the length of a reset).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from communode.virtual.chips.chip import Environment, SpiChip, Violation
from communode.virtual.chips.lora import Receiver, Window
from communode.virtual.medium import Medium, Transmission

_RESET_US = 100


class LoraRadio(SpiChip):
    """Base of the radio models.

    Settings: ``air`` (a Medium) and ``name`` (its place on it); ``antenna_gain_dbi``, ``feeder_loss_db``;
    ``tx_enable``, ``rx_enable``: whether the antenna switch hangs on pins ``TXEN``, ``RXEN`` of the board;
    ``tcxo_mv``: what its TCXO needs, 0 for a crystal. ``notes`` collects what is legal and wrong.
    """

    mode_in_reset = "reset"

    def __init__(self, env: Environment, **settings: Any) -> None:
        super().__init__(env, **settings)
        self.air: Medium = settings["air"]
        self.name: str = settings["name"]
        self.tcxo_mv = int(settings.get("tcxo_mv", 0))
        self.notes: list[str] = []
        self.mode = "off"
        self._switch = {"TXEN": 0, "RXEN": 0}
        self._wired = {"TXEN": bool(settings.get("tx_enable")), "RXEN": bool(settings.get("rx_enable"))}
        self._picocoulomb = 0.0
        self._charged_us = env.now_us()
        self._sent: Transmission | None = None
        self._reset_since: int | None = None

    # What subclasses supply

    @abstractmethod
    def settle(self) -> None:
        """Bring state up to date with the environment's time."""

    @abstractmethod
    def mode_current_ua(self) -> float:
        """Supply current in the present mode."""

    @abstractmethod
    def _restart(self, now: int, supplied: bool) -> None:
        """Out of reset or (``supplied``) at power-on, all forgotten."""

    def _forget(self) -> None:
        """What neither reset nor a lost supply leaves. Subclasses add what is theirs."""
        self._next: tuple[int, str] | None = None  # a mode that begins later
        self._end_us: int | None = None  # of a transmission, or of channel activity detection
        self._receiver: Receiver | None = None

    # Supply and reset

    def power(self, on: bool) -> None:
        """Supply on or off; on starts the chip from cold."""
        now = self.env.now_us()
        if self.mode != "off":
            self.settle()
            self._stop_radiating(now)
        super().power(on)
        self._forget()
        if on:
            self._restart(now, supplied=True)
        else:
            self._enter("off", now)

    def _reset(self, level: int) -> None:
        now = self.env.now_us()
        if not level and self._reset_since is None:
            self.settle()
            self._stop_radiating(now)
            self._reset_since = now
            self._enter(self.mode_in_reset, now)
        elif level and self._reset_since is not None:
            self.forbid(now - self._reset_since < _RESET_US, "NRESET was low for less than 100 us")
            self._reset_since = None
            self._forget()
            if self.powered:
                self._restart(now, supplied=False)

    # Time

    def next_change_us(self) -> int | None:
        """When a pin may change if nobody acts: lets a simulation skip polls. None: not known to."""
        self.settle()
        now = self.env.now_us()
        moments = [self._next[0] if self._next else 0, self._end_us or 0]
        if self._receiver is not None:
            moments.append(self._receiver.next_us() or 0)
        return min((moment for moment in moments if moment > now), default=None)

    def _reach_next_mode(self, now: int) -> None:
        if self._next is not None and now >= self._next[0]:
            at_us, mode = self._next
            self._next = None
            self._enter(mode, at_us)

    def _detects(self, window: Window, until_us: int) -> bool:
        """Whether channel activity detection finds something in ``window``, which ends at ``until_us``."""
        return self._hears_antenna() and any(
            window.matches(packet) and self.air.reception(packet, self.name) is not None
            for packet in self.air.transmissions(window.open_us, until_us, window.frequency_hz)
        )

    # Energy

    def current_ua(self) -> float:
        """Supply current now, typical, from the datasheet's table."""
        self.settle()
        return self.mode_current_ua()

    def charge_uc(self) -> float:
        """Charge drawn since the model was made, in microcoulomb."""
        self.settle()
        self._spend(self.env.now_us())
        return self._picocoulomb / 1e6

    def _spend(self, until_us: int) -> None:
        if until_us > self._charged_us:
            self._picocoulomb += self.mode_current_ua() * (until_us - self._charged_us)
            self._charged_us = until_us

    def _enter(self, mode: str, at_us: int) -> None:
        self._spend(at_us)
        self.mode = mode

    # Antenna

    def set_pin(self, name: str, level: int) -> None:
        """NRESET; and ``TXEN``, ``RXEN`` of the antenna switch."""
        if name == "NRESET":
            self._reset(level)
            return
        if name not in self._switch:
            super().set_pin(name, level)
        self.settle()
        self._switch[name] = level

    def _sends_to_antenna(self) -> bool:
        wired, level = self._wired, self._switch
        return (not wired["TXEN"] or bool(level["TXEN"])) and not (wired["RXEN"] and level["RXEN"])

    def _hears_antenna(self) -> bool:
        wired, level = self._wired, self._switch
        return (not wired["RXEN"] or bool(level["RXEN"])) and not (wired["TXEN"] and level["TXEN"])

    def _radiate(self, packet: Transmission, conducted_dbm: float) -> None:
        """Put ``packet`` on the air, ``power_dbm`` to be filled in, if the switch lets it out."""
        if not self._sends_to_antenna():
            self.note("transmitted into an antenna switch that is not set to transmit")
            self._sent = None
            return
        gain = float(self.settings.get("antenna_gain_dbi", 0)) - float(self.settings.get("feeder_loss_db", 0))
        self._sent = Transmission(**{**vars(packet), "power_dbm": conducted_dbm + gain})
        self.air.transmit(self._sent)

    def _stop_radiating(self, at_us: int) -> None:
        """The transmitter stops; a packet that is not complete is cut."""
        if self._sent is not None and at_us < self._sent.end_us:
            self.air.cut(self._sent, at_us)
        self._sent = None

    def rssi_now_dbm(self, frequency_hz: int) -> float:
        """Strength at the receiver now: the strongest packet on the frequency, or noise."""
        now = self.env.now_us()
        strength = self.air.noise_dbm(self.name, frequency_hz, now)
        if not self._hears_antenna():
            return strength
        for packet in self.air.transmissions(now, now + 1, frequency_hz):
            if (
                packet.source == self.name
                or abs(packet.frequency_hz - frequency_hz) > packet.bandwidth_hz / 2
            ):
                continue
            reception = self.air.reception(packet, self.name)
            if reception is not None:
                strength = max(strength, reception.rssi_dbm)
        return strength

    def damage(self, payload: bytes) -> bytes:
        """``payload`` as a receiver hands it over that lost some symbols to a collision."""
        damaged = bytearray(payload)
        for _ in range(max(1, len(damaged) // 4) if damaged else 0):
            damaged[self.env.rng.randrange(len(damaged))] ^= 1 << self.env.rng.randrange(8)
        return bytes(damaged)

    def note(self, text: str) -> None:
        """Remember, once, what the chip allows and a designer would not."""
        if text not in self.notes:
            self.notes.append(text)

    def forbid(self, condition: bool, text: str) -> None:
        """Raise Violation when ``condition`` holds."""
        if condition:
            raise Violation(f"{type(self).__name__} {self.name}: {text}")
