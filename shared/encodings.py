"""Unpacking gzip, in pieces of bounded size: bodies of requests and objects in buckets may be compressed so.

Sources: RFC 9110, section 8.4 (content codings); RFC 1952 (gzip).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE = 1 << 18
"""Bytes that are unpacked at once: a small input may stand for a thousand times as much."""
EMPTY_INPUT = 1 << 16
"""Bytes that may go in before half as many come out: a head may be long, and a row of empty blocks without end."""
PLAIN = ("", "identity", "aws-chunked")
"""What leaves the content as it is: the last is how some clients of S3 sent it, and some servers keep."""
GZIP = ("gzip", "x-gzip")


class UnknownEncoding(ValueError):
    """The content is encoded in a way that is not undone here."""


class NotGzip(ValueError):
    """The content is not gzip, as it is said to be, or not all of it."""


def is_gzip(content_encoding: str) -> bool:
    """Whether content with this Content-Encoding is gzip; False where it is not encoded. Raises UnknownEncoding."""
    codings = [coding for part in content_encoding.split(",") if (coding := part.strip().lower()) not in PLAIN]
    if not codings:
        return False
    if len(codings) > 1 or codings[0] not in GZIP:
        raise UnknownEncoding(", ".join(codings))
    return True


class Gunzip:
    """Unpacks gzip as it comes; what was read of it in vain may be thrown away at any moment."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self._taken = self._given = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What these further bytes stand for, piece by piece. Raises NotGzip."""
        while data:
            if self._member.eof:
                data = data.lstrip(b"\0")  # padding between and after members, as gzip takes it
                if not data:
                    return
                self._member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            try:
                piece = self._member.decompress(data, PIECE)
            except zlib.error as error:
                raise NotGzip(str(error)) from error
            left = self._member.unconsumed_tail or self._member.unused_data
            self._taken += len(data) - len(left)
            self._given += len(piece)
            if self._taken > EMPTY_INPUT + 2 * self._given:
                raise NotGzip("it holds next to nothing")
            data = left
            if piece:
                yield piece

    def end(self) -> None:
        """Say that nothing more comes. Raises NotGzip where the content is cut short."""
        if not self._member.eof:
            raise NotGzip("it is cut short")
