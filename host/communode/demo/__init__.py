# SPDX-License-Identifier: MIT
"""The demonstration: a small town of virtual nodes through its whole life, from blank flash to readings.

`town` builds, flashes, provisions and runs; `judge` compares what was stored with the world; `report` shows
it.
"""
