# SPDX-License-Identifier: MIT
"""Generators of kernels: literal coefficients, unrolled. Generated files are checked in; a test proves them current."""
