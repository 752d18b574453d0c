# SPDX-License-Identifier: MIT
"""The Xtensa simulator is judged by qemu-xtensa: same result, same buffers, same count of instructions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from native.c_compiler import COMPILERS
from native.cases import CASES, Case
from native.compiler import DSP, viper_images
from native.counts import c_images, copy_of
from native.machine import Image
from native.qemu import QEMU, QemuXtensa
from native.xtensa import Xtensa


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_viper_kernel_runs_alike(case: Case, program: Callable[[str], str]) -> None:
    image = viper_images(DSP / f"{case.module}.py", "xtensawin")[case.viper_name]
    judge, simulator = QemuXtensa(image, program(QEMU)), Xtensa(image)
    for index in range(3):
        for_judge, for_simulator = (case.data(21, index, 12) for _ in range(2))
        assert judge.call_viper(for_judge) == simulator.call_viper(for_simulator)
        assert for_judge == for_simulator


@pytest.fixture(scope="module")
def in_c(program: Callable[[str], str]) -> Mapping[str, Image]:
    return c_images("xtensawin", program(COMPILERS["xtensawin"]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_c_kernel_runs_alike(case: Case, in_c: Mapping[str, Image], program: Callable[[str], str]) -> None:
    judge, simulator = QemuXtensa(in_c[case.name], program(QEMU)), Xtensa(in_c[case.name])
    given = case.without_scratch(case.data(22, 0, 12))
    for_judge, for_simulator = copy_of(given), copy_of(given)
    by_judge, by_simulator = judge.call_c(for_judge), simulator.call_c(for_simulator)
    assert by_judge.instructions == by_simulator.instructions
    assert for_judge == for_simulator
