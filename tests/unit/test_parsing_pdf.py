from __future__ import annotations

from pathlib import Path

import pytest

from file_search_emulator.parsing import ParseError, Section, parse


def pdf(*objects: bytes, trailer: bytes = b"") -> bytes:
    """A PDF file of these objects, numbered from 1; the first is the catalogue."""
    content = bytearray(b"%PDF-1.7\n")
    places = []
    for number, data in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n%b\nendobj\n" % (number, data)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return bytes(
        content
    ) + b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<</Size %d/Root 1 0 R%b>>\nstartxref\n%d\n%%%%EOF" % (
        size,
        table,
        size,
        trailer,
        len(content),
    )


def pages(*texts: str, trailer: bytes = b"") -> bytes:
    """A PDF file with one page for each text."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * index) for index in range(len(texts)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(texts)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for index, text in enumerate(texts):
        drawing = b"BT /F1 12 Tf 72 700 Td (%b) Tj ET" % text.encode("latin-1")
        resources = b"/Resources<</Font<</F1 3 0 R>>>>/MediaBox[0 0 612 792]"
        objects.append(b"<</Type/Page/Parent 2 0 R%b/Contents %d 0 R>>" % (resources, 5 + 2 * index))
        objects.append(b"<</Length %d>>stream\n%b\nendstream" % (len(drawing), drawing))
    return pdf(*objects, trailer=trailer)


def _parse(folder: Path, content: bytes) -> list[Section]:
    path = folder / "file"
    path.write_bytes(content)
    with path.open("rb") as file:
        return parse(file, "application/pdf")


def test_each_page_with_text_is_a_section(tmp_path: Path) -> None:
    found = _parse(tmp_path, pages("Leave is 25 days.", "", "Notice is three months."))
    assert found == [Section("Leave is 25 days.", page=1), Section("Notice is three months.", page=3)]


_LOCK = b"/Encrypt<</Filter/Standard/V 1/R 2/P -4/O(%b)/U(%b)>>/ID[(a)(a)]" % (b"o" * 32, b"u" * 32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"%PDF-1.7\nno more", "damaged"),
        (pages("x" * 300)[:250], "damaged"),
        (b"not a pdf at all", "damaged"),
        (pages("secret", trailer=_LOCK), "password"),
        (pages(""), "OCR"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        _parse(tmp_path, content)
