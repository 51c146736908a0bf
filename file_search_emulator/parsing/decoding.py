"""Bytes into text, whatever the encoding; what is no text at all is refused."""

from __future__ import annotations

import codecs
import re

from file_search_emulator.parsing.section import ParseError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_EAST_ASIAN = (  # a stricter codec to test with, the wider one to read with, and what such text cannot do without
    ("cp932", "cp932", re.compile("[\u3041-\u30ff]")),
    ("euc_jp", "euc_jp", re.compile("[\u3041-\u30ff]")),
    ("euc_kr", "cp949", re.compile("[\uac00-\ud7a3]")),
    ("gb2312", "gb18030", re.compile("[\u4e00-\u9fff]")),
)
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_LETTER = re.compile(rb"[A-Za-z]")
_HIGH_LETTER = re.compile(rb"[\xc0-\xff]")
_SAMPLE = 64 * 1024  # bytes
_NOT_TEXT = "This is not a text file: check that its extension fits its content; if it is text, save it as UTF-8."
_OTHER_KINDS = {
    b"%PDF-": "This is a PDF, not a text file: give it the extension .pdf.",
    b"{\\rtf": "RTF files cannot be read: save the file as DOCX or PDF.",
}
"""By how they begin: files that are all ASCII, but nothing that anybody would read."""


def decode(data: bytes, declared: str | None = None) -> str:
    """The text of a file's bytes: by byte order mark, by the encoding it `declared`, as UTF-8, UTF-16, or by guess.

    Lines end in `\\n` in what is returned. Raises ParseError when the bytes are no text.
    """
    text = _decode(data, declared).replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\x00", "").replace("\f", "\n\n")


def _decode(data: bytes, declared: str | None) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    sample = data[:_SAMPLE]
    if (unmarked := _utf16_without_mark(sample)) is not None:
        return data.decode(unmarked, errors="replace")
    for beginning, refusal in _OTHER_KINDS.items():
        if sample.startswith(beginning):
            raise ParseError(refusal)
    if len(_CONTROL.findall(sample)) > len(sample) // 100:
        raise ParseError(_NOT_TEXT)
    for encoding in filter(None, ("utf-8", declared)):
        try:
            return data.decode(encoding)
        except (UnicodeError, LookupError):
            continue
    return data.decode(_guess(data), errors="replace")


def _utf16_without_mark(sample: bytes) -> str | None:
    """UTF-16 of mostly ASCII text has a zero in nearly every second byte."""
    pairs = len(sample) // 2
    if pairs < 2:
        return None
    for encoding, high, low in (("utf-16-le", sample[1::2], sample[::2]), ("utf-16-be", sample[::2], sample[1::2])):
        if high.count(0) > pairs * 0.6 and low.count(0) < pairs * 0.05:
            return encoding
    return None


def _guess(data: bytes) -> str:
    """Which old encoding: East Asian ones have strict rules and typical characters, Cyrillic is mostly high bytes."""
    for rules, encoding, typical in _EAST_ASIAN:
        try:
            text = data.decode(rules)[:_SAMPLE]
        except UnicodeDecodeError:
            continue
        foreign = len(_FOREIGN.findall(text))
        if len(typical.findall(text)) > foreign * 0.25 and foreign > len(_LETTER.findall(data[:_SAMPLE])) * 0.5:
            return encoding
    sample = data[:_SAMPLE]
    return "cp1251" if len(_HIGH_LETTER.findall(sample)) > len(_LETTER.findall(sample)) else "cp1252"
