"""Texts that are not ASCII in headers that are: RFC 2047's encoded words."""

from __future__ import annotations

from email.errors import HeaderParseError
from email.header import decode_header, make_header


def decoded(value: str) -> str:
    """The text that a value with encoded words, such as `=?utf-8?B?w5Zs?=`, stands for; any other is itself."""
    try:
        text = str(make_header(decode_header(value))) if "=?" in value else value
        text.encode()  # some of Python's charsets decode to lone surrogates, which are no text
    except (HeaderParseError, LookupError, UnicodeError):
        return value
    return text
