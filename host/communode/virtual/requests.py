# SPDX-License-Identifier: MIT
"""What the processor asks of chips and memories: each request answered at once, with the time that it takes.

Pins and buses reach the chips through `wiring`; flash, NVS and RTC memory are the board's own. What changes
the board itself (boot, reset, sleep, interrupts, watchdog) is in `board`. Durations are those of
``costs.toml``, of the bits on a wire, or named here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from communode.virtual.chips.chip import Violation
from communode.virtual.nvs import NvsPartition
from communode.virtual.nvs_error import NvsError
from communode.virtual.protocol import Op, Request
from communode.virtual.rtc import MEMORY_SIZE
from communode.virtual.wiring import EIO, ENODEV

if TYPE_CHECKING:
    from communode.virtual.board import VirtualProcessorBoard

_SECTOR = 4096
_PAGE = 256
_I32 = 0x14  # type code of an NVS entry; anything else is a blob here

# Estimates, in microseconds. 1-Wire: DS18B20 datasheet, reset 2 x 480, slots of 60 to 120 and a recovery.
_ADC_US = 40
_WIRE_RESET_US, _WIRE_SLOT_US = 960, 65
_NVS_READ_US, _NVS_WRITE_US, _NVS_FAIL_US = 200, 3000, 100
_RTC_MEMORY_US = 20
_RANDOM_US = 5
_ULP_CALL_US = 12  # ulp_run waits for 10
_FLASH_CALL_US = 10


# Pins


def _pin_mode(board: VirtualProcessorBoard, request: Request) -> None:
    board.wiring.set_mode(request.a, request.b & 0xF, request.b >> 4)
    board.answer(request)


def _pin_set(board: VirtualProcessorBoard, request: Request) -> None:
    board.wiring.set_level(request.a, request.b)


def _pin_get(board: VirtualProcessorBoard, request: Request) -> None:
    board.answer(request, board.wiring.get_level(request.a))


def _counter(board: VirtualProcessorBoard, request: Request) -> None:
    board.answer(request, -EIO)  # no chip of today's profiles drives a counter input


def _adc_read(board: VirtualProcessorBoard, request: Request) -> None:
    volts = board.world.value("battery_v", board.time_us)
    board.answer(request, board.wiring.adc_uv(request.a, volts), _ADC_US)


# Buses


def _i2c_init(board: VirtualProcessorBoard, request: Request) -> None:
    board.wiring.init_i2c(request.a, request.b, request.data)
    board.answer(request)


def _i2c_write(board: VirtualProcessorBoard, request: Request) -> None:
    acknowledged, wire_us = board.wiring.write_i2c(request.a, request.b & 0x7F, request.data)
    board.answer(request, acknowledged, wire_us)


def _i2c_read(board: VirtualProcessorBoard, request: Request) -> None:
    data, wire_us = board.wiring.read_i2c(request.a, request.b & 0x7F, request.b >> 8)
    board.answer(request, -ENODEV if data is None else 0, wire_us, data or b"")


def _spi_init(board: VirtualProcessorBoard, request: Request) -> None:
    board.wiring.init_spi(request.a, request.b, request.data)
    board.answer(request)


def _spi_transfer(board: VirtualProcessorBoard, request: Request) -> None:
    data, wire_us = board.wiring.transfer_spi(request.a, request.data)
    board.answer(request, 0, wire_us, data)


def _uart_init(board: VirtualProcessorBoard, request: Request) -> None:
    board.wiring.init_uart(request.a, request.b, request.data, board.time_us)
    board.answer(request)


def _uart_write(board: VirtualProcessorBoard, request: Request) -> None:
    board.answer(request, len(request.data), board.wiring.write_uart(request.a, request.data))


def _uart_read(board: VirtualProcessorBoard, request: Request) -> None:
    waiting = board.wiring.waiting_uart(request.a, board.time_us)
    count = len(waiting) if request.b < 0 else min(request.b, len(waiting))
    data = bytes(waiting[:count])
    del waiting[:count]
    board.answer(request, 0, 0, data)


def _uart_any(board: VirtualProcessorBoard, request: Request) -> None:
    board.answer(request, len(board.wiring.waiting_uart(request.a, board.time_us)))


def _i2s_init(board: VirtualProcessorBoard, request: Request) -> None:
    board.wiring.init_i2s(request.a, request.b, request.data)
    board.answer(request)


def _i2s_read(board: VirtualProcessorBoard, request: Request) -> None:
    data, took_us = board.wiring.read_i2s(request.a, request.b, board.time_us)
    board.answer(request, len(data), took_us, data)


def _wire_reset(board: VirtualProcessorBoard, request: Request) -> None:
    board.answer(request, board.wiring.reset_wire(request.a), _WIRE_RESET_US)


def _wire_write(board: VirtualProcessorBoard, request: Request) -> None:
    board.wiring.write_wire(request.a, request.data, request.b)
    board.answer(request, 0, _WIRE_SLOT_US * request.b)


def _wire_read(board: VirtualProcessorBoard, request: Request) -> None:
    board.answer(request, 0, _WIRE_SLOT_US * request.b, board.wiring.read_wire(request.a, request.b))


# Memories


def _flash_read(board: VirtualProcessorBoard, request: Request) -> None:
    took_us = _FLASH_CALL_US + request.a * board.costs["flash"]["read_us_per_kb"] // 1024
    board.answer(request, 0, took_us, board.flash.read(request.b, request.a))


def _flash_program(board: VirtualProcessorBoard, request: Request) -> None:
    pages = (len(request.data) + _PAGE - 1) // _PAGE
    board.flash.program(request.b, request.data)
    board.answer(request, 0, pages * board.costs["flash"]["program_us_per_256"])


def _flash_erase(board: VirtualProcessorBoard, request: Request) -> None:
    board.flash.erase(request.b, _SECTOR)
    board.answer(request, 0, board.costs["flash"]["erase_us"])


def _open_nvs(board: VirtualProcessorBoard) -> NvsPartition:
    if board.nvs is None:
        part = next(part for part in board.partitions if part.label == "nvs")
        board.nvs = NvsPartition.boot(board.flash, part.offset, part.size)
    return board.nvs


def _nvs(board: VirtualProcessorBoard, request: Request) -> None:
    space, _, rest = request.data.partition(b"\0")
    key, _, blob = rest.partition(b"\0")
    store, name, entry = _open_nvs(board), space.decode(), key.decode()
    kind = "i32" if request.a == _I32 else "blob"
    try:
        if request.op == Op.NVS_GET:
            value = store.get(name, entry, kind)
            assert not isinstance(value, str)
            data = value.to_bytes(4, "little", signed=True) if isinstance(value, int) else value
            board.answer(request, 0, _NVS_READ_US, data)
            return
        if request.op == Op.NVS_SET:
            store.set(name, entry, kind, request.b if kind == "i32" else blob)
        elif request.op == Op.NVS_ERASE:
            store.erase_key(name, entry)
    except NvsError as error:
        board.answer(request, -error.code, _NVS_FAIL_US)
        return
    board.answer(request, 0, _NVS_WRITE_US)


def _nvs_commit(board: VirtualProcessorBoard, request: Request) -> None:
    board.answer(request)  # NVS_SET wrote it already, as ESP-IDF does


def _rtc_get(board: VirtualProcessorBoard, request: Request) -> None:
    board.answer(request, 0, _RTC_MEMORY_US, board.rtc.memory)


def _rtc_put(board: VirtualProcessorBoard, request: Request) -> None:
    board.rtc.memory = request.data[:MEMORY_SIZE]
    board.answer(request, 0, _RTC_MEMORY_US)


def _rtc_set(board: VirtualProcessorBoard, request: Request) -> None:
    board.rtc.set_us(struct.unpack("<q", request.data)[0], board.time_us)
    board.answer(request)


# The ULP coprocessor


def _ulp(board: VirtualProcessorBoard, request: Request) -> None:
    ulp, now_us = board.ulp, board.time_us
    if ulp is None:
        raise Violation(f"{request.op.name}: no ULP on this chip")
    value = 0
    if request.op == Op.MEM_READ:
        value = ulp.read(request.b, now_us)
    elif request.op == Op.MEM_WRITE:
        ulp.write(request.b, int.from_bytes(request.data, "little"), now_us)
    elif request.op == Op.ULP_PERIOD:
        ulp.set_period(request.b)
    elif request.op == Op.ULP_LOAD:
        ulp.load(request.b, request.data, now_us)
    else:
        ulp.run(request.b, now_us)
    board.answer(request, value, _ULP_CALL_US)


def _random(board: VirtualProcessorBoard, request: Request) -> None:
    board.answer(request, 0, _RANDOM_US, board.rng.randbytes(request.b))


def _note(board: VirtualProcessorBoard, request: Request) -> None:
    """A mark of the firmware for the energy ledger; nothing answers."""


REQUESTS: dict[Op, Callable[[VirtualProcessorBoard, Request], None]] = {
    Op.PIN_MODE: _pin_mode,
    Op.PIN_SET: _pin_set,
    Op.PIN_GET: _pin_get,
    Op.COUNTER: _counter,
    Op.ADC_READ: _adc_read,
    Op.I2S_INIT: _i2s_init,
    Op.I2S_READ: _i2s_read,
    Op.I2C_INIT: _i2c_init,
    Op.I2C_WRITE: _i2c_write,
    Op.I2C_READ: _i2c_read,
    Op.SPI_INIT: _spi_init,
    Op.SPI_TRANSFER: _spi_transfer,
    Op.SPI_WRITE: _spi_transfer,
    Op.UART_INIT: _uart_init,
    Op.UART_WRITE: _uart_write,
    Op.UART_READ: _uart_read,
    Op.UART_ANY: _uart_any,
    Op.WIRE_RESET: _wire_reset,
    Op.WIRE_WRITE: _wire_write,
    Op.WIRE_READ: _wire_read,
    Op.FLASH_READ: _flash_read,
    Op.FLASH_PROGRAM: _flash_program,
    Op.FLASH_ERASE: _flash_erase,
    Op.NVS_GET: _nvs,
    Op.NVS_SET: _nvs,
    Op.NVS_ERASE: _nvs,
    Op.NVS_COMMIT: _nvs_commit,
    Op.RTC_GET: _rtc_get,
    Op.RTC_PUT: _rtc_put,
    Op.RTC_SET: _rtc_set,
    Op.MEM_READ: _ulp,
    Op.MEM_WRITE: _ulp,
    Op.ULP_PERIOD: _ulp,
    Op.ULP_LOAD: _ulp,
    Op.ULP_RUN: _ulp,
    Op.RANDOM: _random,
    Op.NOTE: _note,
}
"""The operations that need nothing of the board's life; `board` adds its own."""
