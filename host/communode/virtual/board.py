# SPDX-License-Identifier: MIT
"""One virtual board: flash, chips and an application processor, from power-on to power-off.

This file boots, resets and puts to sleep, and keeps what outlives a reset (flash, RTC, reset cause). What the
processor asks of chips and memories is answered in `requests`. Chips and pins are in `wiring`, serial ports
and the ROM loader in `station`, time in `kernel`.
"""

from __future__ import annotations

import importlib
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from communode.boards import Board
from communode.profiles import Profile
from communode.virtual.bootable import Partition, find_fault, read_partitions
from communode.virtual.chip_identity import ChipIdentity
from communode.virtual.chips.chip import Violation, World
from communode.virtual.chips.lora_radio import LoraRadio
from communode.virtual.costs import cost_table
from communode.virtual.flash import FlashFile
from communode.virtual.kernel import ORDERED_ALWAYS, Kernel, RealtimeKernel
from communode.virtual.ledger import EnergyLedger
from communode.virtual.nvs import NvsPartition
from communode.virtual.processor import HEAP_BYTES, Processor
from communode.virtual.protocol import POSTED, Op, Request
from communode.virtual.requests import REQUESTS
from communode.virtual.rtc import RtcDomain
from communode.virtual.ulp import Ulp
from communode.virtual.wiring import ChipEnvironment, Wiring

POWER_ON, HARD, WATCHDOG, DEEP_SLEEP, SOFT = 1, 2, 3, 4, 5  # machine.reset_cause() of the ESP32 port
TIMER_WAKE, EXT0_WAKE = 4, 2
LARGEST_SKEW = 1 << 40  # offset on the wire, where negative values are errors
GPIOS = {"esp32": 40, "esp32s3": 49, "esp32c3": 22}
MACHINES = {"esp32": "ESP32", "esp32s3": "ESP32S3", "esp32c3": "ESP32C3"}


@dataclass
class BoardSettings:
    """What makes one virtual board different from the next."""

    mac: bytes
    seed: int = 0
    drift_ppm: float = 0.0  # error of the RC oscillator that times sleep, after calibration
    heap: int = HEAP_BYTES
    faults: dict[str, str] = field(default_factory=dict)  # sensor driver -> fault
    radio_settings: dict[str, Any] = field(default_factory=dict)


class VirtualProcessorBoard:
    """The board as the kernel and the processor see it."""

    def __init__(
        self,
        board: Board,
        profile: Profile | None,
        flash: FlashFile,
        kernel: Kernel | RealtimeKernel,
        world: World,
        settings: BoardSettings,
    ) -> None:
        self.board = board
        self.flash = flash
        self.kernel = kernel
        self.world = world
        self.settings = settings
        self.identity = ChipIdentity(board.chip, settings.mac, board.flash_size)
        self.processor: Processor | None = None
        self.time_us = kernel.now_us()
        self.backlog: list[Request] = []
        self.rng = random.Random(f"{settings.seed}:{settings.mac.hex()}")
        self.ledger = EnergyLedger(board)
        self.radio = self._make_radio()
        self.wiring = Wiring(board, profile, self.environment, self.radio, settings.faults)
        self.violations: list[str] = []
        self.boots: list[tuple[int, int]] = []  # (time, reset cause)
        self.deep_sleeps = 0
        self.console: tuple[int, int] = (-1, -1)  # descriptors for the processor's stdin and stdout
        self.may_wake: Callable[[int], bool] = lambda wake_us: True
        self.on_prompt: Callable[[], None] = lambda: None
        self.on_reset: Callable[[int], None] = lambda cause: None
        self.on_ready: Callable[[], None] = lambda: None
        self.ready = False  # the processor has booted so far that it takes input
        self.run_main = True
        self.stopped = False
        self.costs = cost_table()
        self.rtc = RtcDomain(self.time_us)
        self.ulp = self._make_ulp()
        self._cause = POWER_ON
        self._wake = 0
        self._wake_pins: tuple[int, bytes] = (0, b"")
        self._awake_since = self.time_us
        self._run = 0  # counts processor runs, so that late timers of an earlier run do nothing
        self._watchdog_ms = 0
        self._watchdog_us = 0
        self.partitions: list[Partition] = []
        self.nvs: NvsPartition | None = None
        self._irq: dict[int, tuple[int, int]] = {}  # pin: trigger, last level
        kernel.add(self)

    def environment(self, name: str) -> ChipEnvironment:
        """What chip ``name`` is given."""
        seed = f"{self.settings.seed}:{self.settings.mac.hex()}:{name}"
        return ChipEnvironment(self.world, self.kernel.now_us, self.kernel.call_at, seed)

    def _make_ulp(self) -> Ulp | None:
        # Of the RTC domain: resets and deep sleep leave it alone, and a new one is what power finds.
        chip, seed = self.board.chip, f"{self.settings.seed}:{self.settings.mac.hex()}:{self.time_us}:ulp"
        return Ulp(chip, self.wiring, random.Random(seed)) if self.board.soc.ulp else None

    def _make_radio(self) -> LoraRadio:
        radio = self.board.radio
        module = importlib.import_module(f"communode.virtual.chips.{radio.chip}")
        chip: LoraRadio = getattr(module, radio.chip.capitalize())(
            self.environment("radio"),
            name=self.settings.mac.hex(),
            antenna_gain_dbi=radio.antenna_gain_dbi,
            feeder_loss_db=radio.feeder_loss_db,
            tcxo_mv=radio.tcxo_mv,
            tx_enable=radio.tx_enable is not None,
            rx_enable=radio.rx_enable is not None,
            **({"dio2_rf_switch": radio.dio2_rf_switch} if radio.chip == "sx1262" else {}),
            **self.settings.radio_settings,
        )
        return chip

    # Power, resets, sleep

    def power_on(self) -> str | None:
        """Apply power. Return what keeps the chip from booting what is in flash, or None when it boots."""
        self.rtc = RtcDomain(self.kernel.now_us())
        self.ulp = self._make_ulp()
        self.radio.power(False)
        self.radio.power(True)
        return self.boot(POWER_ON)

    def boot(self, cause: int, wake: int = 0) -> str | None:
        """Reset the processor and let it boot; the result is as for `power_on`."""
        self.halt()
        self._cause, self._wake = cause, wake
        if cause != DEEP_SLEEP:  # on waking the boot loader skips the validation; nothing was flashed since
            fault = find_fault(self.flash, self.board.soc.bootloader_offset, self.board.chip)
            if fault is not None:
                return fault
            self.partitions = read_partitions(self.flash)
            self.nvs = None
        start_us = max(self.time_us, self.kernel.now_us()) if cause != DEEP_SLEEP else self.time_us
        boot = self.costs["boot"]
        lasts_ms = {DEEP_SLEEP: boot["wake_ms"], SOFT: boot["soft_ms"]}.get(cause, boot["power_on_ms"])
        self.time_us = start_us + lasts_ms * 1000
        self.ledger.spend("boot", lasts_ms * 1000)
        self._awake_since = self.time_us
        self.boots.append((start_us, cause))
        self._run += 1
        self.ready = False
        self.stopped = False
        self.processor = Processor(
            self.flash.path, self.console, run_main=self.run_main, heap=self.settings.heap
        )
        self.kernel.watch(self, self.processor)
        return None

    def halt(self) -> None:
        """Stop the processor; pins float, the radio keeps running (it has its own supply)."""
        if self.processor is not None:
            self.kernel.unwatch(self.processor)
            self.processor.kill()
            self.processor = None
            self.ledger.spend("active", self.time_us - self._awake_since)
        self.backlog.clear()
        self._irq.clear()
        self._watchdog_ms = 0
        self.wiring.reset_pins()

    def processor_ended(self) -> None:
        """The process left by itself: a soft reset, or the end of input at the prompt in virtual time."""
        if self.processor is not None:
            self.processor.kill()
            self.processor = None
            self.ledger.spend("active", self.time_us - self._awake_since)
        if self.kernel.realtime:
            self.on_prompt()
        else:
            self.stopped = True

    def _sleep_deep(self, request: Request) -> None:
        (asked_ms,) = struct.unpack("<Q", request.data[:8])
        self.deep_sleeps += 1
        now = self.time_us
        self.halt()
        _, pins = self._wake_pins
        asked_us = asked_ms * 1000 if asked_ms else 1 << 55
        lasts_us = int(asked_us * (1 + self.settings.drift_ppm / 1e6))
        self.rtc.sleep(now, asked_us, lasts_us)
        wake_us = now + lasts_us
        self.time_us = wake_us
        if not self.may_wake(wake_us):
            self.stopped = True
            return
        self.ledger.spend("deep_sleep", lasts_us)
        if self.kernel.realtime or pins:
            run = self._run
            self.kernel.call_at(wake_us, lambda: self._wake_up(run))
        else:
            self.boot(DEEP_SLEEP, TIMER_WAKE)

    def _wake_up(self, run: int) -> None:
        if run == self._run and self.processor is None:
            self.boot(DEEP_SLEEP, TIMER_WAKE)

    @property
    def asleep(self) -> bool:
        """Whether the board is in deep sleep (or stopped): there is no processor to talk to."""
        return self.processor is None

    # What the processor asks

    def is_ordered(self, request: Request) -> bool:
        """Requests that reach the radio, or wait for interrupts, keep the world's order."""
        if request.op in (Op.SPI_TRANSFER, Op.SPI_WRITE):
            return self.wiring.is_radio_bus(request.a)
        if request.op in (Op.PIN_SET, Op.PIN_GET, Op.PIN_MODE):
            return request.a in self.wiring.radio_pins
        return request.op in ORDERED_ALWAYS

    def serve(self, request: Request) -> None:
        """Do what the processor asks."""
        if self.processor is None:
            return
        now = self.kernel.now_us() if self.kernel.realtime else request.time_us
        self.time_us = max(self.time_us, now)
        if self._watchdog_ms and self.time_us - self._watchdog_us > self._watchdog_ms * 1000:
            self._reset(WATCHDOG)
            return
        try:
            _HANDLERS[request.op](self, request)
        except Violation as violation:
            self.violations.append(f"{self.time_us / 1e6:.6f} s: {violation}")
            self.halt()
            self.stopped = True
            self.on_reset(0)

    def answer(self, request: Request, value: int = 0, took_us: int = 0, data: bytes = b"") -> None:
        """Let ``took_us`` pass, and reply unless the request was posted."""
        self.time_us += took_us
        if self.processor is not None and request.op not in POSTED:
            self.processor.answer(request, value, self.time_us, data)

    def _reset(self, cause: int) -> None:
        self.halt()
        self.run_main = True
        self.on_reset(cause)
        self.boot(cause)

    def _boot(self, request: Request) -> None:
        processor = self.costs["processor"]
        chip = self.board.chip
        facts = {
            "costs": processor,
            "realtime": self.kernel.realtime,
            "base_us": self.kernel.base_us if isinstance(self.kernel, RealtimeKernel) else 0,
            "rtc_us": self.rtc.now_us(self.time_us),
            "rtc_at_us": self.time_us,
            "cause": self._cause,
            "wake": self._wake,
            "mac": list(self.settings.mac),
            "cpu_hz": self.board.cpu_frequency_hz,
            "gpios": GPIOS[chip],
            "pcnt": chip != "esp32c3",
            "ext0": chip != "esp32c3",
            "ulp": self.ulp is not None,
            "machine": f"Generic {MACHINES[chip]} module with {MACHINES[chip]}",
            "partitions": [
                (part.type, part.subtype, part.offset, part.size, part.label, False)
                for part in self.partitions
            ],
        }
        self.answer(request, 0, 0, json.dumps(facts).encode())

    def _pin_irq(self, request: Request) -> None:
        if request.b:
            self._irq[request.a] = (request.b, self.wiring.get_level(request.a))
        else:
            self._irq.pop(request.a, None)
        self.answer(request)

    def _pending_irq(self, *, take: bool) -> bytes:
        pending = bytearray()
        for pin, (trigger, last) in list(self._irq.items()):
            level = self.wiring.get_level(pin)
            if (level and not last and trigger & 1) or (last and not level and trigger & 2):
                pending.append(pin)
            if take:
                self._irq[pin] = (trigger, level)
        return bytes(pending)

    def _irq_take(self, request: Request) -> None:
        self.answer(request, 0, 0, self._pending_irq(take=True))

    def _sleep(self, request: Request) -> None:
        (left_us,) = struct.unpack("<Q", request.data)
        nap_us = min(left_us, 1000) if self._irq and not self._pending_irq(take=False) else 0
        if not self._irq:
            nap_us = left_us
        if not self.kernel.realtime:
            self.answer(request, 0, nap_us)
            return
        run = self._run

        def answer() -> None:
            if run == self._run and self.processor is not None:
                self.processor.answer(request, 0, self.kernel.now_us())

        self.kernel.call_at(self.kernel.now_us() + nap_us, answer)

    def _reset_request(self, request: Request) -> None:
        self._reset(WATCHDOG if request.a else HARD)

    def _light_sleep(self, request: Request) -> None:
        (asked_ms,) = struct.unpack("<Q", request.data[:8])
        lasts_us = int(asked_ms * 1000 * (1 + self.settings.drift_ppm / 1e6))
        skew_us = lasts_us - asked_ms * 1000
        self.rtc.lag(skew_us)
        self.ledger.spend("light_sleep", lasts_us)
        self._awake_since += lasts_us
        if not self.kernel.realtime:
            self.answer(request, LARGEST_SKEW + skew_us, lasts_us)
            return
        run = self._run

        def answer() -> None:
            if run == self._run and self.processor is not None:
                self.processor.answer(request, LARGEST_SKEW + skew_us, self.kernel.now_us())

        self.kernel.call_at(self.kernel.now_us() + lasts_us, answer)

    def _wdt_start(self, request: Request) -> None:
        self._watchdog_ms = request.b
        self._feed(request)

    def _feed(self, request: Request) -> None:
        self._watchdog_us = self.time_us
        self.answer(request)
        if self.kernel.realtime and self._watchdog_ms:
            run, fed_us = self._run, self._watchdog_us

            def bite() -> None:
                if run == self._run and self._watchdog_us == fed_us and self._watchdog_ms:
                    self._reset(WATCHDOG)

            self.kernel.call_at(fed_us + self._watchdog_ms * 1000, bite)

    def _wake_pins_set(self, request: Request) -> None:
        self._wake_pins = (request.a, request.data)
        self.answer(request)

    def _ready(self, request: Request) -> None:
        self.ready = True
        self.on_ready()


_HANDLERS: dict[Op, Callable[[VirtualProcessorBoard, Request], None]] = {
    **REQUESTS,
    Op.PIN_IRQ: VirtualProcessorBoard._pin_irq,
    Op.IRQ_TAKE: VirtualProcessorBoard._irq_take,
    Op.RESET: VirtualProcessorBoard._reset_request,
    Op.DEEP_SLEEP: VirtualProcessorBoard._sleep_deep,
    Op.LIGHT_SLEEP: VirtualProcessorBoard._light_sleep,
    Op.WDT_START: VirtualProcessorBoard._wdt_start,
    Op.WDT_FEED: VirtualProcessorBoard._feed,
    Op.SLEEP: VirtualProcessorBoard._sleep,
    Op.WAKE_PINS: VirtualProcessorBoard._wake_pins_set,
    Op.BOOT: VirtualProcessorBoard._boot,
    Op.READY: VirtualProcessorBoard._ready,
}
