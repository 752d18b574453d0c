# SPDX-License-Identifier: MIT
"""Provisioning with the register: a batch file (`batch`), and what makes nodes of its boards (`run`)."""
