# SPDX-License-Identifier: MIT
"""Generators of kernels: literal coefficients, unrolled. A test proves the checked-in files current."""
