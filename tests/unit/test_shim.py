# SPDX-License-Identifier: MIT
"""The modules that make MicroPython's unix port an ESP32: what a program sees of `machine`, `esp32`, `time`.

Each test runs a program as main.py of a virtual board. Expectations are those of MicroPython 1.27's ESP32
port: docs.micropython.org/en/v1.27.0 (library machine, esp32, time) and ports/esp32 of that version.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from communode.virtual.bootable import read_partitions
from communode.virtual.kernel import RealtimeKernel
from program_board import RADIO_UP, ProgramBoard, run_program

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("micropython")]


# time


def test_ticks_wrap_at_2_to_the_30_and_diff_sees_through_it(tmp_path: Path) -> None:
    lines = run_program(
        tmp_path,
        """
        import time
        print(time.ticks_add((1 << 30) - 5, 10), time.ticks_add(3, -5) == (1 << 30) - 2)
        print(time.ticks_diff(5, (1 << 30) - 5), time.ticks_diff((1 << 30) - 5, 5))
        print(time.ticks_diff(1 << 29, 0), time.ticks_diff((1 << 29) - 1, 0))
        before = time.ticks_us()
        time.sleep(1080)
        after = time.ticks_us()
        print(0 <= after < 1 << 30, after - before in range(6_258_176, 6_259_000))
        """,
    )
    assert lines == ["5 True", "10 -10", "-536870912 536870911", "True True"]


def test_time_counts_from_2000_and_starts_at_zero_with_power(tmp_path: Path) -> None:
    lines = run_program(
        tmp_path,
        """
        import time, machine
        print(time.time() < 5, time.gmtime()[:3], time.gmtime(0), len(time.localtime()))
        print(time.mktime((2026, 3, 2, 12, 0, 0, 0, 0)))
        machine.RTC().datetime((2026, 3, 2, 0, 12, 30, 0, 0))
        time.sleep(90)
        print(machine.RTC().datetime()[:7], time.gmtime()[:6])
        """,
    )
    assert lines == [
        "True (2000, 1, 1) (2000, 1, 1, 0, 0, 0, 5, 1) 8",
        "825768000",
        "(2026, 3, 2, 0, 12, 31, 30) (2026, 3, 2, 12, 31, 30)",
    ]


def test_a_day_asleep_takes_no_wall_time_and_a_look_at_the_clock_some_virtual(tmp_path: Path) -> None:
    program = """
        import time
        first, second = time.ticks_us(), time.ticks_us()
        print(0 < time.ticks_diff(second, first) < 100)
        begun = time.time()
        time.sleep(86400)
        print(time.time() - begun)
        """
    begun = time.monotonic()
    assert run_program(tmp_path, program) == ["True", "86400"]
    assert time.monotonic() - begun < 60


# Resets and what survives them


def test_rtc_memory_survives_deep_sleep_and_reset_but_not_power_loss(tmp_path: Path) -> None:
    program = """
        import machine
        memory = machine.RTC().memory()
        print(machine.reset_cause(), machine.wake_reason(), memory)
        if memory == b"":
            machine.RTC().memory(b"one")
            machine.deepsleep(10_000)
        elif memory == b"one":
            machine.RTC().memory(b"two")
            machine.reset()
        """
    expected = ["1 0 b''", "4 4 b'one'", "2 0 b'two'"]
    with ProgramBoard(tmp_path, program) as board:
        assert board.run().splitlines() == expected
        assert [cause for _, cause in board.body.boots] == [1, 4, 2]
        assert board.run().splitlines() == expected, "power on again: the memory is empty"


def test_rtc_memory_holds_2048_bytes(tmp_path: Path) -> None:
    lines = run_program(
        tmp_path,
        """
        import machine
        rtc = machine.RTC()
        rtc.memory(bytes(range(256)) * 8)
        print(rtc.memory() == bytes(range(256)) * 8)
        try:
            rtc.memory(bytes(2049))
        except ValueError as error:
            print("ValueError", len(rtc.memory()))
        """,
    )
    assert lines == ["True", "ValueError 2048"]


@pytest.mark.parametrize("drift_ppm", [-5000, 0, 5000])
def test_deep_sleep_lasts_as_long_as_its_oscillator_says_and_the_rtc_believes_it(
    drift_ppm: int, tmp_path: Path
) -> None:
    program = """
        import machine, time
        if machine.reset_cause() == machine.PWRON_RESET:
            machine.RTC().memory(str(time.time_ns() // 1000).encode())
            machine.deepsleep(1_000_000)
        print(time.time_ns() // 1000 - int(machine.RTC().memory()))
        """
    with ProgramBoard(tmp_path, program, drift_ppm=drift_ppm) as board:
        believed_us = int(board.run())
        (_, _), (woke_us, cause) = board.body.boots
    assert cause == 4
    assert 1_000_000_000 <= believed_us < 1_000_300_000  # asked, and the way to main.py
    slept_us = 1_000_000_000 * (1_000_000 + drift_ppm) // 1_000_000
    assert slept_us <= woke_us < slept_us + 1_500_000


@pytest.mark.parametrize("drift_ppm", [-5000, 0, 5000])
def test_light_sleep_takes_real_time_that_the_ticks_do_not_fully_see(drift_ppm: int, tmp_path: Path) -> None:
    program = """
        import machine, time
        machine.Pin(2, machine.Pin.OUT, value=1)
        kept = [1, 2, 3]
        before = time.ticks_us()
        machine.lightsleep(100_000)
        print(time.ticks_diff(time.ticks_us(), before), kept, machine.Pin(2).value())
        """
    with ProgramBoard(tmp_path, program, drift_ppm=drift_ppm) as board:
        believed_us, rest = board.run().split(" ", 1)
        slept_us = board.body.ledger.time_us["light_sleep"]
    assert abs(slept_us - 100_000 * (1_000_000 + drift_ppm) // 1000) <= 1
    assert rest == "[1, 2, 3] 1\n"
    assert 100_000_000 <= int(believed_us) < 100_001_000


def test_soft_reset_and_hard_reset_differ_in_their_cause(tmp_path: Path) -> None:
    with ProgramBoard(tmp_path, "import machine\nprint(machine.reset_cause())") as board:
        board.run()
        for cause in (5, 3, 2):
            board.body.boot(cause)
            board.kernel.run()
        assert board.printed.splitlines() == ["1", "5", "3", "2"]
        assert [cause for _, cause in board.body.boots] == [1, 5, 3, 2]


# Flash


def test_nvs_keeps_integers_and_blobs_over_power_loss(tmp_path: Path) -> None:
    program = """
        import esp32
        store = esp32.NVS("test")
        try:
            print(store.get_i32("number"))
        except OSError as error:
            print("OSError", error.args[0])
        buffer = bytearray(8)
        try:
            print(store.get_blob("blob", buffer), buffer)
        except OSError as error:
            print("OSError", error.args[0])
        store.set_i32("number", -7)
        store.set_blob("blob", b"\\x00\\x01\\xff")
        store.commit()
        try:
            store.get_blob("blob", bytearray(2))
        except OSError as error:
            print("OSError", error.args[0])
        try:
            esp32.NVS("other").get_i32("number")
        except OSError as error:
            print("OSError", error.args[0])
        """
    missing, short = "OSError -4354", "OSError -4364"  # ESP_ERR_NVS_NOT_FOUND, ESP_ERR_NVS_INVALID_LENGTH
    with ProgramBoard(tmp_path, program) as board:
        assert board.run().splitlines() == [missing, missing, short, missing]
        blob = "3 bytearray(b'\\x00\\x01\\xff\\x00\\x00\\x00\\x00\\x00')"
        assert board.run().splitlines() == ["-7", blob, short, missing]


def test_partitions_are_those_of_the_flashed_table(tmp_path: Path) -> None:
    lines = run_program(
        tmp_path,
        """
        from esp32 import Partition
        print([part.info()[4] for part in Partition.find(Partition.TYPE_DATA)])
        part = Partition.find(Partition.TYPE_DATA, label="journal")[0]
        kind, subtype, address, size, label, encrypted = part.info()
        print(kind, label, encrypted, part.ioctl(4, 0) * part.ioctl(5, 0) == size, address % 4096)
        print(Partition.find(Partition.TYPE_DATA, label="nothing"), Partition(Partition.RUNNING).info()[4])
        """,
    )
    assert lines == ["['nvs', 'phy_init', 'vfs', 'state', 'journal']", "1 journal False True 0", "[] factory"]


def test_a_partition_programs_bits_down_and_erases_sectors(tmp_path: Path) -> None:
    program = """
        from esp32 import Partition
        part = Partition.find(Partition.TYPE_DATA, label="journal")[0]
        buffer = bytearray(4)
        part.readblocks(1, buffer, 100)
        print(bytes(buffer))
        part.ioctl(6, 1)
        part.writeblocks(1, b"abcd", 100)       # with an offset: programs, and never erases
        part.readblocks(1, buffer, 98)
        print(bytes(buffer))
        part.writeblocks(1, b"X" * 4096)        # without: erases first
        part.readblocks(1, buffer, 100)
        print(bytes(buffer))
        try:
            part.readblocks(part.ioctl(4, 0), buffer, 0)
        except OSError:
            print("beyond the end")
        """
    with ProgramBoard(tmp_path, program) as board:
        assert board.run().splitlines() == [
            "b'\\xff\\xff\\xff\\xff'",
            "b'\\xff\\xffab'",
            "b'XXXX'",
            "beyond the end",
        ]
        assert board.run().splitlines()[0] == "b'XXXX'"


def test_programming_what_was_not_erased_stops_the_board(tmp_path: Path) -> None:
    program = """
        from esp32 import Partition
        part = Partition.find(Partition.TYPE_DATA, label="journal")[0]
        part.writeblocks(0, b"\\x00", 0)
        part.writeblocks(0, b"\\xff", 0)
        print("never reached")
        """
    with ProgramBoard(tmp_path, program) as board:
        assert "never reached" not in board.run()
        assert len(board.body.violations) == 1
        assert "without an erase" in board.body.violations[0]


# Watchdog, timers, interrupts

WATCHDOG = """
    import machine, time
    if machine.reset_cause() == machine.WDT_RESET:
        print("bitten")
    else:
        dog = machine.WDT(timeout=500)
        for _ in range(4):
            time.sleep_ms(300)
            dog.feed()
        print("fed")
        while True:
            time.sleep_ms(20)
            machine.Pin(2).value()
    """


def test_a_hungry_watchdog_resets_a_virtual_day(tmp_path: Path) -> None:
    with ProgramBoard(tmp_path, WATCHDOG) as board:
        assert board.run().splitlines() == ["fed", "bitten"]
        (begun_us, _), (bitten_us, cause) = board.body.boots
    assert cause == 3
    assert 1_700_000 <= bitten_us - begun_us - 505_000 < 1_900_000


def test_a_hungry_watchdog_bites_in_real_time_even_a_program_that_asks_nothing(tmp_path: Path) -> None:
    kernel = RealtimeKernel(base_us=None)
    program = WATCHDOG.replace("machine.Pin(2).value()", "pass").replace("time.sleep_ms(20)", "pass")
    with ProgramBoard(tmp_path, program, kernel=kernel) as board:
        board.body.on_prompt = kernel.stop
        assert board.run(kernel.now_us() + 20_000_000).splitlines() == ["fed", "bitten"]
        (begun_us, _), (bitten_us, cause) = board.body.boots
    assert cause == 3
    assert 1_690_000 <= bitten_us - begun_us < 8_000_000, "no sooner than four feedings and a timeout"


def test_timers_fire_while_the_program_sleeps(tmp_path: Path) -> None:
    lines = run_program(
        tmp_path,
        """
        import machine, time
        seen = []
        begun = time.ticks_ms()
        def note(timer):
            seen.append((timer.id, time.ticks_diff(time.ticks_ms(), begun)))
        periodic, once = machine.Timer(0), machine.Timer(1)
        periodic.init(period=100, callback=note)
        once.init(mode=machine.Timer.ONE_SHOT, period=250, callback=note)
        time.sleep_ms(420)
        periodic.deinit()
        time.sleep_ms(300)
        print(seen)
        """,
    )
    assert lines == ["[(0, 100), (0, 200), (1, 250), (0, 300), (0, 400)]"]


def test_the_radio_interrupts_a_sleeping_program(tmp_path: Path) -> None:
    """An SX1262 that hears nothing for a second raises DIO1 (RxTxTimeout)."""
    lines = run_program(
        tmp_path,
        RADIO_UP
        + """
dio1 = Pin(14, Pin.IN)
command(0x8B, 7, 4, 1, 0)                       # SetModulationParams SF7, 125 kHz, 4/5
command(0x8C, 0, 8, 0, 255, 0, 1)               # SetPacketParams
command(0x08, 2, 0, 2, 0, 0, 0, 0, 0)           # SetDioIrqParams: RxTxTimeout on DIO1
seen = []
dio1.irq(lambda pin: seen.append(time.ticks_ms()), Pin.IRQ_RISING)
print(dio1.value())
begun = time.ticks_ms()
command(0x82, 0, 0xFA, 0)                       # SetRx, 1 s
time.sleep_ms(3000)
print(dio1.value(), len(seen), 1000 <= time.ticks_diff(seen[0], begun) < 1010)
command(0x02, 0xFF, 0xFF)                       # ClearIrqStatus
time.sleep_ms(1)
print(dio1.value())
""",
    )
    assert lines == ["0", "1 1 True", "0"]


# The process


def test_the_heap_does_not_know_where_on_this_computer_it_lives(tmp_path: Path) -> None:
    """A node reports its free memory: the length of a path here must not change what goes on air."""
    program = "import gc, sys\ngc.collect()\nprint(gc.mem_free(), sys.argv, sys.path)"
    deep = tmp_path / ("deep" * 20) / ("deeper" * 10)
    deep.mkdir(parents=True)
    lines = run_program(tmp_path, program)
    assert lines == run_program(deep, program)
    assert str(tmp_path) not in lines[0]


STUBBORN = """
    import machine, time
    while True:
        try:
            machine.Pin(2).value()
        except BaseException:
            pass
    """


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the kernel's parent-death signal")
def test_a_killed_supervisor_leaves_no_processor_behind(tmp_path: Path) -> None:
    """A program that catches everything would ask a dead board for ever."""
    supervisor = f"""
import os, signal, sys, threading
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from program_board import ProgramBoard
from test_shim import STUBBORN
board = ProgramBoard(Path({str(tmp_path)!r}), STUBBORN)
def die():
    print(board.body.processor.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
board.body.on_ready = threading.Timer(0.5, die).start
board.run()
"""
    done = subprocess.run([sys.executable, "-c", supervisor], capture_output=True, text=True, timeout=100)
    assert done.returncode == -signal.SIGKILL, done.stderr
    status = Path(f"/proc/{int(done.stdout)}/stat")
    ends_at = time.monotonic() + 20
    while status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z":
        assert time.monotonic() < ends_at
        time.sleep(0.05)


# What a chip has not


def test_a_c3_has_neither_pulse_counters_nor_the_pins_of_an_s3(tmp_path: Path) -> None:
    lines = run_program(
        tmp_path,
        """
        import machine, esp32
        print(hasattr(machine, "Counter"), hasattr(esp32, "wake_on_ext0"), machine.unique_id())
        try:
            machine.Pin(40)
        except ValueError as error:
            print(error)
        """,
        board="heltec_ht_ct62",
    )
    assert lines == ["False False b'\\x02\\x00\\x00\\x00\\x00\\x01'", "invalid pin"]


def test_a_corrupt_file_system_is_left_to_the_host_and_a_blank_one_is_made(tmp_path: Path) -> None:
    with ProgramBoard(tmp_path, "print('from the file')") as board:
        vfs = next(part for part in read_partitions(board.flash) if part.label == "vfs")
        for block in range(0, vfs.size, 4096):
            board.flash.erase(vfs.offset + block, 4096)
        assert "from the file" not in board.run()
        assert "littlefs" in bytes(board.flash.read(vfs.offset, 64)).decode("latin-1")
