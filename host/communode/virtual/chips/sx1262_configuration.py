# SPDX-License-Identifier: MIT
"""The SX1262's commands that say how to send and receive; those that start something are in ``sx1262``.

Each is called with the parameters of its command and raises Violation for what the datasheet does not allow.
DS = SX1261/2 Rev 2.1.
"""

from __future__ import annotations

from communode.virtual.chips import sx1262_power as power
from communode.virtual.chips.sx1262_core import CAD_SYMBOLS, OCP, RESET_REGISTERS, Sx1262Core

_BANDWIDTHS = {
    0: 7810, 8: 10420, 1: 15630, 9: 20830, 2: 31250, 10: 41670, 3: 62500, 4: 125000, 5: 250000, 6: 500000
}  # fmt: skip
_FALLBACKS = {0x20: "standby_rc", 0x30: "standby_xosc", 0x40: "fs"}


class Sx1262Configuration(Sx1262Core):
    """What the chip was told, kept until a reset or a sleep forgets it."""

    def _set_stop_on_preamble(self, parameters: bytes) -> None:
        self.forbid(parameters[0] > 1, "StopTimerOnPreamble takes 0 or 1")
        self._stop_on_preamble = bool(parameters[0])

    def _set_regulator(self, parameters: bytes) -> None:
        self.forbid(parameters[0] > 1, "SetRegulatorMode takes 0 or 1")
        self._spend(self.env.now_us())
        self._ldo = parameters[0] == 0

    def _set_pa(self, parameters: bytes) -> None:
        duty, hp_max, device, lut = parameters
        self.forbid(device != power.DEVICE[self.kind], f"SetPaConfig for the other chip (deviceSel {device})")
        self.forbid(lut != 1, "SetPaConfig with paLut other than 1")
        self.forbid(
            duty > power.MAX_DUTY[self.kind] or hp_max > 7, "SetPaConfig beyond the safe limits (DS 13.1.14)"
        )
        self._pa = (duty, hp_max)
        self._registers[OCP] = power.DEFAULT_OCP[self.kind]

    def _set_fallback(self, parameters: bytes) -> None:
        self.forbid(parameters[0] not in _FALLBACKS, "SetRxTxFallbackMode with an unknown mode")
        self._fallback = _FALLBACKS[parameters[0]]

    def _set_irq_params(self, parameters: bytes) -> None:
        self._irq_mask, self._dio1_mask, dio2, _ = (
            int.from_bytes(parameters[index : index + 2], "big") for index in range(0, 8, 2)
        )
        self.forbid(bool(dio2) and self._dio2, "DIO2 cannot be an interrupt and the antenna switch")

    def _clear_irq(self, parameters: bytes) -> None:
        self._irq &= ~int.from_bytes(parameters, "big")

    def _set_dio2(self, parameters: bytes) -> None:
        self.forbid(parameters[0] > 1, "SetDIO2AsRfSwitchCtrl takes 0 or 1")
        self._dio2 = bool(parameters[0])

    def _set_tcxo(self, parameters: bytes) -> None:
        self.forbid(parameters[0] > 7, "SetDIO3AsTcxoCtrl with an unknown voltage")
        if not self.tcxo_mv:
            self.note("DIO3 supplies a TCXO that this board does not have")
        self._tcxo_code = parameters[0]
        self._tcxo_us = int.from_bytes(parameters[1:], "big") * 125 // 8

    def _set_frequency(self, parameters: bytes) -> None:
        self._frequency_hz = round(int.from_bytes(parameters, "big") * 32e6 / (1 << 25))
        self.forbid(not 150e6 <= self._frequency_hz <= 960e6, f"{self._frequency_hz} Hz is out of range")

    def _set_packet_type(self, parameters: bytes) -> None:
        self.forbid(parameters[0] != 1, "packet types other than LoRa are not modelled")
        self._lora = True

    def _set_tx_params(self, parameters: bytes) -> None:
        code = parameters[0] - 256 if parameters[0] > 127 else parameters[0]
        low, high = power.CODES[self.kind]
        self.forbid(not low <= code <= high, f"power code {code} is out of range")
        self.forbid(parameters[1] > 7, "ramp time is out of range")
        self._code = code

    def _set_modulation(self, parameters: bytes) -> None:
        self.forbid(not self._lora, "SetPacketType must come before SetModulationParams (DS 14.2)")
        sf, bandwidth, coding_rate, slow = parameters[:4]
        valid = 5 <= sf <= 12 and bandwidth in _BANDWIDTHS and 1 <= coding_rate <= 4 and slow <= 1
        self.forbid(not valid, f"SetModulationParams {parameters.hex()}")
        self._modulation = (sf, _BANDWIDTHS[bandwidth], coding_rate + 4, bool(slow))

    def _set_packet(self, parameters: bytes) -> None:
        self.forbid(not self._lora, "SetPacketType must come before SetPacketParams (DS 14.2)")
        preamble, implicit, length, crc, inverted = (int.from_bytes(parameters[:2], "big"), *parameters[2:6])
        self.forbid(
            not preamble or implicit > 1 or crc > 1 or inverted > 1, f"SetPacketParams {parameters.hex()}"
        )
        self._packet = (preamble, bool(implicit), length, bool(crc), bool(inverted))
        self._registers[0x0736] = RESET_REGISTERS[0x0736]  # so that the cure of 15.4 must follow

    def _set_cad_params(self, parameters: bytes) -> None:
        self.forbid(parameters[0] >= len(CAD_SYMBOLS), "SetCadParams with an unknown number of symbols")
        self.forbid(parameters[3] != 0, "only CAD_ONLY is modelled")
        self._cad = (parameters[0], parameters[1])

    def _set_base(self, parameters: bytes) -> None:
        self._base = (parameters[0], parameters[1])

    def _set_symbols(self, parameters: bytes) -> None:
        exponent = 0
        while -(-parameters[0] >> (2 * exponent + 1)) > 31:
            exponent += 1
        mantissa = -(-parameters[0] >> (2 * exponent + 1))
        self._registers[0x0706] = mantissa << 3 | exponent

    def _clear_errors(self, parameters: bytes) -> None:
        self._errors = 0

    def _reset_stats(self, parameters: bytes) -> None:
        """GetStats is not modelled beyond zeros."""
