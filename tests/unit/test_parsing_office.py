from __future__ import annotations

import datetime
import io
import zipfile
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest
from pptx.util import Inches

from file_search_emulator.parsing import ParseError, Section, parse

_OFFICE = "application/vnd.openxmlformats-officedocument."
_DOCX = f"{_OFFICE}wordprocessingml.document"
_PPTX = f"{_OFFICE}presentationml.presentation"
_XLSX = f"{_OFFICE}spreadsheetml.sheet"


def test_word_keeps_the_order_and_the_headings(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("Handbook", 0)
    document.add_heading("Leave", 1)
    document.add_paragraph("You get 25 days.")
    table = document.add_table(2, 3)
    for cell, text in zip(table._cells, ["Grade", "Days", "Note", "Senior", "30", "paid"], strict=True):
        cell.text = text
    document.add_paragraph("a bullet", style="List Bullet")
    document.sections[0].header.paragraphs[0].text = "Norwind, confidential"
    document.save(str(tmp_path / "a.docx"))
    assert parse(tmp_path / "a.docx", _DOCX) == [
        Section(
            "Handbook\n\nLeave\n\nYou get 25 days.\n\nGrade: Senior | Days: 30 | Note: paid\n\n- a bullet",
            heading="Handbook > Leave",
        ),
        Section("Norwind, confidential"),
    ]


def test_a_slide_is_a_page(tmp_path: Path) -> None:
    presentation = pptx.Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[1])
    first.shapes.title.text = "Roadmap"
    first.placeholders[1].text = "Alpha in March\nBeta in June"
    first.notes_slide.notes_text_frame.text = "The budget is small."
    second = presentation.slides.add_slide(presentation.slide_layouts[5])
    second.shapes.title.text = "Prices"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(1), Inches(4), Inches(1)).table
    for cell, text in zip(table.iter_cells(), ["Plan", "Price", "Pro", "20 EUR"], strict=True):
        cell.text = text
    presentation.save(str(tmp_path / "a.pptx"))
    assert parse(tmp_path / "a.pptx", _PPTX) == [
        Section("Roadmap\n\n- Alpha in March\n- Beta in June\n\nThe budget is small.", page=1, heading="Roadmap"),
        Section("Prices\n\nPlan: Pro | Price: 20 EUR", page=2, heading="Prices"),
    ]


def test_a_sheet_is_rows_of_named_values(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "Q1"
    sheet.append(["Region", "Sales", "Share", "Since", "Open"])
    sheet.append(["North", 1200.5, 0.25, datetime.datetime(2026, 3, 1), True])
    sheet["B2"].number_format = '#,##0.00 "EUR"'
    sheet["C2"].number_format = "0%"
    workbook.create_sheet("Empty")
    workbook.save(tmp_path / "a.xlsx")
    assert parse(tmp_path / "a.xlsx", _XLSX) == [
        Section("Region: North | Sales: 1200.5 EUR | Share: 25% | Since: 2026-03-01 | Open: yes", heading="Q1")
    ]


def _archive(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.xml", data)
    return content.getvalue()


_LAUGHS = b"<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]><x>&b;</x>"
_COMPOUND = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600)


@pytest.mark.parametrize("mime_type", [_DOCX, _PPTX, _XLSX])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 and no more", "damaged"),
        (_archive(word=b"<x/>"), "damaged"),
        (_archive(word=bytes(30 << 20)), "compressed beyond"),
        (_archive(**{f"part{number}": bytes(50 << 20) for number in range(5)}), "unpacks to more"),
        (_archive(word=_LAUGHS), "entities"),
        (_archive(word=_LAUGHS.decode().encode("utf-16")), "entities"),
        (_archive(word=b"<!-- " + b"x" * (1 << 20) + b" -->" + _LAUGHS), "entities"),
        (_COMPOUND, "old Office format"),
        (_COMPOUND + "EncryptedPackage".encode("utf-16-le"), "password"),
    ],
)
def test_hostile_and_broken_archives_are_refused(tmp_path: Path, content: bytes, message: str, mime_type: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ParseError, match=message):
        parse(path, mime_type)
