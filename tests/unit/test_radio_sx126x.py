# SPDX-License-Identifier: MIT
"""What our SX126x driver puts on the bus, byte for byte beside Semtech's own driver.

`tests/vectors/sx126x_driver_spi.txt` is the recording. Reads are compared by opcode and address: how many
NOPs follow is taste.
"""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from communode.node.radio import sx126x_commands as commands
from communode.node.radio.modem import LoraParameters, RadioError
from communode.node.radio.sx126x import Sx126x

ROOT = Path(__file__).parents[2]
READS = (0x12, 0x13, 0x14, 0x15, 0x17, 0x1D, 0x1E)


def _golden() -> dict[str, list[str]]:
    """Label: the write frames, and the heads of the read frames."""
    table = {}
    for line in (ROOT / "tests/vectors/sx126x_driver_spi.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        label, _, rest = line.partition(" | ")
        words = [word for word in rest.split() if word[:2] in ("W:", "R:")]
        table[label] = [_normal(bytes.fromhex(word[2:].split(">")[0])) for word in words]
    return table


def _normal(frame: bytes) -> str:
    """A frame as text; of a read only what the chip looks at."""
    if frame[0] in READS:
        return "read " + frame[: {0x1D: 3, 0x1E: 2}.get(frame[0], 1)].hex()
    return frame.hex()


GOLDEN = _golden()


class Recorder:
    """SPI, pins and clock in one: remembers frames, answers from a register file, is never busy."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.registers = {0x0740: 0x14, 0x0741: 0x24, 0x0889: 0x01, 0x0736: 0x0D, 0x08D8: 0xC8, 0x0944: 0}
        self.flags = 0
        self.received = b""
        self.now = 0
        self.busy_level = 0
        self.sticks_after = -1  # frames, from which on the chip stays busy

    def nss(self, level: int) -> None:
        if not level:
            self.frames.append(b"")

    def write(self, data: bytes) -> None:
        self.frames[-1] += bytes(data)
        if data[0] == 0x0D:
            for index, byte in enumerate(data[3:]):
                self.registers[(data[1] << 8 | data[2]) + index] = byte

    def write_readinto(self, out: bytes, into: bytearray) -> None:
        out = bytes(out)
        self.frames[-1] += out
        if out[0] == 0x1D:
            address = out[1] << 8 | out[2]
            into[4:] = bytes(self.registers.get(address + index, 0) for index in range(len(out) - 4))
        elif out[0] == 0x12:
            into[2:] = self.flags.to_bytes(2, "big")
        elif out[0] == 0x13:
            into[2:] = bytes((len(self.received), 128))
        elif out[0] == 0x14:
            into[2:] = bytes.fromhex("78ec7a")
        elif out[0] == 0x1E:
            into[3:] = self.received
        else:
            into[2:] = bytes(len(out) - 2)

    def pin(self, level: int | None = None) -> int:
        """NRESET."""
        if level == 0 and self.registers[0x0740] != 0xFF:
            self.registers |= {0x0740: 0x14, 0x0741: 0x24}
        return 0

    def busy(self) -> int:
        return self.busy_level or int(0 <= self.sticks_after <= len(self.frames))

    def dio1(self) -> int:
        return int(bool(self.flags & 0x0263))

    def ticks_us(self) -> int:
        self.now += 5
        return self.now

    def ticks_diff(self, end: int, start: int) -> int:
        return end - start

    def ticks_add(self, ticks: int, delta: int) -> int:
        return ticks + delta

    def sleep_us(self, duration: int) -> None:
        self.now += duration

    def sleep_ms(self, duration: int) -> None:
        self.now += 1000 * duration

    def take(self) -> list[str]:
        """Frames since the last call, normalised; a bare NSS pulse is empty."""
        frames = [_normal(frame) if frame else "" for frame in self.frames]
        self.frames.clear()
        return frames


def _driver(recorder: Recorder, **settings: int) -> Sx126x:
    wires = (recorder, recorder.nss, recorder.pin, recorder.busy, recorder.dio1, recorder)
    return Sx126x(*wires, **settings)  # type: ignore[arg-type]


def _begun(**settings: int) -> tuple[Recorder, Sx126x]:
    recorder = Recorder()
    driver = _driver(recorder, **settings)
    driver.begin()
    recorder.take()
    return recorder, driver


def _lora(sf: int = 7, bandwidth: int = 125000, **changes: int) -> LoraParameters:
    return LoraParameters(868100000, sf, bandwidth, **changes)  # type: ignore[arg-type]


FREQUENCIES = [int(label.split()[1]) for label in GOLDEN if label.startswith("set_rf_freq")]


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_frequencies_are_words_of_semtechs_driver(frequency: int) -> None:
    assert commands.set_frequency(frequency).hex() == GOLDEN[f"set_rf_freq {frequency}"][0]


@pytest.mark.parametrize(
    ("label", "build"),
    [
        ("dio3_tcxo 1.8V 320 steps (5 ms)", lambda: commands.set_tcxo(1800, 5000)),
        ("dio3_tcxo 1.7V 640 steps (10 ms)", lambda: commands.set_tcxo(1700, 10000)),
        ("set_pa_cfg SX1262 22 dBm", lambda: commands.set_power(22, False)[0]),
        ("set_pa_cfg SX1262 14 dBm optimal", lambda: commands.set_power(14, False)[0]),
        ("set_pa_cfg SX1261 14 dBm", lambda: commands.set_power(14, True)[0]),
        ("set_tx_params 14 dBm 40us", lambda: commands.set_power(14, True)[1]),
        ("set_tx 4000 ms", lambda: b"\x83" + commands.timer(4_000_000)),
        ("set_rx 3000 ms", lambda: b"\x82" + commands.timer(3_000_000)),
    ],
)
def test_single_commands_are_those_of_semtechs_driver(label: str, build: Callable[[], bytes]) -> None:
    assert build().hex() == GOLDEN[label][0]


@pytest.mark.parametrize("symbols", [0, 4, 6, 8, 12, 31, 32, 63, 64, 100, 144, 248, 255])
def test_symbol_counter_and_its_register_are_those_of_semtechs_driver(symbols: int) -> None:
    counted, register = commands.symbol_counter(symbols)
    frames = [f"a0{counted:02x}"] + ([f"0d0706{register:02x}"] if symbols else [])
    assert frames == GOLDEN[f"symb_timeout {symbols}"]


@pytest.mark.parametrize(
    ("hertz", "datasheet", "label"),
    [
        (868100000, "98d7db", "cal_img 863-870"),
        (915000000, "98e1e9", "cal_img 902-928"),
        (433175000, "986b6f", "cal_img 430-440"),
        (490000000, "987581", "cal_img 470-510"),
        (780000000, "98c1c5", "cal_img 779-787"),
    ],
)
def test_image_is_calibrated_over_the_band_of_the_datasheet(hertz: int, datasheet: str, label: str) -> None:
    command = commands.calibrate_image(hertz)
    assert command.hex() == datasheet
    # Semtech's driver rounds each edge to 4 MHz on its own: never more than a step apart.
    theirs = bytes.fromhex(GOLDEN[label][0])
    assert all(abs(ours - their) <= 1 for ours, their in zip(command, theirs, strict=True))


def test_begin_with_a_tcxo_is_made_of_semtechs_commands() -> None:
    recorder = Recorder()
    _driver(recorder, tcxo_mv=1800, dio2_rf_switch=1, rx_boost=1).begin()
    sent = [frame for frame in recorder.take() if frame not in ("read 1d0740", "read 17")]
    labels = [
        "set_reg_mode DCDC", "dio3_tcxo 1.8V 320 steps (5 ms)", "clear_device_errors", "cal all (0x7f)",
        "set_pkt_type LoRa", "dio2_as_rf_sw on", "cfg_tx_clamp (reg was c8)", "cfg_rx_boosted on",
        "init_retention_list", "buffer base 0,0", "dio_irq all, DIO1 TxDone|RxDone|Timeout|HdrErr|CrcErr",
    ]  # fmt: skip
    expected = [frame for label in labels for frame in GOLDEN[label] if frame != "read 1d029f"]
    assert sent == expected


def test_uplink_is_made_of_semtechs_commands_and_starts_with_one() -> None:
    recorder, driver = _begun()
    recorder.registers[0x0736] = 0x09
    driver.prepare_tx(_lora(), b"x" * 23, 14)
    sent = recorder.take()
    expected = ["98d7db", *GOLDEN["set_rf_freq 868100000"], *GOLDEN["mod_params SF7 BW125 CR4/5 LDRO0"]]
    expected += GOLDEN["pkt_params uplink len23 CRC on IQ std (reg0736 was 09)"]
    expected += [frame for frame in GOLDEN["sync word 0x34 (public)"] if not frame.startswith("read")]
    expected += GOLDEN["set_pa_cfg SX1262 14 dBm optimal"] + GOLDEN["ocp 140 mA (56 steps)"]
    expected += ["8e1602", "0e00" + "78" * 23]
    assert sent == expected
    driver.start_tx()
    # 61.696 ms on air and 20 ms of margin, in steps of 15.625 us.
    assert recorder.take() == ["83" + f"{-(-(61696 + 20000) * 8 // 125):06x}"]


def test_downlink_window_is_made_of_semtechs_commands_and_starts_with_one() -> None:
    recorder, driver = _begun()
    driver.prepare_rx(LoraParameters(869525000, 12, 125000, invert_iq=True, crc=False), 8)
    sent = recorder.take()
    expected = ["98d7db", *GOLDEN["set_rf_freq 869525000"], *GOLDEN["mod_params SF12 BW125 CR4/5 LDRO1"]]
    expected += GOLDEN["pkt_params downlink len255 CRC off IQ inv (reg0736 was 0d)"]
    expected += [frame for frame in GOLDEN["sync word 0x34 (public)"] if not frame.startswith("read")]
    expected += ["9f00", *GOLDEN["symb_timeout 8"]]
    assert sent == expected
    driver.start_rx()
    assert recorder.take() == GOLDEN["set_rx single no timeout"]


def test_window_beyond_the_symbol_counter_uses_the_timer_that_stops_on_preamble() -> None:
    recorder, driver = _begun()
    driver.prepare_rx(_lora(invert_iq=True), 300)
    sent = recorder.take()
    assert GOLDEN["stop_timer_on_preamble on"][0] in sent
    assert GOLDEN["symb_timeout 0"][0] in sent
    driver.start_rx()
    assert recorder.take() == ["82" + f"{-(-300 * 1024 * 8 // 125):06x}"]


def test_500_khz_clears_the_modulation_quality_bit_and_125_khz_sets_it_again() -> None:
    recorder, driver = _begun()
    recorder.registers[0x0889] = 0x05
    driver.prepare_tx(_lora(8, 500000), b"x", 14)
    assert "\n".join(GOLDEN["mod_params SF8 BW500 (reg0889 was 05)"]) in "\n".join(recorder.take())
    driver.prepare_tx(_lora(7, 125000), b"x", 14)
    assert "\n".join(GOLDEN["mod_params SF7 BW125 after BW500"]) in "\n".join(recorder.take())


def test_iq_polarity_follows_each_packet_parameters_and_nothing_else_is_repeated() -> None:
    recorder, driver = _begun()
    driver.prepare_tx(_lora(), b"12345", 14)
    recorder.take()
    driver.prepare_tx(_lora(), b"123456", 14)
    assert recorder.take() == ["8c000800060100", "read 1d0736", "0d07360d", "0e00313233343536"]
    driver.prepare_tx(_lora(), b"abcdef", 14)
    assert recorder.take() == ["0e00616263646566"]


def test_only_flags_that_were_read_are_cleared() -> None:
    recorder, driver = _begun()
    driver.prepare_rx(_lora(), 8)
    driver.start_rx()
    recorder.take()
    recorder.flags, recorder.received = 0x0012, b"late"  # done and header; preamble comes after the read
    packet = driver.poll_rx()
    frames = recorder.take()
    assert frames[:2] == [*GOLDEN["get_irq_status"], "020012"]
    assert frames[2:] == [*GOLDEN["get_rx_buffer_status"], "read 1e80", *GOLDEN["get_lora_pkt_status"]]
    assert packet.payload == b"late"  # type: ignore[union-attr]
    assert (packet.rssi_dbm, packet.snr_quarter_db) == (-60, -20)  # type: ignore[union-attr]


def test_implicit_reception_by_timer_stops_the_timer_after_done() -> None:
    recorder, driver = _begun()
    driver.prepare_rx(_lora(9, implicit=True), 300)
    driver.start_rx()
    recorder.take()
    recorder.flags, recorder.received = 0x0002, b"beacon"
    driver.poll_rx()
    assert recorder.take()[-3:] == GOLDEN["handle_rx_done"]


def test_sleep_is_warm_and_waking_repeats_what_sleep_forgets() -> None:
    recorder, driver = _begun(tcxo_mv=1800, rx_boost=1)
    driver.prepare_rx(_lora(), 8)
    recorder.take()
    driver.sleep()
    assert recorder.take() == [*GOLDEN["set_standby RC"], *GOLDEN["set_sleep warm"]]
    driver.prepare_rx(_lora(), 8)
    frames = recorder.take()
    assert frames[0] == ""  # NSS alone wakes it
    assert frames[1:3] == [*GOLDEN["dio3_tcxo 1.8V 320 steps (5 ms)"], *GOLDEN["cfg_rx_boosted on"]]
    assert "98d7db" not in frames  # calibration survives
    assert GOLDEN["pkt_params uplink len23 CRC on IQ std (reg0736 was 09)"][1] in frames
    assert GOLDEN["set_standby XOSC"][0] not in frames  # a TCXO draws 1.5 mA: not while waiting
    driver.prepare_tx(_lora(), b"x", 14)
    assert recorder.take()[-1] == GOLDEN["set_standby XOSC"][0]


def test_a_chip_that_stays_busy_is_an_error_in_bounded_time() -> None:
    recorder, driver = _begun()
    recorder.busy_level = 1
    start = recorder.now
    with pytest.raises(RadioError) as raised:
        driver.prepare_tx(_lora(), b"x", 14)
    assert raised.value.code == "busy_timeout"
    assert recorder.now - start < 100_000


def test_a_chip_that_sticks_at_any_command_is_an_error_in_bounded_time_and_works_after_it() -> None:
    def use(driver: Sx126x) -> None:
        driver.prepare_tx(_lora(), b"x", 14)
        driver.start_tx()
        driver.prepare_rx(_lora(), 8)
        driver.start_rx()
        driver.sleep()

    recorder, driver = _begun()
    use(driver)
    commands_of_a_use = len(recorder.take())
    assert commands_of_a_use > 15
    for count in range(commands_of_a_use):
        recorder, driver = _begun()
        recorder.sticks_after = count
        start = recorder.now
        with pytest.raises(RadioError) as raised:
            use(driver)
        assert raised.value.code == "busy_timeout"
        assert recorder.now - start < 1_000_000
        recorder.sticks_after = -1
        use(driver)


@pytest.mark.parametrize("changes", [{"bandwidth": 31250}, {"sf": 13}, {"sf": 4}])
def test_what_the_chip_cannot_do_is_refused(changes: dict[str, int]) -> None:
    _, driver = _begun()
    with pytest.raises(RadioError) as raised:
        driver.prepare_tx(_lora(**changes), b"x", 14)
    assert raised.value.code == "unsupported"


def test_absent_chip_is_not_found() -> None:
    recorder = Recorder()
    recorder.registers[0x0740] = 0xFF
    with pytest.raises(RadioError) as raised:
        _driver(recorder).begin()
    assert raised.value.code == "not_found"


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="tcxo_v"):
        _driver(Recorder(), tcxo_v=18)


@pytest.mark.parametrize(
    ("asked", "code"), [(22, 22), (30, 22), (21, 21), (16, 21), (14, 22), (-9, 0xFF), (-20, 0xFF)]
)
def test_power_keeps_to_chip_and_board(asked: int, code: int) -> None:
    recorder, driver = _begun()
    driver.prepare_tx(_lora(), b"x", asked)
    assert f"8e{code:02x}02" in recorder.take()
    recorder, driver = _begun(max_power_dbm=17)
    driver.prepare_tx(_lora(), b"x", 22)
    assert "9502030001" in recorder.take()


def test_driver_sends_the_same_bytes_on_micropython(micropython: str, tmp_path: Path) -> None:
    recorder, driver = _begun()
    driver.prepare_tx(_lora(), b"hello", 14)
    driver.start_tx()
    expected = [frame.hex() for frame in recorder.frames]
    script = tmp_path / "stream.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(ROOT / "firmware")!r})
        from node.radio.modem import LoraParameters
        from node.radio.sx126x import Sx126x
        from node.radio.sx127x import Sx127x

        frames = []
        class Bus:
            def write(self, data):
                frames[-1] += bytes(data)
            def write_readinto(self, out, into):
                frames[-1] += bytes(out)
                known = {{0x0740: b"\\x14\\x24", 0x08D8: b"\\xc8", 0x0889: b"\\x01", 0x0736: b"\\x0d"}}
                answer = known.get(out[1] << 8 | out[2], b"\\0\\0")
                into[-len(answer):] = answer
        def nss(level):
            if not level:
                frames.append(b"")
        driver = Sx126x(Bus(), nss, lambda level: 0, lambda: 0, lambda: 0, time)
        driver.begin()
        frames.clear()
        driver.prepare_tx(LoraParameters(868100000, 7, 125000), b"hello", 14)
        driver.start_tx()
        for frame in frames:
            print(frame.hex())
        """)
    )
    ran = subprocess.run([micropython, str(script)], capture_output=True, text=True, timeout=30, check=False)
    assert ran.stderr == ""
    assert ran.stdout.split() == expected
