# SPDX-License-Identifier: MIT
"""A virtual board at a serial port, in real time: what a tool on the other end of the cable meets.

Joins a board, its ROM loader and a serial end: resets by modem lines (or, on a pseudo-terminal or a plain
socket, which have none, by what they would have been used for), the console of the running application, soft
resets of its prompt. Chips, flash and time are elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import re
import termios
import time

from communode.virtual.board import SOFT, VirtualProcessorBoard
from communode.virtual.bootable import boot_banner
from communode.virtual.kernel import RealtimeKernel
from communode.virtual.ports import Rfc2217End, SerialEnd
from communode.virtual.reset_circuit import ResetCircuit
from communode.virtual.rom import SYNC_REQUEST, RomLoader

_RAW_PROMPT = b"raw REPL; CTRL-B to exit\r\n>"
_BANNER_START = b"MicroPython "
_BANNER_END = b'Type "help()" for more information.'
_MOUNT_REQUEST = b"\x18"  # how mpremote's mounted folder asks the computer; binary until the answer
_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")
_SYNC_MARK = SYNC_REQUEST[:14]  # enough to be sure; the rest may come in the next portion
_CTRL_C = b"\x03"
_PORTION = 2048
_BUSY_S = 0.5  # of processor time: several times that of importing the whole application


class Station:
    """One board, one port. `service` is called by the kernel whenever the port has something."""

    def __init__(
        self, board: VirtualProcessorBoard, end: SerialEnd, kernel: RealtimeKernel, *, boot_held: bool = False
    ) -> None:
        self.board = board
        self._boot_held = boot_held  # the BOOT button is held down: every reset leads to the loader
        self.end = end
        self._kernel = kernel
        self._service_us: int | None = None  # when `service` is to be called next
        self._unplugged = False
        self._rom = RomLoader(
            board.flash, board.identity, end.write, on_run_app=self._run_app, line_rate=lambda: end.baud
        )
        self._circuit = ResetCircuit(self._reset_into, self._hold)
        self._has_lines = isinstance(end, Rfc2217End)
        self._in_rom = False
        self._raw = False  # the prompt is the raw REPL
        self._swallow = False  # hide the new prompt's banner until the raw REPL is back
        self._master = -1
        self._slave = -1
        self._input = bytearray()
        self._held_at_s: float | None = None  # processor time used when Ctrl-C was first held back
        self._output = bytearray()
        self._tail = b""  # output in which the raw prompt may still begin
        self._recent = b""
        self._last = b""  # last byte that was passed on
        self._verbatim = False  # a request of a mounted folder is under way
        end.on_bytes = self._from_host
        end.on_lines = self._lines
        end.on_open = self._opened
        end.on_close = self._closed
        board.on_prompt = self._soft_reset
        board.on_reset = self._renew_console
        board.on_ready = self._push_input
        kernel.watch_file(end.fileno(), self.service)

    @property
    def in_loader(self) -> bool:
        """Whether the chip's loader answers, and not the application."""
        return self._in_rom

    def power_on(self) -> None:
        """Plug the board in."""
        self._start_application()

    def close(self) -> None:
        """Unplug it."""
        self._unplugged = True
        self.board.halt()
        self._drop_console()
        self._kernel.unwatch_file(self.end.fileno())
        self.end.close()

    def service(self) -> None:
        """Let the serial end move its bytes, and come back when it wants."""
        self.end.service()
        self._circuit.advance(time.monotonic())
        self._arrange()

    def _arrange(self) -> None:
        """Have `service` called when the end or the reset circuit wants it, unless it will be."""
        dues = [due for due in (self.end.due(), self._circuit.due()) if due is not None]
        if not dues:
            return
        due_us = self._kernel.now_us() + max(0, int((min(dues) - time.monotonic()) * 1e6))
        if self._service_us is None or due_us < self._service_us:
            self._service_us = due_us
            self._kernel.call_at(due_us, lambda: self._serve_at(due_us))

    def _serve_at(self, due_us: int) -> None:
        if self._service_us == due_us:  # else an earlier call was arranged meanwhile
            self._service_us = None
            if not self._unplugged:
                self.service()

    # Resets

    def _lines(self, dtr: bool, rts: bool) -> None:
        self._circuit.set_lines(dtr, rts, time.monotonic())

    def _hold(self) -> None:
        self.board.halt()

    def _reset_into(self, where: str) -> None:
        if where == "rom":
            self.board.halt()
            self._in_rom = True
            self._rom.enter()
        else:
            self._start_application()

    def _run_app(self) -> None:
        self._start_application()

    def _start_application(self) -> None:
        """EN has risen with GPIO0 high: a power-on reset."""
        if self._boot_held:
            self._in_rom = True
            self._rom.enter()
            return
        self._in_rom = False
        self._raw = self._swallow = False
        self.end.write(boot_banner(self.board.board.chip))
        self._renew_console(1)
        self.board.run_main = True
        fault = self.board.power_on()
        if fault is not None:
            self.end.write(fault.encode() + b"\r\n")

    def _opened(self) -> None:
        if not self._has_lines and self.board.asleep and not self._in_rom:
            # No modem lines, so nothing could wake the board: opening the port presses its reset button.
            self._start_application()

    def _closed(self) -> None:
        if not self._has_lines and self._in_rom:
            self._start_application()

    def _soft_reset(self) -> None:
        """The prompt was left by Ctrl-D: the image soft-resets, keeping the kind of prompt."""
        raw = self._raw
        self._flush_output()
        self.end.write(b"MPY: soft reboot\r\n")
        self._renew_console(SOFT)
        self.board.run_main = not raw
        if raw:
            self._swallow = True
            self._input += b"\x01"
        self.board.boot(SOFT)
        self._push_input()

    # Console

    def _renew_console(self, cause: int) -> None:
        self._drop_console()
        if not cause:
            return
        self._raw = self._raw and cause == SOFT
        self._held_at_s = None
        self._input.clear()
        self._output.clear()
        self._master, self._slave = os.openpty()
        attributes = termios.tcgetattr(self._slave)
        attributes[0] &= ~(termios.ICRNL | termios.IXON | termios.INLCR)
        attributes[1] &= ~termios.OPOST
        attributes[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN)
        # Ctrl-C interrupts what runs, and takes nothing from what was printed; the prompt needs no signal.
        attributes[3] |= termios.ISIG | termios.NOFLSH
        attributes[6][termios.VQUIT] = attributes[6][termios.VSUSP] = b"\0"
        termios.tcsetattr(self._slave, termios.TCSANOW, attributes)
        os.set_blocking(self._master, False)
        self.board.console = (self._slave, self._slave)
        self._kernel.watch_file(self._master, self._from_board)

    def _drop_console(self) -> None:
        if self._master >= 0:
            self._from_board()
            self._kernel.unwatch_file(self._master)
            os.close(self._master)
            os.close(self._slave)
            self._master = self._slave = -1

    def _from_host(self, data: bytes) -> None:
        if self._in_rom:
            self._rom.feed(data)
            return
        self._recent = (self._recent + data)[-256:] if len(data) < 256 else data
        at = self._recent.find(_SYNC_MARK)
        if at >= 0 and not self._has_lines:
            self.board.halt()
            self._in_rom = True
            self._rom.reset()
            self._rom.feed(self._recent[at:])
            self._recent = b""
            return
        self._verbatim = False
        if self._master >= 0 and not self.board.asleep:
            self._input += data
            self._push_input()

    def _push_input(self) -> None:
        """Hand input on. While the image boots it waits, as in a UART's FIFO: a Ctrl-C would hit the boot."""
        if self._master < 0 or not self._input or not self.board.ready:
            return
        with contextlib.suppress(BlockingIOError):
            written = os.write(self._master, self._input[: self._portion()])
            del self._input[:written]
        if self._input:
            self._kernel.call_at(self._kernel.now_us() + 1000, self._push_input)

    def _portion(self) -> int:
        """How much of the input may be handed on now: not beyond a Ctrl-C that would do harm.

        The unix port answers the signal with a long jump from wherever it is. In the middle of an import that
        leaves the lock of its names closed for good, and the board hangs at the next new name; just before
        the prompt, or just after, the signal ends the process. At the prompt Ctrl-C is a character, and a
        processor that waits in a system call holds no lock. One that never waits is interrupted in the end.
        """
        processor = self.board.processor
        if processor is None or not termios.tcgetattr(self._slave)[3] & termios.ISIG:
            self._held_at_s = None
            return _PORTION
        at = self._input.find(_CTRL_C, 0, _PORTION)
        if at:
            return at if at > 0 else _PORTION
        waits, used_s = processor.activity()
        if self._held_at_s is None:
            self._held_at_s = used_s
        if not waits and used_s - self._held_at_s < _BUSY_S:
            return 0
        self._held_at_s = None
        return 1

    def _from_board(self) -> None:
        while self._master >= 0:
            try:
                data = os.read(self._master, 65536)
            except OSError:
                return
            if not data:
                return
            self._output += data
            self._flush_output()
            self._arrange()  # a paced line passes on later what it was given now

    def _flush_output(self) -> None:
        """Pass the application's output on, with the banner of the image it stands for."""
        output = self._output
        if self._swallow:
            at = output.find(_RAW_PROMPT)
            if at < 0:
                return
            del output[:at]
            self._swallow = False
        raw = self._raw
        at = output.find(_BANNER_START)
        if at >= 0:
            end = output.find(_BANNER_END, at)
            if end < 0 and len(output) - at < 200:
                self._pass_on(bytes(output[:at]), raw)
                del output[:at]
                return
            if end >= 0 and b"; linux" in output[at:end]:
                self._raw = False
                self._pass_on(bytes(output[:at]), raw)
                output[:end] = self._banner()
                raw = False
        seen = self._tail + output
        if _RAW_PROMPT in seen:
            self._raw = True
        self._tail = bytes(seen[-len(_RAW_PROMPT) + 1 :])
        self._pass_on(bytes(output), raw)
        output.clear()

    def _pass_on(self, data: bytes, raw: bool) -> None:
        """Write to the port, each line ended by CR LF as the image's console does.

        The unix port ends lines with LF. What is written past the console (`sys.stdout.buffer`) cannot be
        told apart here, so nothing is changed where tools send binary: in the raw REPL, and in requests of a
        mounted folder.
        """
        if not raw and not self._verbatim:
            plain, mark, request = data.partition(_MOUNT_REQUEST)
            self._verbatim = bool(mark)
            cooked = _BARE_NEWLINE.sub(b"\r\n", self._last + plain)[len(self._last) :]
            data = cooked + mark + request
        if data:
            # A lone LF after a CR of the portion before must find that CR; any other byte does not matter.
            self._last = b"\r" if data.endswith(b"\r") else b""
            self.end.write(data)

    def _banner(self) -> bytes:
        machine = {"esp32": "ESP32", "esp32s3": "ESP32S3", "esp32c3": "ESP32C3"}[self.board.board.chip]
        return f"MicroPython v1.27.0 on 2025-12-09; Generic {machine} module with {machine}\r\n".encode()
