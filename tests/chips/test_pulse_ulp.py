# SPDX-License-Identifier: MIT
"""Pulses at the ULP: to the litre, whatever the processor does meanwhile, and told when the count was lost."""

from __future__ import annotations

from typing import Any

import pytest
from communode.node.drivers import pulse_ulp
from communode.node.schema.quantities import ABSENT, FAULT, GOOD, WARMING_UP, WATER_VOLUME
from communode.ulp_program import PERIOD_US, counter_program
from communode.virtual.chips.pulse_ulp import BOUNCE_US
from communode.virtual.world import World
from sensor_bench import Bench, UlpHandle

PINS = {"esp32": 36, "esp32s3": 2}


class Meter:
    """A node with a meter: a driver that is built anew in every waking."""

    def __init__(self, bench: Bench, chip: str = "esp32s3", litres_per_pulse: int = 1) -> None:
        self.bench = bench
        self.litres = litres_per_pulse
        self.contact = bench.chip("pulse_ulp", litres_per_pulse=litres_per_pulse)
        self.handle = UlpHandle(bench, self.contact, chip)
        self.program = counter_program(chip, PINS[chip])

    def reading(self, is_wake: bool = True, **settings: Any) -> tuple[int | None, int]:
        """One waking."""
        self.handle.is_wake = is_wake
        given = {"program": self.program, "litres_per_pulse": self.litres, **settings}
        return self.bench.cycle(pulse_ulp.Sensor(self.handle, self.bench.sleep_ms, **given))[WATER_VOLUME]

    @property
    def index(self) -> float:
        return self.bench.world.value("water_index_l", self.bench.time_us)  # type: ignore[no-any-return]


@pytest.mark.parametrize("chip", PINS)
@pytest.mark.parametrize("litres", [1, 10])
def test_a_week_of_water_is_counted_to_the_litre_while_the_node_sleeps(chip: str, litres: int) -> None:
    bench = Bench(World(1).at("bench"))
    meter = Meter(bench, chip, litres)
    assert meter.reading(is_wake=False) == (0, WARMING_UP)
    for _ in range(7 * 24):
        bench.wait(3600)
        before = meter.index
        volume, quality = meter.reading()
        assert quality == GOOD
        low, high = (int(index / litres + 1e-9) * litres for index in (before - 0.2, meter.index))
        assert volume is not None
        assert low <= volume <= high
    assert meter.index > 300


class Flow:
    """A litre every ``litre_us``."""

    def __init__(self, litre_us: int) -> None:
        self.litre_us = litre_us

    def value(self, name: str, time_us: int) -> float:
        return time_us / self.litre_us


@pytest.mark.parametrize("litre_us", [113_000, 1_000_001])
def test_contacts_that_close_for_45_ms_are_counted(litre_us: int) -> None:
    meter = Meter(Bench(Flow(litre_us)))
    meter.reading(is_wake=False)
    begin = meter.index
    meter.bench.wait(600)
    volume, quality = meter.reading()
    assert quality == GOOD
    assert volume is not None
    assert volume == pytest.approx(meter.index - begin, abs=2)


def test_the_contact_bounces_and_the_program_does_not_count_it(bench: Bench) -> None:
    meter = Meter(bench)
    contact, changes, at_us = meter.contact, 0, 0
    while at_us < 86_400_000_000:
        before, at_us = contact.level(at_us), contact.next_change(at_us)
        changes += contact.level(at_us) != before
    pulses = int(bench.world.value("water_index_l", at_us))
    assert changes > 4 * pulses > 100  # two changes a pulse, and some six bounces
    assert BOUNCE_US < PERIOD_US


def test_every_reset_but_power_on_leaves_the_count_alone(bench: Bench) -> None:
    meter = Meter(bench)
    meter.reading(is_wake=False)
    bench.wait(86_400)
    volume, quality = meter.reading()
    assert volume is not None
    assert volume > 20
    runs = meter.handle.coprocessor.runs
    bench.wait(1)
    again, quality = meter.reading(is_wake=False)  # a watchdog, machine.reset(), a panic
    assert quality == GOOD
    assert again is not None
    assert 0 <= again - volume <= 1
    assert meter.handle.coprocessor.runs > runs
    meter.contact.power(False)
    meter.contact.power(True)
    assert meter.reading(is_wake=False) == (0, WARMING_UP)
    bench.wait(86_400)
    assert meter.reading()[1] == GOOD


def test_another_program_counts_from_zero(bench: Bench) -> None:
    meter = Meter(bench)
    meter.reading(is_wake=False)
    bench.wait(86_400)
    assert meter.reading()[1] == GOOD
    meter.program = counter_program("esp32s3", 3)
    assert meter.reading(is_wake=False) == (0, WARMING_UP)


def test_noise_in_the_memory_is_never_a_count(bench: Bench) -> None:
    meter = Meter(bench)
    for number in range(50):
        bench.wait(1)
        meter.contact.power(False)
        meter.contact.power(True)
        assert meter.reading(is_wake=bool(number & 1)) == (0, WARMING_UP)


def test_one_flipped_bit_of_the_program_is_noticed(bench: Bench) -> None:
    meter = Meter(bench)
    meter.reading(is_wake=False)
    bench.wait(86_400)
    for address in range(20, len(meter.program) - 12, 12):
        word = meter.handle.read(address)
        meter.handle.coprocessor._memory[address // 4] = word ^ 1 << address % 32
        assert meter.reading(is_wake=False)[1] == WARMING_UP


def test_a_coprocessor_that_stands_still_is_a_fault_and_started_anew(bench: Bench) -> None:
    meter = Meter(bench)
    meter.reading(is_wake=False)
    bench.wait(86_400)
    volume, _ = meter.reading()
    meter.handle.coprocessor._next_us = None
    assert meter.reading() == (None, FAULT)
    bench.wait(600)
    again, quality = meter.reading()
    assert quality == GOOD
    assert volume is not None
    assert again is not None
    assert again >= volume


def test_a_chip_without_ulp_is_absent(still: Bench) -> None:
    meter = Meter(still)
    meter.contact.faults = {"nack"}
    assert meter.reading() == (None, ABSENT)


def test_the_volume_wraps_at_24_bits(bench: Bench) -> None:
    meter = Meter(bench, litres_per_pulse=10)
    meter.reading(is_wake=False)
    meter.handle.write(0, 0xBEEF)  # 0xABCD0000 is what the coprocessor's stores leave above their halves
    meter.handle.write(4, 0xABCD0123)
    assert meter.reading() == (0x0123BEEF * 10 & 0xFFFFFF, GOOD)


def test_a_carry_between_two_reads_is_not_taken_for_a_count(still: Bench) -> None:
    meter = Meter(still)
    meter.reading(is_wake=False)
    meter.handle.write(0, 0xFFFF)
    usual, reads = meter.handle.read, 0

    def read(address: int) -> int:
        nonlocal reads
        if address == 0:
            reads += 1
            if reads == 1:  # low had wrapped; now high follows
                meter.handle.coprocessor._memory[0:2] = [0, 1]
        return usual(address)

    meter.handle.read = read  # type: ignore[method-assign]
    assert meter.reading() == (65536, GOOD)


def test_a_day_does_not_cost_a_step_for_every_sample(bench: Bench) -> None:
    meter = Meter(bench)
    meter.reading(is_wake=False)
    bench.wait(86_400)
    volume, _ = meter.reading()
    assert volume is not None
    assert meter.handle.coprocessor.runs < 12 * volume + 200
