"""Files that are damaged, locked, disguised, or built to do harm, and how each is refused."""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import openpyxl

from tests.documents import EXAMPLES, pdf


@dataclass(frozen=True, slots=True)
class Hostile:
    """A file's name, its content, the code of its reason, and a word of the message that its owner gets."""

    name: str
    content: Callable[[], bytes]
    code: str
    says: str


def stream(data: bytes, filters: bytes = b"/FlateDecode") -> bytes:
    """A stream object of a PDF, its data as it is."""
    return b"<</Length %d/Filter[%b]>>stream\n%b\nendstream" % (len(data), filters, data)


def page(contents: bytes, box: bytes = b"[0 0 612 792]") -> bytes:
    """A damaged-looking but readable PDF: without a table of objects, which readers rebuild."""
    return (
        b"%%PDF-1.7\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox%b/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
        b"4 0 obj %b endobj\n5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Courier>>endobj\ntrailer<</Root 1 0 R>>"
        % (box, contents)
    )


def show(text: bytes) -> bytes:
    """Drawing commands that put text on a page."""
    return b"BT /F 9 Tf (%b) Tj ET " % text


def twice_packed(size: int) -> bytes:
    return stream(zlib.compress(zlib.compress(b"\0" * size, 9), 9), b"/FlateDecode/FlateDecode")


PDF_BOMBS: dict[str, Callable[[], bytes]] = {
    "nested arrays": lambda: page(b"[" * 10_000),
    "nested dictionaries": lambda: page(b"<</A" * 5_000),
    "nested drawing state": lambda: page(stream(zlib.compress(b"q " * 5_000_000, 9))),
    "stream of streams": lambda: page(twice_packed(900_000_000)),
    "much text": lambda: page(stream(zlib.compress(show(b"x" * 60) * 3_000_000, 9))),
    "page tree that holds itself": lambda: page(b"<<>>").replace(b"Kids[3 0 R]/Count 1", b"Kids[2 0 R]/Count 9999"),
}


def locked_pdf() -> bytes:
    """A PDF with a user password (ISO 32000-1, 7.6.3: the standard security handler, revision 2, RC4 of 40 bits)."""
    padding = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
    user, identity, permissions = (
        (b"secret" + padding)[:32],
        b"0123456789abcdef",
        (-4).to_bytes(4, "little", signed=True),
    )
    owner = rc4(hashlib.md5(user).digest()[:5], user)  # noqa: S324 - the format's own
    key = hashlib.md5(user + owner + permissions + identity).digest()[:5]  # noqa: S324
    encrypt = f"<</Filter/Standard/V 1/R 2/O<{owner.hex()}>/U<{rc4(key, padding).hex()}>/P -4>>".encode()
    plain = page(stream(zlib.compress(show(b"locked"))))
    trailer = b"6 0 obj %b endobj\ntrailer<</Root 1 0 R/Encrypt 6 0 R/ID[<%b><%b>]>>"
    return plain.replace(
        b"trailer<</Root 1 0 R>>", trailer % (encrypt, identity.hex().encode(), identity.hex().encode())
    )


def rc4(key: bytes, data: bytes) -> bytes:
    state, other = list(range(256)), 0
    for index in range(256):
        other = (other + state[index] + key[index % len(key)]) % 256
        state[index], state[other] = state[other], state[index]
    first = second = 0
    out = bytearray()
    for byte in data:
        first = (first + 1) % 256
        second = (second + state[first]) % 256
        state[first], state[second] = state[second], state[first]
        out.append(byte ^ state[(state[first] + state[second]) % 256])
    return bytes(out)


def locked_office() -> bytes:
    """What a password makes of an Office file: a compound file (MS-CFB) that holds an EncryptedPackage."""
    names = b"".join(
        name.encode("utf-16-le").ljust(128, b"\0") for name in ("Root Entry", "EncryptionInfo", "EncryptedPackage")
    )
    return bytes.fromhex("d0cf11e0a1b11ae1").ljust(512, b"\0") + names + random.Random(1).randbytes(4096)


def example(name: str) -> bytes:
    """The bytes of one of the good documents."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        next(each for each in EXAMPLES if each.name == name).write(path)
        return path.read_bytes()


def archive(members: dict[str, bytes], count: int = 0) -> bytes:
    """An Office file's archive with these members, and `count` empty ones more."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, content in members.items():
            file.writestr(name, content)
        for number in range(count):
            file.writestr(f"word/{number}.xml", b"")
    return packed.getvalue()


def garbled(data: bytes) -> bytes:
    """The data with its middle overwritten."""
    middle = len(data) // 3
    return data[:middle] + random.Random(2).randbytes(middle) + data[2 * middle :]


def blanks(megabytes: int) -> bytes:
    """XML that packs very well."""
    return b"<a>" + b" " * (megabytes << 20) + b"</a>"


def far_cells(rows: int) -> bytes:
    """A workbook whose rows have one cell each, in the last column there can be (XFD)."""
    workbook = openpyxl.Workbook()
    for row in range(1, rows + 1):
        workbook.active.cell(row, 16_384, 1)
    packed = io.BytesIO()
    workbook.save(packed)
    return packed.getvalue()


def many_attributes(count: int) -> bytes:
    """A page with one element of many attributes."""
    return b"<p " + b" ".join(b"a%d=1" % number for number in range(count)) + b">text</p>"


LAUGHS = b"<!DOCTYPE lol [<!ENTITY a 'ha'>%b]><w:document>&j;</w:document>" % b"".join(
    b"<!ENTITY %c '%b'>" % (98 + number, b"&%c;" % (97 + number) * 10) for number in range(9)
)
BINARY = random.Random(3).randbytes(20_000)
FAILED = "INDEXING_FAILED"

HOSTILE = [
    Hostile("empty.md", lambda: b"", "EMPTY_FILE", "empty"),
    Hostile("blank.md", lambda: b" \n\t\n" * 100, FAILED, "No text"),
    Hostile("program.exe", lambda: b"MZ" + BINARY, "UNSUPPORTED_FILE_TYPE", "'.exe'"),
    Hostile("README", lambda: b"read me", "UNSUPPORTED_FILE_TYPE", "without an extension"),
    Hostile("dots.md..", lambda: b"text", "UNSUPPORTED_FILE_TYPE", "extension"),
    Hostile("tab\there.md", lambda: b"text", "INVALID_FILENAME", "control characters"),
    Hostile("line\nbreak.md", lambda: b"text", "INVALID_FILENAME", "control characters"),
    Hostile("binary.md", lambda: BINARY, FAILED, "not a text file"),
    Hostile("really-a-pdf.txt", lambda: page(stream(zlib.compress(BINARY))), FAILED, "not a text file"),
    Hostile("really-a-pdf.docx", lambda: pdf(["Hello."]), FAILED, "damaged"),
    Hostile("really-a-docx.pdf", lambda: example("travel.docx"), FAILED, "damaged"),
    Hostile("really-a-docx.xlsx", lambda: example("travel.docx"), FAILED, "damaged"),
    Hostile("locked.pdf", locked_pdf, FAILED, "password"),
    Hostile("locked.docx", locked_office, FAILED, "password"),
    Hostile("locked.xlsx", locked_office, FAILED, "password"),
    Hostile("scan.pdf", lambda: page(stream(zlib.compress(b"0 0 m 9 9 l S"))), FAILED, "OCR"),
    Hostile("half.pdf", lambda: example("handbook.pdf")[:200], FAILED, "damaged"),
    Hostile("half.docx", lambda: example("travel.docx")[:-2000], FAILED, "damaged"),
    Hostile("half.xlsx", lambda: example("suppliers.xlsx")[:-2000], FAILED, "damaged"),
    Hostile("half.pptx", lambda: example("plans.pptx")[:-2000], FAILED, "damaged"),
    Hostile("garbled.docx", lambda: garbled(example("travel.docx")), FAILED, "damaged"),
    Hostile("garbled.xlsx", lambda: garbled(example("suppliers.xlsx")), FAILED, "damaged"),
]
BOMBS = [
    Hostile("laughs.docx", lambda: archive({"word/document.xml": LAUGHS}), FAILED, "entities"),
    Hostile("bomb.docx", lambda: archive({"word/document.xml": blanks(300)}), FAILED, "unpacks"),
    Hostile("bomb.xlsx", lambda: archive({"xl/worksheets/sheet1.xml": blanks(300)}), FAILED, "unpacks"),
    Hostile("bomb.pptx", lambda: archive({"ppt/slides/slide1.xml": blanks(100)}), FAILED, "compressed"),
    Hostile("crowd.docx", lambda: archive({}, count=20_000), FAILED, "unpacks"),
    *(Hostile(f"bomb-{name.replace(' ', '-')}.pdf", content, FAILED, "") for name, content in PDF_BOMBS.items()),
]

HOGS: dict[str, Callable[[], bytes]] = {
    "far-cells.xlsx": lambda: far_cells(20_000),
    "attributes.html": lambda: many_attributes(300_000),
    "nested.html": lambda: b"<div>" * 500_000 + b"deep",
    "drawing.pdf": lambda: page(stream(zlib.compress(show(b"x" * 60) * 3_000_000, 9))),
}
"""Small files that took all the time that any file gets."""


def marks(size: int) -> bytes:
    """A text of nothing but one punctuation mark."""
    return b"Marks: " + b"!" * size


def long_words(size: int, seed: int) -> bytes:
    """A text of different words of Korean, which are indexed by their pairs of letters, as long as a chunk."""
    chosen = random.Random(seed)
    words = ("".join(map(chr, chosen.choices(range(0xAC00, 0xD7A4), k=8_000))) for _ in range(size // 24_001))
    return " ".join(words).encode()
