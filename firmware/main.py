# SPDX-License-Identifier: MIT
# The node's program. Ctrl-C in the first seconds after power-on or reset leads to the prompt instead.
import sys
import time

import machine

try:
    import pack

    pack.mount()

    import hardware
    from node.app.cycle import run
    from node.app.wiring import wire

    run(wire(hardware))
except Exception as error:
    # Nothing that the application could catch: no memory to begin with, a damaged image. At the prompt a node in
    # the field would stay for ever.
    try:
        sys.print_exception(error)
    finally:
        time.sleep_ms(5000)  # for Ctrl-C
        machine.deepsleep(60000)
