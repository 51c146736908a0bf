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

from file_search_emulator.parsing import LimitedParser, ParseError, Section, parse

_OFFICE = "application/vnd.openxmlformats-officedocument."
_DOCX = f"{_OFFICE}wordprocessingml.document"
_PPTX = f"{_OFFICE}presentationml.presentation"
_XLSX = f"{_OFFICE}spreadsheetml.sheet"


def _parsed(path: Path, mime_type: str) -> list[Section]:
    with path.open("rb") as file:
        return parse(file, mime_type)


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
    assert _parsed(tmp_path / "a.docx", _DOCX) == [
        Section(
            "Handbook\n\nLeave\n\nYou get 25 days.\n\nGrade: Senior | Days: 30 | Note: paid\n\n- a bullet",
            heading="Handbook > Leave",
        ),
        Section("Norwind, confidential"),
    ]


def _with_body(body: str) -> bytes:
    """A Word file with this XML in its body."""
    written, content = io.BytesIO(), io.BytesIO()
    docx.Document().save(written)
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in old.namelist():
            data = old.read(name)
            if name == "word/document.xml":
                data = data.replace(b"<w:sectPr", body.encode() + b"<w:sectPr", 1)
            archive.writestr(name, data)
    return content.getvalue()


def _run(text: str) -> str:
    return f"<w:r><w:t>{text}</w:t></w:r>"


def _controlled(content: str) -> str:
    return f"<w:sdt><w:sdtContent>{content}</w:sdtContent></w:sdt>"


def _table(*rows: str) -> str:
    return f"<w:tbl><w:tblPr/><w:tblGrid/>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl><w:p/>"


def _cell(text: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr><w:p>{_run(text)}</w:p></w:tc>"


_INSERTED = f"<w:ins>{_run('days')}</w:ins><w:del><w:r><w:delText>weeks</w:delText></w:r></w:del>"
_MERGED = _table(
    _cell("Grade") + _cell("Days") + _cell("Paid"),
    _cell("Senior", '<w:vMerge w:val="restart"/>') + _cell("25") + _cell("yes"),
    _cell("", "<w:vMerge/>") + _cell("30", '<w:gridSpan w:val="2"/>'),
    _cell("", "<w:vMerge/>") + _cell("35") + _cell("no"),
)
_MERGED_TEXT = "Grade: Senior | Days: 25 | Paid: yes\nGrade: Senior | Days: 30\nGrade: Senior | Days: 35 | Paid: no"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"<w:p>{_run('30 ')}{_INSERTED}</w:p>", "30 days"),
        (_controlled(f"<w:p>{_controlled(_run('Date: May'))}</w:p>"), "Date: May"),
        (_MERGED, _MERGED_TEXT),
        (_table(_cell("wide", '<w:gridSpan w:val="900000000"/>') + _cell("1")), "wide | 1"),
    ],
    ids=["tracked changes", "content controls", "merged cells", "too wide a cell"],
)
def test_word_reads_what_is_inserted_controlled_and_merged(tmp_path: Path, body: str, text: str) -> None:
    (tmp_path / "a.docx").write_bytes(_with_body(body))
    assert [section.text for section in _parsed(tmp_path / "a.docx", _DOCX)] == [text]


@pytest.mark.parametrize(
    ("part", "count"),
    [
        ("<w:p><w:r><w:t>{}</w:t></w:r></w:p>", 20_000),
        ("<w:p><w:pPr><w:sectPr/></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>", 1500),
    ],
    ids=["paragraphs", "sections"],
)
def test_word_files_of_many_parts_are_read(tmp_path: Path, part: str, count: int) -> None:
    found = _parse_quickly(tmp_path, _with_body("".join(part.format(f"Part {number}.") for number in range(count))))
    assert found[-1].text.endswith(f"Part {count - 1}.")


def test_long_merged_columns_are_read(tmp_path: Path) -> None:
    rows = (_cell("", "<w:vMerge/>") + _cell(f"Row {number}.") for number in range(3000))
    assert _parse_quickly(tmp_path, _with_body(_table(*rows)))[-1].text.endswith("Row 2999.")


def _parse_quickly(folder: Path, content: bytes, mime_type: str = _DOCX) -> list[Section]:
    path = folder / "file"
    path.write_bytes(content)
    parser = LimitedParser(cpu_seconds=10)
    try:
        return parser.parse(path, mime_type)
    finally:
        parser.close()


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
    assert _parsed(tmp_path / "a.pptx", _PPTX) == [
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
    assert _parsed(tmp_path / "a.xlsx", _XLSX) == [
        Section("Region: North | Sales: 1200.5 EUR | Share: 25% | Since: 2026-03-01 | Open: yes", heading="Q1")
    ]


def _archive(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.xml", data)
    return content.getvalue()


def _locked(archive: bytes) -> bytes:
    """An archive whose first member says that it is encrypted (APPNOTE.TXT, 4.4.4: bit 0 of the flags)."""
    place = archive.index(b"PK\x01\x02") + 8
    return archive[:place] + bytes([archive[place] | 1]) + archive[place + 1 :]


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
        (_locked(_archive(word=b"<x/>")), "password"),
        (_COMPOUND, "old Office format"),
        (_COMPOUND + "EncryptedPackage".encode("utf-16-le"), "password"),
    ],
)
def test_hostile_and_broken_archives_are_refused(tmp_path: Path, content: bytes, message: str, mime_type: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ParseError, match=message):
        _parsed(path, mime_type)


def test_a_row_beyond_the_end_of_every_sheet_is_refused(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.active["A1"] = "Name"
    workbook.active["A2"] = "Bolt"
    written, content = io.BytesIO(), io.BytesIO()
    workbook.save(written)
    with zipfile.ZipFile(written) as old, zipfile.ZipFile(content, "w") as archive:
        for name in old.namelist():
            archive.writestr(name, old.read(name).replace(b'<row r="2"', b'<row r="2000000000"'))
    with pytest.raises(ParseError, match="more rows than any program makes"):
        _parse_quickly(tmp_path, content.getvalue(), _XLSX)


def test_a_cell_left_in_the_last_row_of_a_sheet_does_no_harm(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    workbook.active.append(["Name", "Price"])
    workbook.active.append(["Bolt", 5])
    workbook.active["XFD1048576"] = "stray"
    workbook.save(tmp_path / "a.xlsx")
    assert _parsed(tmp_path / "a.xlsx", _XLSX) == [Section("Name: Bolt | Price: 5\nstray", heading="Sheet")]
