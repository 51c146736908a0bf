"""Small real documents of every supported kind, each with a fact to find."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Example:
    """A document's name, what to ask, what the excerpt must hold, and the page it is on where there are pages."""

    name: str
    question: str
    fact: str
    page: int | None
    write: Callable[[Path], None]


def pdf(pages: Sequence[str]) -> bytes:
    """A PDF with one line of text on each page (ISO 32000-1, the least that a reader takes)."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for text in pages:
        escaped = text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        content = f"BT /F1 12 Tf 50 700 Td ({escaped}) Tj ET".encode("latin-1")
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
        objects.append((page + f"/Contents {len(objects)} 0 R >>").encode())
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % offset for offset in offsets)
    out.write(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table))
    return out.getvalue()


def _text(content: str) -> Callable[[Path], None]:
    return _bytes(content.encode())


def _bytes(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def _docx(path: Path) -> None:
    import docx

    document = docx.Document()
    document.add_heading("Travel policy", 1)
    document.add_paragraph("Trips are booked by the travel desk. A hotel room may cost 140 euros a night at most.")
    document.save(str(path))


def _pptx(path: Path) -> None:
    import pptx

    deck = pptx.Presentation()
    for title, body in (
        ("Results", "A review of the year."),
        ("Outlook", "The Lisbon office opens in March 2027 with forty desks."),
    ):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
    deck.save(str(path))


def _xlsx(path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Suppliers"
    sheet.append(["Supplier", "City", "Contract ends"])
    sheet.append(["Northwind Paper", "Aarhus", "30 June 2028"])
    sheet.append(["Blue Kettle Coffee", "Ghent", "1 May 2027"])
    book.save(path)


def _csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["printer", "floor", "tray capacity"])
        writer.writerow(["Heron", "3", "550 sheets"])
        writer.writerow(["Ibis", "5", "250 sheets"])


LEAVE = "# Leave\n\nHolidays are 30 days a year.\n\n## Parents\n\nParental leave is 26 weeks at full pay.\n"
HANDBOOK = ["Welcome to the office handbook.", "The fire drill takes place on the first Tuesday of October."]
CANTEEN = "<html><body><h1>Canteen</h1><script>var x;</script><p>The canteen closes at 14:45.</p></body></html>"
BACKOFF = 'def compute_backoff(attempt: int) -> float:\n    """Return the delay in seconds: doubled each time."""\n'
JAPANESE = "育児休暇は26週間です。給与は全額支給されます。\n"
LIMITS = json.dumps({"billing service": {"retry limit": 17, "timeout seconds": 30}})

EXAMPLES = [
    Example("leave.md", "How long is parental leave?", "26 weeks", None, _text(LEAVE)),
    Example("vpn.txt", "Which port does the VPN use?", "51820", None, _text("The VPN listens on UDP port 51820.\n")),
    Example("handbook.pdf", "When is the fire drill?", "first Tuesday of October", 2, _bytes(pdf(HANDBOOK))),
    Example("travel.docx", "How much may a hotel room cost?", "140 euros", None, _docx),
    Example("plans.pptx", "When does the Lisbon office open?", "March 2027", 2, _pptx),
    Example("suppliers.xlsx", "When does the contract of Northwind Paper end?", "30 June 2028", None, _xlsx),
    Example("printers.csv", "What is the tray capacity of the Heron printer?", "550 sheets", None, _csv),
    Example("canteen.html", "At what time does the canteen close?", "14:45", None, _text(CANTEEN)),
    Example("limits.json", "What is the retry limit of the billing service?", "17", None, _text(LIMITS)),
    Example("backoff.py", "What does compute_backoff return?", "compute_backoff", None, _text(BACKOFF)),
    Example("jp.txt", "育児休暇は何週間ですか", "26週間", None, _text(JAPANESE)),
]
