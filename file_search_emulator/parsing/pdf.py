"""PDF files, page by page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

import pypdfium2

from file_search_emulator.parsing.section import ParseError, Section

_MAX_PAGES = 10_000
_WRAPPED_HYPHEN = re.compile("[\x02\ufffe\u00ad]\\s*\n?")


def read(file: BinaryIO) -> list[Section]:
    """One section for each page that has text."""
    try:
        document = pypdfium2.PdfDocument(file.read())
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise ParseError("The PDF is protected with a password: upload a copy without one.") from None
        raise ParseError("The PDF is damaged: open it, print it to a new PDF, and upload that.") from None
    with document:
        if len(document) > _MAX_PAGES:
            raise ParseError(f"The PDF has more than {_MAX_PAGES} pages: split it.")
        return list(_pages(document))


def _pages(document: pypdfium2.PdfDocument) -> Iterator[Section]:
    for number in range(len(document)):
        page = document[number]
        textpage = page.get_textpage()
        try:
            text = textpage.get_text_range().replace("\r\n", "\n")
        finally:
            textpage.close()
            page.close()
        if text.strip():
            yield Section(_WRAPPED_HYPHEN.sub("", text), page=number + 1)
