"""The body of a request as its sender means it: what is compressed with gzip is unpacked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

from starlette.requests import Request

from shared.encodings import Gunzip, NotGzip, UnknownEncoding, is_gzip
from shared.errors import ServiceError


async def body(request: Request) -> AsyncGenerator[bytes, None]:
    """The parts of a request's body, unpacked; whoever reads them ends where there are too many.

    Raises ServiceError: UNSUPPORTED_ENCODING (RFC 7694, section 3), and BAD_REQUEST where it is not gzip and says so.
    """
    unpacking = Gunzip() if _is_compressed(request) else None
    try:
        async for part in request.stream():
            for piece in unpacking.feed(part) if unpacking else (part,):
                yield piece
        if unpacking:
            unpacking.end()
    except NotGzip as error:
        raise ServiceError(
            "BAD_REQUEST",
            f"The body is not gzip, as Content-Encoding says: {error}. Send it again, or as it is without that header.",
        ) from error


async def whole(parts: AsyncIterable[bytes], most: int, too_large: Exception) -> bytes:
    """All parts together. Raises `too_large` as soon as they have more than `most` bytes."""
    data = bytearray()
    async for part in parts:
        data += part
        if len(data) > most:
            raise too_large
    return bytes(data)


def declared_length(request: Request) -> int | None:
    """The bytes that a request's body is said to have; None where nothing is said, or only of its compressed form."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() and not _is_compressed(request) else None


def unsupported(encoding: str) -> ServiceError:
    """The refusal of content that is encoded in a way that is not undone here."""
    return ServiceError(
        "UNSUPPORTED_ENCODING",
        f"Content-Encoding {encoding!r} is not understood here. Send the content as it is, or compressed with gzip.",
        headers={"Accept-Encoding": "gzip"},
    )


def _is_compressed(request: Request) -> bool:
    try:
        return is_gzip(",".join(request.headers.getlist("content-encoding")))
    except UnknownEncoding as error:
        raise unsupported(str(error)) from error
