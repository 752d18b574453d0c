# SPDX-License-Identifier: MIT
# Runs on MicroPython (argument: the folder that holds the package `node`): every driver on buses without
# chips answers ABSENT, every driver on a board full of nonsense answers FAULT or ABSENT, nothing raises.

import sys

sys.path.insert(0, sys.argv[1])


class Empty:
    def __getattr__(self, name):
        if name == "reset":
            return lambda: False
        if name == "read":
            return lambda: None
        if name == "write":
            return len
        return self._fail

    def _fail(self, *arguments):
        raise OSError(19)


class Nonsense:
    is_wake = True

    def reset(self):
        return True

    def writebyte(self, byte):
        pass

    def writeto(self, address, data):
        return len(data)

    def writeto_mem(self, address, register, data):
        pass

    def open(self):
        pass

    def load(self, program):
        pass

    def run(self, entry, period_us):
        pass

    def readinto(self, into):
        for n in range(len(into)):
            into[n] = 0xA5

    def readfrom_into(self, address, into):
        self.readinto(into)

    def readfrom_mem_into(self, address, register, into):
        self.readinto(into)

    def read(self, address=None):
        return b"\xa5\xff\x00" if address is None else 0xA5A5A5A5

    def write(self, data, value=None):
        return len(data) if value is None else None

    def read_uv(self):
        return 0


slept = 0


def sleep_ms(duration_ms):
    global slept
    slept += duration_ms


ABSENT, FAULT = 7, 6
DRIVERS = (
    "scd4x sps30 sen5x sht4x bme280 pms5003 no2_b4 ds18b20 ads1115 ads1115_mean a02yyuw_level a02yyuw_level_air "
    "ezo_ph ezo_orp ezo_ec ezo_do analogue_ph analogue_ec analogue_turbidity "
    "pcf8593 pulse_ulp a02yyuw a02yyuw_air hrxl vl53l1x ics43434 lis3dh battery"
)
for name in DRIVERS.split():
    module = getattr(__import__("node.drivers." + name).drivers, name)
    for bus, expected in ((Empty(), (ABSENT,)), (Nonsense(), (ABSENT, FAULT))):
        slept = 0
        sensor = module.Sensor(bus, sleep_ms)
        sensor.start()
        for _ in range(3):
            if hasattr(sensor, "use"):
                sensor.use({})
            readings = sensor.read()
            if not isinstance(readings, int):
                break
        sensor.stop()
        assert readings, name
        for _code, value, quality in readings:
            assert value is None, (name, readings)
            assert quality in expected, (name, readings)
        assert slept < 400, (name, slept)
print("ok")
