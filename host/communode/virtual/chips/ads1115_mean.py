# SPDX-License-Identifier: MIT
"""ADS1115 with a 4-20 mA probe, read by the driver that oversamples: the same chip."""

from communode.virtual.chips.ads1115 import Ads1115, tolerance

__all__ = ["Ads1115", "tolerance"]
