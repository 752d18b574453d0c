# SPDX-License-Identifier: MIT
# Sound in air of another temperature than an ultrasonic sensor computes with. Pure.


def at_temperature(distance: int, temperature: int, assumed: int) -> int:
    """The distance that was measured, where the sensor took the air to be `assumed` (both 0.001 degC).

    Speed of sound goes with the square root of the absolute temperature: 0.18 % a degree.
    """
    sound = _sound(assumed)
    return (distance * _sound(temperature) + sound // 2) // sound


def _sound(temperature: int) -> int:
    # 10**6 sqrt(1 + T / 273.15 K) by its series to the third power: error below 0.02 % from -30 to 60 degC.
    x = temperature * 1_000_000 // 273_150
    return 1_000_000 + x // 2 - x * x // 8_000_000 + x * x // 1_000_000 * x // 16_000_000
