"""Writes the sample documents that are not plain text: `.venv/bin/python scripts/make_samples.py`."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
import pypdfium2
import pypdfium2.raw as pdfium

SAMPLES = Path(__file__).parents[1] / "samples"
AUTHOR = "Halcyon Lanterns"

HANDBOOK = [
    """Employee handbook
    Halcyon Lanterns, 2026 edition

    Welcome. Halcyon has made signal lanterns for harbours and lighthouses since 1904.
    This handbook says how we work together; your contract comes first where they differ.

    Working hours
    The working week has 37.5 hours. Core hours are 10:00 to 15:00; the rest is yours to place.
    Working from home is possible on up to three days a week, agreed with your team.
    Dogs are welcome on the third floor on Fridays.""",
    """Travel and expenses

    Book trains and flights through the travel desk. First class is allowed on train
    journeys of more than four hours. Flights under 600 kilometres are not reimbursed.

    A hotel may cost up to 140 euros a night, breakfast included.
    The meal allowance is 45 euros a day, without receipts.
    The mileage rate for a private car is 0.38 euros a kilometre.

    Hand in expenses within 30 days; they are paid with the next salary.""",
    """Conduct

    Gifts worth more than 50 euros are declined, or handed to the works council's raffle.
    Second jobs are reported to human resources before they start.

    Concerns can be raised in confidence with the ombudsperson, Dr. Leila Brandt,
    on extension 7007. Nobody who raises a concern in good faith is put at a disadvantage.""",
]


def write_pdf(path: Path, pages: list[str]) -> None:
    """Write one A4 page for each text, a line of it a line of the page."""
    document = pypdfium2.PdfDocument.new()
    for text in pages:
        page = document.new_page(595, 842)
        for number, line in enumerate(text.splitlines()):
            if not line.strip():
                continue
            written = pdfium.FPDFPageObj_NewTextObj(document, b"Helvetica", 18 if number == 0 else 12)
            letters = (line.strip() + "\0").encode("utf-16-le")
            pdfium.FPDFText_SetText(written, ctypes.cast(letters, ctypes.POINTER(ctypes.c_ushort)))
            pdfium.FPDFPageObj_Transform(written, 1, 0, 0, 1, 60, 770 - 20 * number)
            pdfium.FPDFPage_InsertObject(page, written)
        page.gen_content()
    document.save(path)


def sign(properties: Any) -> None:
    """Put the company's name where the library's templates have their authors'."""
    properties.author = properties.last_modified_by = AUTHOR
    properties.comments = ""


def write_docx(path: Path) -> None:
    """Write the guide for a new colleague's first weeks."""
    document = docx.Document()
    sign(document.core_properties)
    document.add_heading("Onboarding guide", 0)
    document.add_heading("Your first day", 1)
    document.add_paragraph(
        "Your first day starts at 9:30 at the reception in Harbour Street 12. Bring your passport and your bank "
        "details. You collect your laptop and your badge in room 2.14."
    )
    document.add_heading("Your first weeks", 1)
    document.add_paragraph("Each new colleague has a buddy for the first three months.")
    document.add_paragraph("The probation period is six months; the notice period in it is two weeks.")
    document.add_heading("Trainings", 1)
    table = document.add_table(rows=1, cols=3)
    rows = [
        ("Training", "Due", "Length"),
        ("Workshop safety", "in week 1", "2 hours"),
        ("Data protection", "in week 2", "45 minutes"),
        ("Lantern optics for everyone", "in month 3", "1 day"),
    ]
    for index, row in enumerate(rows):
        for cell, text in zip(table.rows[0].cells if index == 0 else table.add_row().cells, row, strict=True):
            cell.text = text
    document.save(path)


def write_xlsx(path: Path) -> None:
    """Write the table of benefits and that of the paydays."""
    book = openpyxl.Workbook()
    book.properties.creator = AUTHOR
    benefits = book.active
    benefits.title = "Benefits"
    for row in [
        ("Benefit", "What Halcyon pays", "From", "Ask"),
        ("Pension", "8 % of salary", "the first month", "pensions desk"),
        ("Bicycle lease", "half of the rate, up to 60 euros a month", "the fourth month", "mobility desk"),
        ("Gym", "25 euros a month", "the first month", "people team"),
        ("Language courses", "the full fee, up to 900 euros a year", "the seventh month", "learning desk"),
        ("Day nursery", "200 euros a month for each child", "the first month", "people team"),
    ]:
        benefits.append(row)
    paydays = book.create_sheet("Paydays 2026")
    for row in [
        ("Month", "Payday"),
        ("October", "29 October"),
        ("November", "27 November"),
        ("December", "18 December"),
    ]:
        paydays.append(row)
    book.save(path)


def write_pptx(path: Path) -> None:
    """Write the slides about replacing laptops."""
    deck = pptx.Presentation()
    sign(deck.core_properties)
    for title, *points in [
        ("Laptop refresh 2026", "IT service desk, Halcyon Lanterns"),
        ("When", "Laptops are replaced every four years.", "The swap week for the Lisbon office is 9 to 13 March."),
        (
            "What you do",
            "Save your files to the file server the evening before.",
            "Bring the old laptop and its charger to the service desk.",
        ),
        (
            "Old laptops",
            "Old laptops are wiped and can be bought for 120 euros.",
            "What is left goes to the Bright Harbour school.",
        ),
    ]:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = "\n".join(points)
    deck.save(path)


def main() -> None:
    """Write all of them."""
    write_pdf(SAMPLES / "hr" / "employee-handbook.pdf", HANDBOOK)
    write_docx(SAMPLES / "hr" / "onboarding-guide.docx")
    write_xlsx(SAMPLES / "hr" / "benefits.xlsx")
    write_pptx(SAMPLES / "it" / "laptop-refresh.pptx")


if __name__ == "__main__":
    main()
