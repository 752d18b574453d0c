# SPDX-License-Identifier: MIT
"""Labels for nodes: the QR code of TR005, and in words what a technician reads. Never a key.

A sheet is a PDF on A4 for label stock of 3 by 7 (63.5 mm by 38.1 mm); a single label is a PNG at 300 dots an
inch. Needs the extra ``labels``.

Sources: TR005 1.0 (LoRa Alliance), section 4: ``LW:D0:JoinEUI:DevEUI:ProfileID[:Sserial]``, upper case, so
that the code is alphanumeric; ISO/IEC 18004 (a quiet zone of 4 modules).
"""

from __future__ import annotations

import io
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from communode.errors import CommunodeError

_WIDTH_MM, _HEIGHT_MM = 63.5, 38.1
_COLUMNS, _ROWS = 3, 7
_LEFT_MM, _TOP_MM, _GAP_MM = 7.2, 15.1, 2.5
_MARGIN_MM, _CODE_MM = 2.5, 24.0
_QUIET = 4  # modules
_DPI = 300
_NO_PROFILE = "0" * 8  # VendorID and VendorProfileID of a product without a number of the LoRa Alliance


@dataclass(frozen=True)
class Label:
    """What one label says. EUIs in hex; ``profile_id``: VendorID and VendorProfileID, 8 hex digits."""

    dev_eui: str
    join_eui: str
    name: str
    detail: str = ""
    place: str = ""
    serial: str = ""
    profile_id: str = _NO_PROFILE

    def code(self) -> str:
        """The text of the QR code; ValueError for what TR005 does not allow."""
        fields = [self.join_eui, self.dev_eui, self.profile_id]
        if [len(field) for field in fields] != [16, 16, 8] or not all(map(_is_hex, fields)):
            raise ValueError("EUIs have 16 hex digits, a ProfileID 8")
        serial = re.sub(r"[^0-9A-Z $%*+./-]", "", self.serial.upper())
        return ":".join(
            ["LW", "D0", *(field.upper() for field in fields), *(["S" + serial] if serial else [])]
        )

    def lines(self) -> list[str]:
        """What stands beside the code, the name first."""
        dev_eui = self.dev_eui.upper()
        groups = " ".join(dev_eui[start : start + 4] for start in range(0, 16, 4))
        words = [self.name, f"DevEUI {groups[:9]}", groups[10:]]
        return [*words, *filter(None, (self.detail, self.place, self.serial and f"S/N {self.serial}"))]


def _is_hex(text: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in text)


def modules(label: Label) -> list[list[bool]]:
    """The QR code as rows of dark and light modules, without its quiet zone (error correction Q)."""
    segno = _optional("segno")
    code = segno.make(label.code(), error="q", micro=False, boost_error=False)
    return [[bool(module) for module in row] for row in code.matrix]


def sheet(labels: Iterable[Label]) -> bytes:
    """A PDF with all labels; the same bytes for the same labels."""
    _optional("reportlab")
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.units import mm
    from reportlab.pdfbase.pdfmetrics import stringWidth
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4, invariant=1)
    canvas.setTitle("communode")
    for number, label in enumerate(labels):
        place = number % (_COLUMNS * _ROWS)
        if number and not place:
            canvas.showPage()
        left = (_LEFT_MM + place % _COLUMNS * (_WIDTH_MM + _GAP_MM)) * mm
        top = A4[1] - (_TOP_MM + place // _COLUMNS * _HEIGHT_MM) * mm
        _draw_code(canvas, modules(label), left + _MARGIN_MM * mm, top - _HEIGHT_MM / 2 * mm, _CODE_MM * mm)
        x = left + (_MARGIN_MM + _CODE_MM + 1.5) * mm
        widest = left + (_WIDTH_MM - _MARGIN_MM) * mm - x
        lines = label.lines()
        y = top - _HEIGHT_MM / 2 * mm + (len(lines) - 1) / 2 * 4.2 * mm - 1 * mm
        for index, line in enumerate(lines):
            font, size = ("Helvetica-Bold", 9.0) if index == 0 else ("Helvetica", 7.5)

            def measure(text: str, size: float, font: str = font) -> float:
                return float(stringWidth(text, font, size))

            text, fitting = fit(_printable(line), size, widest, measure)
            canvas.setFont(font, fitting)
            canvas.drawString(x, y, text)
            y -= 4.2 * mm
    canvas.save()
    return out.getvalue()


def _draw_code(canvas: Any, code: list[list[bool]], left: float, middle: float, size: float) -> None:
    """Squares within ``size``, quiet zone included."""
    module = size / (len(code) + 2 * _QUIET)
    top = middle + size / 2 - _QUIET * module
    for row, line in enumerate(code):
        for column, dark in enumerate(line):
            if dark:
                x, y = left + (column + _QUIET) * module, top - (row + 1) * module
                canvas.rect(x, y, module, module, stroke=0, fill=1)


def fit(text: str, size: float, widest: float, measure: Callable[[str, float], float]) -> tuple[str, float]:
    """The text and its size so that it is no wider: smaller down to two thirds, then cut short."""
    smallest = size * 2 / 3
    while measure(text, size) > widest and size > smallest:
        size = max(size - 0.25, smallest)
    if measure(text, size) > widest:
        while text and measure(text + "...", size) > widest:
            text = text[:-1]
        text += "..."
    return text, size


def _printable(text: str) -> str:
    """What the PDF's own fonts can show (Windows-1252); other letters lose their accents, or become ``?``."""
    shown = []
    for letter in text:
        bare = unicodedata.normalize("NFKD", letter)
        candidates = (letter, "".join(part for part in bare if not unicodedata.combining(part)))
        shown.append(next((word for word in candidates if _in_1252(word)), "?"))
    return "".join(shown)


def _in_1252(text: str) -> bool:
    try:
        text.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def picture(label: Label) -> bytes:
    """One label as a PNG."""
    _optional("PIL")
    from PIL import Image, ImageDraw, ImageFont

    def dots(mm: float) -> int:
        return round(mm * _DPI / 25.4)

    image = Image.new("L", (dots(_WIDTH_MM), dots(_HEIGHT_MM)), 255)
    draw = ImageDraw.Draw(image)
    code = modules(label)
    module = dots(_CODE_MM) // (len(code) + 2 * _QUIET)
    left = dots(_MARGIN_MM)
    top = (image.height - module * (len(code) + 2 * _QUIET)) // 2
    faces = Path(_optional("reportlab").__file__).parent / "fonts"  # Bitstream Vera, which has our accents
    for row, line in enumerate(code):
        for column, dark in enumerate(line):
            if dark:
                x, y = left + (column + _QUIET) * module, top + (row + _QUIET) * module
                draw.rectangle((x, y, x + module - 1, y + module - 1), fill=0)
    x = left + dots(_CODE_MM) + dots(1.5)
    lines = label.lines()
    step = dots(4.2)
    y = (image.height - step * len(lines)) // 2
    for index, words in enumerate(lines):
        face, size = ("VeraBd.ttf", 34.0) if index == 0 else ("Vera.ttf", 28.0)

        def measure(text: str, size: float, face: str = face) -> float:
            return float(ImageFont.truetype(faces / face, size).getlength(text))

        text, fitting = fit(_printable(words), size, image.width - dots(_MARGIN_MM) - x, measure)
        draw.text((x, y), text, fill=0, font=ImageFont.truetype(faces / face, fitting))
        y += step
    out = io.BytesIO()
    image.save(out, "PNG", dpi=(_DPI, _DPI))
    return out.getvalue()


def write_label(folder: Path, label: Label) -> Path:
    """``<DevEUI>.png`` in ``folder``; its path. Files appear whole."""
    made = folder / f"{label.dev_eui}.png"
    _write(made, picture(label))
    return made


def write_sheet(folder: Path, batch: str, labels: Sequence[Label]) -> Path:
    """``<batch>.pdf`` in ``folder``; its path."""
    made = folder / f"{batch}.pdf"
    _write(made, sheet(labels))
    return made


def write_labels(folder: Path, batch: str, labels: Sequence[Label]) -> Path:
    """A PNG a label and the sheet with all of them; the sheet's path."""
    for label in labels:
        write_label(folder, label)
    return write_sheet(folder, batch, labels)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    os.replace(fresh, path)


def check_installed() -> None:
    """``vault.extra_missing`` before a run that would miss it at its end."""
    for module in ("segno", "reportlab", "PIL"):
        _optional(module)


def _optional(module: str) -> Any:
    try:
        imported: Any = __import__(module)
    except ImportError:
        raise CommunodeError("vault.extra_missing", package=module, extra="labels") from None
    return imported
