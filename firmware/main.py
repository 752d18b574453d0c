# SPDX-License-Identifier: MIT
# The node's program. Ctrl-C in the first seconds after power-on or reset leads to the prompt instead.
import hardware
from node.app.cycle import run
from node.app.wiring import wire

run(wire(hardware))
