# SPDX-License-Identifier: MIT
"""The virtual board's NVS, judged by images of Espressif's own generator (a separate program)."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from communode.virtual.flash import FlashFile, PowerCut
from communode.virtual.nvs import NvsPartition
from communode.virtual.nvs_error import NvsError, NvsNotFound

OFFSET, SIZE = 0x9000, 0x6000
BLOB = bytes(range(256)) * 4
BIG = bytes(i * i & 0xFF for i in range(5000))  # more than a page

INTEGERS = [
    ("u8", 200),
    ("i8", -100),
    ("u16", 60000),
    ("i16", -30000),
    ("u32", 4_000_000_000),
    ("i32", -2_000_000_000),
    ("u64", 1 << 63),
    ("i64", -(1 << 62)),
]


@pytest.fixture
def flash(tmp_path):
    with FlashFile(tmp_path / "chip.flash", 0x20000) as flash:
        yield flash


@pytest.fixture
def store(flash):
    return NvsPartition(flash, OFFSET, SIZE)


def _generate(folder: Path, rows: list[tuple[str, str, str, str]], size: int = SIZE) -> bytes:
    """The image that Espressif's generator makes of CSV rows."""
    (folder / "in.csv").write_text(
        "key,type,encoding,value\n" + "".join(",".join(row) + "\n" for row in rows), "ascii"
    )
    arguments = ["generate", str(folder / "in.csv"), str(folder / "out.bin"), hex(size)]
    command = [sys.executable, "-m", "esp_idf_nvs_partition_gen", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "out.bin").read_bytes()


def _rows() -> list[tuple[str, str, str, str]]:
    rows = [("ident", "namespace", "", "")]
    rows += [(kind, "data", kind, str(value)) for kind, value in INTEGERS]
    rows += [("name", "data", "string", "bin 7"), ("key", "data", "hex2bin", BLOB.hex())]
    rows += [("other", "namespace", "", ""), ("name", "data", "i32", "7")]
    return rows


def _fill(store: NvsPartition) -> None:
    for kind, value in INTEGERS:
        store.set("ident", kind, kind, value)
    store.set("ident", "name", "str", "bin 7")
    store.set("ident", "key", "blob", BLOB)
    store.set("other", "name", "i32", 7)


def _check(store: NvsPartition) -> None:
    for kind, value in INTEGERS:
        assert store.get("ident", kind, kind) == value
    assert store.get("ident", "name", "str") == "bin 7"
    assert store.get("ident", "key", "blob") == BLOB
    assert store.get("other", "name", "i32") == 7


def test_image_of_the_generator_reads_right(flash, tmp_path):
    flash.program(OFFSET, _generate(tmp_path, _rows()))
    store = NvsPartition(flash, OFFSET, SIZE)
    _check(store)
    assert ("ident", "key", "blob") in store.entries()
    assert len(list(store.entries())) == len(INTEGERS) + 3


def test_what_is_written_is_what_the_generator_writes(flash, store, tmp_path):
    _fill(store)
    assert flash.read(OFFSET, SIZE) == _generate(tmp_path, _rows())


def test_blob_over_pages_is_what_the_generator_writes(flash, store, tmp_path):
    store.set("ident", "first", "i32", 1)
    store.set("ident", "big", "blob", BIG)
    rows = [
        ("ident", "namespace", "", ""),
        ("first", "data", "i32", "1"),
        ("big", "data", "hex2bin", BIG.hex()),
    ]
    assert flash.read(OFFSET, SIZE) == _generate(tmp_path, rows)
    assert NvsPartition(flash, OFFSET, SIZE).get("ident", "big", "blob") == BIG


def test_generated_image_can_be_changed(flash, tmp_path):
    flash.program(OFFSET, _generate(tmp_path, _rows()))
    store = NvsPartition(flash, OFFSET, SIZE)
    store.set("ident", "i32", "i32", 5)
    store.set("ident", "key", "blob", BIG)
    again = NvsPartition(flash, OFFSET, SIZE)
    assert again.get("ident", "i32", "i32") == 5
    assert again.get("ident", "key", "blob") == BIG
    assert again.get("ident", "u64", "u64") == 1 << 63


def test_missing_things_are_not_found(store):
    store.set("ident", "number", "i32", 1)
    for namespace, key, kind in (
        ("ident", "none", "i32"),
        ("none", "number", "i32"),
        ("ident", "number", "blob"),
    ):
        with pytest.raises(NvsNotFound) as caught:
            store.get(namespace, key, kind)
        assert (caught.value.code, caught.value.name) == (0x1102, "ESP_ERR_NVS_NOT_FOUND")
    with pytest.raises(NvsNotFound):
        store.erase_key("ident", "none")


def test_erased_keys_are_gone_for_good(flash, store):
    _fill(store)
    store.erase_key("ident", "key")
    store.erase_key("ident", "i32")
    for same in (store, NvsPartition(flash, OFFSET, SIZE)):
        for key, kind in (("key", "blob"), ("i32", "i32")):
            with pytest.raises(NvsNotFound):
                same.get("ident", key, kind)
        assert same.get("ident", "u32", "u32") == 4_000_000_000


def test_same_value_again_writes_nothing(flash, store):
    _fill(store)
    before = flash.programs
    _fill(store)
    assert flash.programs == before


def test_new_value_replaces_the_old_one_whatever_its_type(flash, store):
    store.set("ident", "thing", "blob", BLOB)
    store.set("ident", "thing", "i32", 3)
    assert [key for _, key, _ in store.entries()] == ["thing"]
    assert NvsPartition(flash, OFFSET, SIZE).get("ident", "thing", "i32") == 3
    with pytest.raises(NvsNotFound):
        store.get("ident", "thing", "blob")


@pytest.mark.parametrize(
    ("key", "code"), [("", 0x1106), ("a" * 16, 0x1109), ("é", 0x1106)], ids=["empty", "long", "not ASCII"]
)
def test_bad_names_are_refused(store, key, code):
    with pytest.raises(NvsError) as caught:
        store.set("ident", key, "i32", 1)
    assert caught.value.code == code


def test_integers_out_of_range_are_refused(store):
    with pytest.raises(OverflowError):
        store.set("ident", "n", "u8", 256)
    with pytest.raises(NvsNotFound):
        store.get("ident", "n", "u8")


def test_empty_blob_is_a_value(flash, store):
    store.set("ident", "empty", "blob", b"")
    assert NvsPartition(flash, OFFSET, SIZE).get("ident", "empty", "blob") == b""


def test_many_writes_take_turns_on_the_pages_and_keep_all_values(flash, store):
    rng = random.Random(7)
    expected = {}
    for _ in range(1500):
        key = f"k{rng.randrange(20)}"
        value = (
            rng.randbytes(rng.choice((0, 1, 31, 32, 33, 200))) if rng.random() < 0.5 else rng.getrandbits(31)
        )
        kind = "blob" if isinstance(value, bytes) else "i32"
        store.set("ident", key, kind, value)
        expected[key] = (kind, value)
        if rng.random() < 0.02:
            store = NvsPartition(flash, OFFSET, SIZE)
    store = NvsPartition(flash, OFFSET, SIZE)
    assert {key: (kind, store.get("ident", key, kind)) for _, key, kind in store.entries()} == expected
    wear = flash.sector_erases[OFFSET // 4096 : (OFFSET + SIZE) // 4096]
    assert sum(worn > 2 for worn in wear) >= 4


def test_full_store_says_so_and_loses_nothing(flash, store):
    kept: dict[str, bytes] = {}

    def fill() -> None:
        for number in range(1000):
            store.set("ident", f"key{number}", "blob", bytes([number & 0xFF]) * 100)
            kept[f"key{number}"] = bytes([number & 0xFF]) * 100

    with pytest.raises(NvsError) as caught:
        fill()
    assert caught.value.code == 0x1105
    again = NvsPartition(flash, OFFSET, SIZE)
    assert {key: again.get("ident", key, "blob") for key in kept} == kept
    again.erase_key("ident", "key0")


def test_blob_larger_than_the_partition_is_refused(store):
    with pytest.raises(NvsError) as caught:
        store.set("ident", "huge", "blob", bytes(SIZE))
    assert caught.value.code == 0x110E


def test_boot_erases_what_has_no_free_page(flash, tmp_path):
    image = _generate(tmp_path, [("a", "namespace", "", ""), ("b", "data", "hex2bin", bytes(8000).hex())])
    flash.program(OFFSET, image[:0x3000])
    with pytest.raises(NvsError) as caught:
        NvsPartition(flash, OFFSET, 0x3000)
    assert caught.value.code == 0x110D
    assert list(NvsPartition.boot(flash, OFFSET, 0x3000).entries()) == []
    assert flash.read(OFFSET, 0x3000) == b"\xff" * 0x3000


def test_garbage_is_erased_page_by_page_when_needed(flash):
    flash.program(OFFSET, random.Random(1).randbytes(SIZE))
    store = NvsPartition(flash, OFFSET, SIZE)
    store.set("ident", "big", "blob", BIG)
    assert NvsPartition(flash, OFFSET, SIZE).get("ident", "big", "blob") == BIG


def _cut_after(flash: FlashFile, operations: int, rng: random.Random) -> None:
    """Cut the power in the middle of one of the next operations."""
    left = operations

    def hook(kind: str, offset: int, data: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            size = len(data) if kind == "program" else 4096
            raise PowerCut(done=rng.randrange(size + 1), torn=rng.randbytes(rng.randrange(3)))

    flash.on_operation = hook


@pytest.mark.parametrize("seed", range(3))
def test_power_cut_leaves_the_old_or_the_new_value(flash, seed):
    rng = random.Random(seed)
    expected: dict[str, bytes] = {}
    store = NvsPartition(flash, OFFSET, 0x3000)
    cuts = 0
    for _ in range(700):
        key = f"k{rng.randrange(6)}"
        value = rng.randbytes(rng.choice((4, 40, 300, 700)))
        if rng.random() < 0.5:
            _cut_after(flash, rng.randrange(12), rng)
        try:
            store.set("ident", key, "blob", value)
            expected[key] = value
        except PowerCut:
            cuts += 1
            flash.on_operation = None
            flash.restore_power()
            if rng.random() < 0.3:  # and once more while mending
                _cut_after(flash, rng.randrange(3), rng)
                try:
                    NvsPartition(flash, OFFSET, 0x3000)
                except PowerCut:
                    cuts += 1
                flash.on_operation = None
                flash.restore_power()
            store = NvsPartition(flash, OFFSET, 0x3000)
            try:
                found = store.get("ident", key, "blob")
            except NvsNotFound:
                found = None
            assert found in (value, expected.get(key)), f"{key} is neither old nor new"
            if isinstance(found, bytes):
                expected[key] = found
        flash.on_operation = None
        assert {key: store.get("ident", key, "blob") for _, key, _ in store.entries()} == expected
    assert cuts > 100
