# SPDX-License-Identifier: MIT
"""Labels: read back by a foreign reader, from the page as from the picture, and without overlaps."""

from __future__ import annotations

import io
from pathlib import Path

import pypdfium2
import pytest
import zxingcpp
from communode.labels import Label, fit, picture, sheet, write_labels
from PIL import Image

LONG = "Groupe scolaire intercommunal Antoine-de-Saint-Exupéry, cour des petits"


def label(number: int = 0, **changes: str) -> Label:
    values = {
        "dev_eui": f"70b3d57ed0{number:06x}",
        "join_eui": "0000000000000001",
        "name": "école-jules-ferry",
        "detail": "air \u00b7 heltec_wifi_lora_32_v3",
        "place": "Saint-Rémy / école",
        "serial": f"ab-{number}",
    }
    return Label(**{**values, **changes})


def pages(pdf: bytes, scale: float = 3) -> list[Image.Image]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [page.render(scale=scale).to_pil() for page in document]
    finally:
        document.close()


def test_the_code_is_that_of_tr005() -> None:
    assert label(0x1234, serial="").code() == "LW:D0:0000000000000001:70B3D57ED0001234:00000000"
    made = label(0x1234, profile_id="0123abcd", serial="n° a:7")
    assert made.code() == "LW:D0:0000000000000001:70B3D57ED0001234:0123ABCD:SN A7"


@pytest.mark.parametrize("changes", [{"dev_eui": "70b3"}, {"join_eui": "x" * 16}, {"profile_id": ""}])
def test_what_tr005_does_not_allow_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="16 hex digits"):
        label(**changes).code()


def test_a_picture_is_read_back() -> None:
    image = Image.open(io.BytesIO(picture(label(7))))
    (found,) = zxingcpp.read_barcodes(image)
    assert found.text == label(7).code()
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_every_code_of_a_sheet_of_two_pages_is_read_back() -> None:
    labels = [label(number, name=LONG if number % 2 else "a") for number in range(24)]
    made = pages(sheet(labels))
    assert len(made) == 2
    read = [sorted(found.text for found in zxingcpp.read_barcodes(page)) for page in made]
    wanted = [made.code() for made in labels]
    assert read == [sorted(wanted[:21]), sorted(wanted[21:])]


@pytest.mark.parametrize("names", ["a", LONG])
def test_nothing_leaves_its_label_and_no_text_touches_a_code(names: str) -> None:
    (page,) = pages(sheet([label(number, name=names, place=LONG, detail=LONG) for number in range(21)]))
    dots = page.width / 210  # a millimetre
    grey = page.convert("L")
    for number in range(22):  # between columns, and around them, it is white
        for column in range(4):
            x = (7.2 - 2 + column * 66) * dots
            strip = grey.crop((round(x), 0, round(x + 1.8 * dots), grey.height))
            assert strip.getextrema() == (255, 255), column
        if number < 8:
            y = (15.1 + number * 38.1) * dots
            assert grey.crop((0, round(y - dots), grey.width, round(y + dots))).getextrema() == (255, 255)
    for column in range(3):  # the quiet zone between code and text
        x = (7.2 + 2.5 + 24 - 2.2 + column * 66) * dots
        assert grey.crop((round(x), 0, round(x + 2 * dots), grey.height)).getextrema() == (255, 255)


def test_the_same_labels_give_the_same_bytes() -> None:
    assert sheet([label()]) == sheet([label()])
    assert picture(label()) == picture(label())


def test_a_text_that_is_too_long_is_made_smaller_and_then_cut() -> None:
    def measure(text: str, size: float) -> float:
        return len(text) * size

    assert fit("four", 9, 36, measure) == ("four", 9)
    assert fit("four", 9, 30, measure) == ("four", 7.5)
    text, size = fit("much too long", 9, 48, measure)
    assert (text, size) == ("much ...", 6)


def test_letters_that_the_font_lacks_lose_their_accents(tmp_path: Path) -> None:
    document = pypdfium2.PdfDocument(sheet([label(name="Łódź-ř-é")]))
    said = document[0].get_textpage().get_text_bounded()
    document.close()
    assert "?ódz-r-é" in said or "?ódź-r-é" in said


def test_a_folder_holds_a_picture_each_and_the_sheet(tmp_path: Path) -> None:
    made = write_labels(tmp_path / "labels", "lot-7", [label(1), label(2)])
    assert made.name == "lot-7.pdf"
    names = sorted(path.name for path in made.parent.iterdir())
    assert names == ["70b3d57ed0000001.png", "70b3d57ed0000002.png", "lot-7.pdf"]
