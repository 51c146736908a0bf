"""Files into text: every supported kind of file becomes sections that keep their page and heading."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from typing import BinaryIO

from file_search_emulator.parsing.limited import LimitedParser
from file_search_emulator.parsing.section import ParseError, Section, TookTooLong

__all__ = ["LimitedParser", "ParseError", "Section", "TookTooLong", "parse"]

_OFFICE = "application/vnd.openxmlformats-officedocument"
_GENERIC = {"", "application/octet-stream", "binary/octet-stream"}
_BY_SUFFIX = {
    ".pdf": "application/pdf",
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    ".html": "text/html",
    ".htm": "text/html",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
}
_UNREADABLE = {
    "application/msword": "Old Word files (.doc) cannot be read: save the file as DOCX or PDF.",
    "application/vnd.ms-excel": "Old Excel files (.xls) cannot be read: save the file as XLSX or CSV.",
    "application/vnd.oasis.opendocument.text": "OpenDocument files cannot be read: save the file as DOCX or PDF.",
    "application/x-hwp": "HWP files cannot be read: save the file as DOCX or PDF.",
    "application/x-hwp-v5": "HWP files cannot be read: save the file as DOCX or PDF.",
    "application/zip": "Archives are not searched: upload the files inside it one by one.",
    "text/rtf": "RTF files cannot be read: save the file as DOCX or PDF.",
    "application/rtf": "RTF files cannot be read: save the file as DOCX or PDF.",
}
_DAMAGED = (
    "The file is damaged or is not what its extension says: open it in its program, save it again, and upload the copy."
)
_TEXTUAL = ("text/", "application/")
_LONGEST_HEADING = 500
"""Characters: every chunk of a section is indexed with its heading."""


def parse(file: BinaryIO, mime_type: str, name: str = "") -> list[Section]:
    """The text of an open file as sections, in this process.

    `mime_type` decides how it is read; where that says nothing, the extension of `name`. Raises ParseError, with a
    sentence for the person who uploaded the file, when there is no text to be had.
    """
    kind = mime_type.partition(";")[0].strip().lower()
    if kind in _GENERIC:
        kind = _BY_SUFFIX.get(PurePosixPath(name).suffix.lower(), "text/plain")
    if file.seek(0, os.SEEK_END) == 0:
        raise ParseError("The file is empty.")
    file.seek(0)
    read = _reader(kind)
    try:
        sections = [_headed(section) for section in read(file) if section.text.strip()]
    except ParseError:
        raise
    except MemoryError:
        raise ParseError("The file needs more memory than any file is given: split it into several files.") from None
    except Exception as error:  # whatever a library says about damaged input
        raise ParseError(f"{_DAMAGED} ({type(error).__name__})") from error
    if not sections:
        raise ParseError("No text found in the file. If it holds scans or pictures, run text recognition (OCR) first.")
    return sections


def _headed(section: Section) -> Section:
    return replace(section, heading=section.heading[:_LONGEST_HEADING]) if section.heading else section


def _reader(kind: str) -> Callable[[BinaryIO], list[Section]]:  # noqa: C901 (one branch per kind, each a lazy import)
    if kind in _UNREADABLE:
        raise ParseError(_UNREADABLE[kind])
    if kind == "application/pdf":
        from file_search_emulator.parsing.pdf import read
    elif kind.startswith(f"{_OFFICE}.wordprocessingml."):
        from file_search_emulator.parsing.word import read
    elif kind.startswith(f"{_OFFICE}.presentationml."):
        from file_search_emulator.parsing.slides import read
    elif kind.startswith(f"{_OFFICE}.spreadsheetml."):
        from file_search_emulator.parsing.sheet import read
    elif kind in {"text/html", "application/xhtml+xml"}:
        from file_search_emulator.parsing.html import read
    elif kind in {"text/csv", "text/tab-separated-values", "text/tsv"}:
        from file_search_emulator.parsing.table import read
    elif kind == "text/markdown":
        from file_search_emulator.parsing.markdown import read
    elif kind == "application/json":
        from file_search_emulator.parsing.json import read
    elif kind == "application/vnd.jupyter":
        from file_search_emulator.parsing.notebook import read
    elif kind in {"image/png", "image/jpeg"}:
        from file_search_emulator.parsing.image import read
    elif kind.startswith(_TEXTUAL):
        from file_search_emulator.parsing.text import read
    else:
        raise ParseError(f"Files of type {kind} cannot be read: there is no text in them to search.")
    return read
