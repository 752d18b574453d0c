# SPDX-License-Identifier: MIT
# The one place where the node's parts are put together: the only importer of hal.
#
# Everything is built when first asked for, because a waking node should import and set up only what its duty
# needs. Drivers are chosen by name from hardware.py, which the build generates from board and profile.

from micropython import const

from ..hal import bus, memory, sleep
from ..hal.clock import Clock, NappingClock
from ..hal.flash import PartitionRegion
from ..hal.identity import read_identity
from ..hal.retained import Retained, RetainedCell
from ..hal.terminal import Terminal
from ..power.budget import sleeps_from_ms

_POWER_SETTLE_MS = const(10)

# Kinds of the state log, and sections of the RTC memory.
STATE_MAC = const(1)
STATE_DELIVERY = const(2)
STATE_BRAKE = const(5)
RTC_MAC = const(1)
RTC_APP = const(2)
RTC_DELIVERY = const(3)
RTC_REPETITIONS = const(9)  # 4 to 8 are the reporter's


class MacStore:
    """The runner's store: flash through the state log, RTC memory as its cache."""

    def __init__(self, state: "object", cache: RetainedCell) -> None:
        self._state = state
        self.cache_load = cache.load
        self.cache_save = cache.save

    def load(self) -> "bytes | None":
        """The record in flash."""
        return self._state.load(STATE_MAC)

    def commit(self, payload: bytes) -> None:
        """Write the record to flash, atomically."""
        self._state.commit(STATE_MAC, payload)


class Node:
    """The parts of this node."""

    def __init__(self, hardware: "object") -> None:
        self.version = hardware.VERSION
        self.board = hardware.BOARD
        self.profile = hardware.PROFILE
        self.region_name = hardware.REGION
        self.clock = Clock()
        self.nap_from_ms, self.deep_from_ms = sleeps_from_ms(self.board["currents"])
        self._napping = NappingClock(self.nap_from_ms)
        self.terminal = Terminal()
        self.retained = Retained()
        self.identity = read_identity()
        self.is_wake = sleep.is_wake()
        self.reset_cause = sleep.reset_cause()
        self.nap = sleep.nap
        self.sleep_deep = sleep.sleep_deep
        self.reset = sleep.reset
        self.start_watchdog = sleep.start_watchdog
        self.stays_awake = bool(self.profile.get("stays_awake"))
        # UART and I2S hear nothing in light sleep.
        deaf = ("uart", "i2s")
        self.may_nap = not any(sensor["bus"].startswith(deaf) for sensor in self.profile["sensors"])
        self._battery = None
        self.battery_mv: int | None = None
        self.free_heap = memory.free_heap
        self.forget = memory.forget
        self.micropython = memory.micropython_minor()
        self._gates = {}

    @property
    def quantities(self) -> tuple:
        """Codes of everything the profile measures, in the order of its records."""
        return tuple([code for sensor in self.profile["sensors"] for code in sensor["quantities"]])

    def open_state(self, hint: int) -> "object":
        """The state log in the `state` partition."""
        from ..storage.state import StateLog

        return StateLog(PartitionRegion("state"), hint if self.is_wake else -1)

    def open_journal(self, hint: "tuple | None") -> "object":
        """The journal in the `journal` partition; an empty one gets a random generation."""
        from os import urandom

        from ..storage.journal import Journal

        return Journal(
            PartitionRegion("journal"), int.from_bytes(urandom(2), "little"), hint if self.is_wake else None
        )

    def power(self, on: bool) -> None:
        """Switch every gate that a sensor of the profile needs."""
        for sensor in self.profile["sensors"]:
            name = sensor["power"]
            if name is None:
                continue
            gate = self.board["power"][name]
            level = gate["on_level"] if on else 1 - gate["on_level"]
            if name in self._gates:
                self._gates[name](level)
            else:
                self._gates[name] = bus.make_output(gate["pin"], level)
        if on and self._gates:
            self.clock.sleep_ms(_POWER_SETTLE_MS)

    def read_battery_mv(self) -> "int | None":
        """The battery's voltage, None where the board has no divider or runs from USB."""
        battery = self.board["battery"]
        if battery is None:
            return None
        if self._battery is None:
            sensor = _driver("battery")
            self._battery = sensor(bus.make_battery(battery), self.clock.sleep_ms, battery["ratio_permille"])
        _, self.battery_mv, _ = self._battery.read()[0]
        return self.battery_mv

    def rest(self, wait_ms: int) -> str:
        """How to spend a wait between two wakings: a name of the board's currents."""
        if self.stays_awake:
            return "active"
        return "deep_sleep" if wait_ms >= self.deep_from_ms else "light_sleep"

    def napped_ms(self) -> int:
        """Light sleep of the LoRaWAN stack since this was last asked."""
        napped_ms = self._napping.napped_ms
        self._napping.napped_ms = 0
        return napped_ms

    def make_config(self, state: "object") -> "object":
        """The owner's configuration, for which the command key is read."""
        import cryptolib

        from ..lorawan.crypto import cmac
        from .config import Config
        from .settings import Abilities

        block = cryptolib.aes(self.identity.command_key, 1)
        abilities = Abilities({self.profile["id"]: self.profile}, self.profile["id"])
        return Config(state, abilities, self.identity.dev_eui, lambda message: cmac(block, message))

    def make_sensors(self) -> list:
        """The profile's drivers on their buses; not those whose bus the board lacks (refusal.py)."""
        buses = {}
        sensors = []
        for sensor in self.profile["sensors"]:
            name = sensor["bus"]
            settings = sensor["settings"]
            if name == "adc":
                if self.board["battery"] is None:
                    continue
                handle = bus.make_battery(self.board["battery"])
                settings = {"ratio_permille": self.board["battery"]["ratio_permille"]}
            elif name not in self.board["buses"]:
                continue
            else:
                if name not in buses:
                    gate = self.board["power"].get(sensor["power"]) if sensor["power"] else None
                    buses[name] = bus.make_bus(self.board["buses"][name], name, gate)
                handle = buses[name]
            made = _driver(sensor["driver"])(handle, self.clock.sleep_ms, **settings)
            made.leaves = sensor.get("leaves", ())
            sensors.append(made)
        return sensors

    def make_modem(self) -> "object":
        """The radio's driver."""
        radio = self.board["radio"]
        spi = bus.make_spi(radio)
        nss = bus.make_output(radio["nss"], 1)
        reset = bus.make_output(radio["reset"], 1)
        settings = {"max_power_dbm": radio["max_power_dbm"]}
        if radio["chip"] == "sx1276":
            from ..radio.sx127x import Sx127x

            return Sx127x(spi, nss, reset, bus.make_input(radio["dio0"]), self.clock, **settings)
        from ..radio.sx126x import Sx126x

        for name in ("tx_enable", "rx_enable"):
            if radio[name] is not None:
                settings[name] = bus.make_output(radio[name], 0)
        for name in ("tcxo_mv", "tcxo_delay_us"):
            settings[name] = radio[name]
        settings["dio2_rf_switch"] = int(radio["dio2_rf_switch"])
        busy = bus.make_input(radio["busy"])
        return Sx126x(spi, nss, reset, busy, bus.make_input(radio["dio1"]), self.clock, **settings)

    def make_runner(self, state: "object") -> "object":
        """The LoRaWAN stack with this node's identity, radio and stores."""
        from os import urandom

        import cryptolib

        from ..lorawan.mac import Mac
        from ..lorawan.runner import Runner

        radio = self.board["radio"]
        gain_db = -int(-(radio["antenna_gain_dbi"] - radio["feeder_loss_db"]) // 1)
        identity = self.identity
        mac = Mac(
            _region(self.region_name),
            lambda key: cryptolib.aes(key, 1),
            identity.dev_eui,
            identity.join_eui,
            identity.app_key,
            gain_db,
        )
        store = MacStore(state, RetainedCell(self.retained, RTC_MAC))
        return Runner(mac, self.make_modem(), self._napping, store, urandom, NappingClock.RC_PPM)


def _package() -> str:
    return __name__.rsplit(".", 2)[0]


def _driver(name: str) -> "object":
    return __import__(_package() + ".drivers." + name, None, None, ("Sensor",)).Sensor


def _region(name: str) -> "object":
    return __import__(_package() + ".lorawan.region." + name, None, None, ("REGION",)).REGION


def wire(hardware: "object") -> Node:
    """The node that `hardware` (the generated module) describes."""
    return Node(hardware)
