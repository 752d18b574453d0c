# SPDX-License-Identifier: MIT
# AS923 group 3. Source: RP002-1.0.4, AS923.

from .as923 import As923

REGION = As923(3, -6600000, 915000000, 921000000)
