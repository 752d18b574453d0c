# SPDX-License-Identifier: MIT
# The node's program. Ctrl-C in the first seconds after power-on or reset leads to the prompt instead.
import pack

pack.mount()

import hardware  # noqa: E402
from node.app.cycle import run  # noqa: E402
from node.app.wiring import wire  # noqa: E402

run(wire(hardware))
