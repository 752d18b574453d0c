# SPDX-License-Identifier: MIT
"""An Alphasense NO2-B4 pair on its support board, on an ADS1115. AAN = application note AAN 803.

The cell gives a current in proportion to NO2 on top of a background that the auxiliary electrode shares,
times a factor that depends on the temperature. After the supply comes, the working electrode drifts for
hours. Not modelled: other gases, humidity, ageing.
"""

from __future__ import annotations

from communode.virtual.chips.ads1115 import Ads1115

SETTLING_US = 3 * 3_600_000_000
_DRIFT_V = 0.3
_AUXILIARY_V = 0.008  # of the auxiliary electrode above its zero, at 20 degC
# The note's table 3, as the driver's, but in the unit of the table.
_NT = {-30: 1.3, -20: 1.3, -10: 1.3, 0: 1.3, 10: 1.0, 20: 0.6, 30: 0.4, 40: 0.2, 50: -1.5}


def tolerance(name: str, value: float) -> float:
    """Error (ppb): noise of 15 (NO2-B43F data sheet) and 5 % of the sensitivity's calibration."""
    if name != "no2_ppb":
        raise KeyError(name)
    return 15 + 0.05 * value


def factor(celsius: float) -> float:
    """nT at a temperature, by straight lines."""
    celsius = min(max(celsius, -30.0), 50.0)
    below = min(int((celsius + 30) // 10) * 10 - 30, 40)
    part = (celsius - below) / 10
    return _NT[below] + (_NT[below + 10] - _NT[below]) * part


class No2B4(Ads1115):
    """The pair; settings as the driver's."""

    def connect(self) -> None:
        """Working electrode at input 0, auxiliary electrode at input 1."""
        self._we_zero_v: float = self.settings.get("we_zero_uv", 225_000) / 1e6
        self._ae_zero_v: float = self.settings.get("ae_zero_uv", 245_000) / 1e6
        self._v_ppb: float = self.settings.get("sensitivity_nv_ppb", 309_000) / 1e9
        self._gas_gain = 1 + self.env.rng.uniform(-0.02, 0.02)
        self.begin_front_end()

    def begin_front_end(self) -> None:
        """The bias came on."""
        self._biased_us = self.env.now_us()

    def volts(self, channel: int, time_us: int) -> float:
        """Output of the support board."""
        auxiliary = _AUXILIARY_V + self.env.rng.gauss(0, 0.0003)
        if channel == 1:
            return self._ae_zero_v + _AUXILIARY_V
        if channel != 0:
            return 0.0
        if "saturated" in self.faults:
            return 5.0
        celsius = self.env.world.value("temperature_c", time_us)
        ppb = self.measured("no2_ppb", time_us, 1.5) * self._gas_gain
        age = time_us - self._biased_us if "warming_up" not in self.faults else 0
        drift = _DRIFT_V * max(0.0, 1 - age / SETTLING_US)
        return self._we_zero_v + factor(celsius) * auxiliary + ppb * self._v_ppb + drift
