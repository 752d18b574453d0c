# SPDX-License-Identifier: MIT
"""Our own ways of deploying as processes: ``deploy_ways.py image|repl PORT BAUD FOLDER``.

``communode deploy`` without its parsing and without the build, at a speed that its options do not name. Imports
what that command imports, and none of the virtual board on the other end of the line.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path


def main(arguments: list[str]) -> int:
    """The exit status of the command."""
    way, port, baud, folder = arguments[0], arguments[1], int(arguments[2]), Path(arguments[3])
    if way == "image":
        from communode.build import read_build
        from communode.flash import job_for, run_jobs

        job = replace(job_for(read_build(folder), port, regions=["vfs"]), baud=baud)
        (outcome,) = run_jobs([job], "virtual", lambda event: None)
        return 1 if outcome.error else 0
    from communode.deploy import deploy

    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    deploy(port, {name: path.read_bytes() for name, path in files.items()}, via="repl", baud=baud)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
