# SPDX-License-Identifier: MIT
# AS923 group 4. Source: RP002-1.0.4, AS923.

from .as923 import As923

REGION = As923(4, -5900000, 917000000, 920000000)
