#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the table of sensors into firmware/README.md, between its markers: ``sensor_table.py [--check]``.

Quantities come from `communode.drivers`, resolutions from the payload's schema, stated errors from the chip
models, tested faults from ``tests/chips/fault_table.py``. Ranges and currents stand here, from data sheets:
typical values where there are any; nothing was measured by this project.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "chips"))

from communode.drivers import DRIVERS  # noqa: E402
from communode.node.schema.quantities import QUALITIES, QUANTITIES  # noqa: E402
from communode.profiles import load_profile, profile_names  # noqa: E402
from fault_table import EXPECTED  # noqa: E402

README = ROOT / "firmware" / "README.md"
BEGIN = "<!-- sensors: begin, written by tools/sensor_table.py -->\n"
END = "<!-- sensors: end -->\n"


@dataclass(frozen=True)
class Sensor:
    """What a data sheet says: range of each quantity (text), and what a reading costs."""

    title: str
    ranges: tuple[str, ...]  # in the order of the driver's quantities
    volts: float
    milliamperes: float
    seconds: float
    note: str = ""

    @property
    def millijoules(self) -> float:
        """Energy of one reading."""
        return self.volts * self.milliamperes * self.seconds


_PM = ("0 to 1000",) * 4
SENSORS = {
    "scd4x": Sensor(
        "Sensirion SCD41", ("400 to 5000", "-10 to 60", "0 to 100"), 3.3, 15, 5, "0.15 mA between"
    ),
    "sps30": Sensor("Sensirion SPS30", _PM, 5, 55, 30),
    "sen5x": Sensor(
        "Sensirion SEN54, SEN55",
        (*_PM, "0 to 100", "-10 to 50", "1 to 500", "1 to 500"),
        5,
        63,
        30,
        "7 mA between, with gases",
    ),
    "sht4x": Sensor("Sensirion SHT40, SHT41, SHT45", ("-40 to 125", "0 to 100"), 3.3, 0.32, 0.0083),
    "bme280": Sensor("Bosch BME280", ("-40 to 85", "0 to 100", "300 to 1100"), 3.3, 0.35, 0.0093),
    "pms5003": Sensor("Plantower PMS5003", ("0 to 1000",) * 3, 5, 100, 31.5),
    "no2_b4": Sensor("Alphasense NO2-B4 on ADS1115", ("0 to 20 000",), 3.3, 0.15, 0.1, "1 mA between"),
    "ds18b20": Sensor("Maxim DS18B20", ("-55 to 125",), 3.3, 1, 0.75),
    "ads1115": Sensor("4-20 mA probe on ADS1115", ("by probe",), 24, 20, 2.02, "at the loop"),
    "ads1115_mean": Sensor(
        "4-20 mA probe on ADS1115, oversampled",
        ("by probe", "-", "-"),
        24,
        20,
        2.2,
        "16 samples, at the loop",
    ),
    "a02yyuw_level": Sensor("A02YYUW over water", ("0.03 to 4.5 below it", "-", "-"), 5, 8, 5.7),
    "a02yyuw_level_air": Sensor(
        "A02YYUW over water, corrected for the air",
        ("0.03 to 4.5 below it", "0.03 to 4.5 below it", "-", "-"),
        5,
        8,
        5.7,
    ),
    "ezo_ph": Sensor("Atlas EZO-pH", ("0.001 to 14",), 3.3, 14.5, 1.95),
    "ezo_orp": Sensor("Atlas EZO-ORP", ("-1019.9 to 1019.9",), 3.3, 14.5, 1.95),
    "ezo_ec": Sensor("Atlas EZO-EC", ("0.07 to 131 070",), 3.3, 45, 1.95),
    "ezo_do": Sensor("Atlas EZO-DO", ("0.01 to 40",), 3.3, 12, 1.95),
    "analogue_ph": Sensor("pH electrode on ADS1115", ("0 to 14",), 3.3, 5, 1.05, "amplifier assumed"),
    "analogue_ec": Sensor("conductivity cell on ADS1115", ("by cell",), 3.3, 6, 1.05, "amplifier assumed"),
    "analogue_turbidity": Sensor("ISO 7027 probe on ADS1115", ("by probe",), 5, 30, 1.05, "probe assumed"),
    "pcf8593": Sensor("pulse meter on PCF8593", ("24 bits of",), 3.3, 0.01, 0.001, "1 uA between, counting"),
    "pulse_ulp": Sensor(
        "pulse meter on the ULP",
        ("24 bits of",),
        3.3,
        0.005,
        0.05,
        "5 uA between, counting: measured elsewhere",
    ),
    "a02yyuw": Sensor("DFRobot A02YYUW", ("30 to 4500", "0 to 100"), 5, 8, 2),
    "a02yyuw_air": Sensor(
        "A02YYUW, corrected for the air", ("30 to 4500", "0 to 100", "30 to 4500", "-", "-"), 5, 8, 2
    ),
    "hrxl": Sensor("MaxBotix HRXL-WR (TTL)", ("300 to 5000", "0 to 100"), 5, 3.1, 2),
    "vl53l1x": Sensor("ST VL53L1X", ("40 to 4000", "0 to 100"), 3.3, 16, 0.6),
    "ics43434": Sensor("TDK ICS-43434", ("30 to 116",) * 5, 3.3, 0.49, 10.4, "the node stays awake"),
    "lis3dh": Sensor("ST LIS3DH", ("0 to 180",), 3.3, 0.011, 0.12),
}
_STEPS = {facts[0]: (facts[1], facts[4] / facts[2]) for facts in QUANTITIES.values()}


def _energy(millijoules: float) -> str:
    if millijoules >= 10:
        return f"{millijoules:,.0f} mJ".replace(",", " ")
    return f"{millijoules:.2g} mJ" if millijoules >= 0.1 else f"{millijoules * 1000:.2g} uJ"


def _faults(driver: str) -> str:
    named = ["absent: absent", "silent: absent, fault"]
    if DRIVERS[driver].bus_kind == "i2c":
        named.append("stuck SDA: bus freed, else absent")
    for fault, ends in EXPECTED[driver].items():
        label = {"wrong_crc": "damaged", "brown_out": "brown-out"}.get(fault, fault.replace("_", " "))
        words = ", ".join(QUALITIES[end].replace("_", " ") for end in sorted(ends))
        named.append(f"{label}: {words or 'not in one reading'}")
    limit = DRIVERS[driver].stale_after
    named.append(f"stuck value: stale after {limit} readings" if limit else "stuck value: not seen")
    return "; ".join(named)


def table() -> str:
    """The whole block between the markers."""
    lines = [
        "| sensor (driver) | quantity: range, resolution on air | energy | tested faults: how they end |",
        "|---|---|---:|---|",
    ]
    for driver in sorted(EXPECTED, key=lambda name: SENSORS[name].title.lower()):
        facts = SENSORS[driver]
        quantities = []
        for quantity, text in zip(DRIVERS[driver].quantities, facts.ranges, strict=True):
            unit, step = _STEPS[quantity]
            shown = "" if text == "-" else f" {text} {unit}".rstrip() + ","
            quantities.append(f"{quantity}:{shown} {step:g} {unit}".rstrip())
        energy = _energy(facts.millijoules) + (f" ({facts.note})" if facts.note else "")
        lines.append(
            f"| {facts.title} (`{driver}`) | {'<br>'.join(quantities)} | {energy} | {_faults(driver)} |"
        )
    lines += ["", "| profile | id | every | sensors |", "|---|---:|---:|---|"]
    for name in sorted(profile_names(), key=lambda name: load_profile(name).id):
        profile = load_profile(name)
        drivers = ", ".join(sensor.driver for sensor in profile.sensors if sensor.driver != "battery")
        lines.append(f"| `{name}` | {profile.id} | {profile.interval_s} s | {drivers} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write the block, or with --check say whether it is current (exit status 1: it is not)."""
    text = README.read_text("utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    made = f"{head}{BEGIN}\n{table()}\n{END}{tail}"
    if arguments == ["--check"]:
        if made != text:
            print("firmware/README.md: the table of sensors is not current: run tools/sensor_table.py")
        return int(made != text)
    README.write_text(made, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
