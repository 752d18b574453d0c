# SPDX-License-Identifier: MIT
"""Provisioning with the register: a batch file (`batch`), and the run that carries it out (`run`)."""
