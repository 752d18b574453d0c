# SPDX-License-Identifier: MIT
"""Provisioning with the register: what a batch file says (`batch`), and the run that carries it out (`run`)."""
