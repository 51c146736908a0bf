"""What DOCX, PPTX and XLSX share: they are zip archives of XML, and must be distrusted before they are inflated."""

from __future__ import annotations

import os
import zipfile
from typing import BinaryIO

from file_search_emulator.parsing.section import ParseError

_MAX_INFLATED = 200 << 20  # bytes, of all members together
_MAX_RATIO = 150  # beyond _FREE_INFLATED; real documents stay under 50
_FREE_INFLATED = 10 << 20
_LOCKED = 1  # the flag of an encrypted member
_MAX_MEMBERS = 10_000
_COMPOUND_FILE = bytes.fromhex("d0cf11e0a1b11ae1")
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_BLOCK = 1 << 20
_DOCTYPE = b"<!DOCTYPE"
_PROTECTED = "The file is protected with a password: upload a copy without one."


def check(file: BinaryIO) -> None:
    """Raise ParseError for an Office file that is encrypted, of an old format, damaged, or built to do harm."""
    if file.read(8) == _COMPOUND_FILE:
        if _ENCRYPTED in file.read():
            raise ParseError(_PROTECTED)
        raise ParseError("The file is in an old Office format: save it as DOCX, XLSX or PPTX.")
    try:
        with zipfile.ZipFile(file) as archive:
            _check_sizes(archive.infolist(), file.seek(0, os.SEEK_END))
            for member in archive.infolist():
                if member.flag_bits & _LOCKED:
                    raise ParseError(_PROTECTED)
                if member.filename.lower().endswith((".xml", ".rels", ".vml")):
                    _refuse_doctype(archive, member)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ParseError("The file is damaged: open it in its program, save it again, and upload the copy.") from error


def _check_sizes(members: list[zipfile.ZipInfo], size: int) -> None:
    """Compare what the archive says it holds; zipfile never inflates a member beyond that."""
    inflated = sum(member.file_size for member in members)
    if len(members) > _MAX_MEMBERS or inflated > _MAX_INFLATED:
        raise ParseError("The file unpacks to more than any file is given room for: split it.")
    if inflated > _FREE_INFLATED and inflated > size * _MAX_RATIO:
        raise ParseError("The file is compressed beyond what a document ever is, as archives built to do harm are.")


def _refuse_doctype(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Office files have no document type; entities, and with them expansion bombs, need one."""
    tail = b""
    with archive.open(member) as file:
        while block := file.read(_BLOCK):
            seen = tail + block.replace(b"\x00", b"")
            if _DOCTYPE in seen:
                raise ParseError("The file holds XML entities, which no Office program writes: save it anew.")
            tail = seen[-len(_DOCTYPE) :]
