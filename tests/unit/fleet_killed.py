# SPDX-License-Identifier: MIT
"""Change a register, and die before the Nth statement: fleet_killed.py FILE CHANGE N.

Exit status 0: it was over before.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from communode.fleet.exchange import import_csv
from communode.fleet.journal import Journal
from communode.fleet.register import Register
from fleet_bench import new_node

CSV = "dev_eui,mac,name,tenant,site\n" + "".join(
    f"70b3d57ed00000a{n},0200000000a{n},new-{n},Commune,site {n}\n" for n in range(2)
)


def change(register: Register, what: str) -> None:
    """One change that a person asks for."""
    if what == "replace":
        register.replace("school", "spare", "broken")
    elif what == "import":
        import_csv(register, CSV)
    elif what == "begin":
        Journal(register).begin(new_node(9, site="pool"), 1)
    elif what == "rotate":
        Journal(register).rotate(new_node(3).dev_eui, 2)


def main() -> int:
    """Count statements, and die."""
    file, what, number = sys.argv[1:]
    left = int(number)

    def count(statement: str) -> None:
        nonlocal left
        if statement.startswith("--"):
            return  # of a trigger
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with Register(Path(file)) as register:
        register.db.set_trace_callback(count)
        change(register, what)
    return 0


if __name__ == "__main__":
    sys.exit(main())
