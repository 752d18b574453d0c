# SPDX-License-Identifier: MIT
"""The native-code harness: runs the exact bytes that mpy-cross emits for rv32imc and xtensawin, and counts.

For developers and tests only; nothing of it is installed. It counts executed instructions, not cycles, and
nothing here has run on silicon. unicorn is GPLv2: only this folder and the tests import it.
"""
