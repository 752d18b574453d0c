# SPDX-License-Identifier: MIT
"""``python -m communode``: the command line, where scripts are not on the path."""

from communode.cli import main

main()
