# SPDX-License-Identifier: MIT
# AS923 group 1. Source: RP002-1.0.4, AS923.

from .as923 import As923

REGION = As923(1, 0, 915000000, 928000000)
