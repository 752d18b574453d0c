# SPDX-License-Identifier: MIT
# AS923 group 2. Source: RP002-1.0.4, AS923.

from .as923 import As923

REGION = As923(2, -1800000, 920000000, 923000000)
