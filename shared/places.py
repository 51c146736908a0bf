"""Where buckets are: addresses as they are parsed, and which of them lie within others."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

OWN = (".tmp", ".lock")
"""What a folder of documents keeps for itself (`shared/buckets/directory.py`)."""


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket at its provider (`gs` or `s3`) with a prefix, or a folder (`file`)."""

    kind: str
    bucket: str
    path: str

    @property
    def prefix(self) -> str:
        """The beginning of the names of all objects here, in a cloud's bucket."""
        return f"{self.path}/" if self.path else ""


def place_of(address: str) -> Place:
    """The place that an address means: gs://BUCKET/PREFIX, s3://BUCKET/PREFIX, a folder's path, or a file:// address.

    Raises ValueError for an address that is none.
    """
    parts = urlsplit(address, allow_fragments=False)
    if parts.scheme in ("gs", "s3") and parts.netloc and not parts.query:
        path = parts.path.strip("/")
        if {".", "..", ""} & set(path.split("/")) and path:  # HTTP clients may take these away
            raise ValueError("takes no '.', '..' or empty segment in a prefix")
        return Place(parts.scheme, parts.netloc, path)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and not parts.query:
        return Place("file", "", _absolute(unquote(parts.path)))
    if parts.scheme == "":
        return Place("file", "", _absolute(address))
    raise ValueError("takes gs://BUCKET/PREFIX, s3://BUCKET/PREFIX, the path of a folder, or a file:// address")


def _absolute(path: str) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links


def is_reachable(place: Place, documents: Place) -> bool:
    """Whether something at `place` could be an object of the bucket of documents, and so be read or replaced by a key.

    A hidden folder of it is out of reach, as no document's name has a segment that starts with a dot. Folders are
    compared as they are named and as they really are, where links lead.
    """
    if (place.kind, place.bucket) != (documents.kind, documents.bucket):
        return False
    return any(_exposed(inside, outside) for inside in _spellings(place) for outside in _spellings(documents))


def contains(outer: Place, inner: Place) -> bool:
    """Whether `inner` is a part of `outer`, hidden or not."""
    if (outer.kind, outer.bucket) != (inner.kind, inner.bucket):
        return False
    return any(_below(inside, outside) is not None for inside in _spellings(inner) for outside in _spellings(outer))


def _exposed(inside: tuple[str, ...], outside: tuple[str, ...]) -> bool:
    below = _below(inside, outside)
    return below is not None and (
        not any(segment.startswith(".") for segment in below) or (len(below) > 0 and below[0] in OWN)
    )


def _below(inside: tuple[str, ...], outside: tuple[str, ...]) -> tuple[str, ...] | None:
    return inside[len(outside) :] if inside[: len(outside)] == outside else None


def _spellings(place: Place) -> set[tuple[str, ...]]:
    """The segments of a place's path: as it is named, and for a folder as it is with each of its links followed."""
    if place.kind != "file":
        return {tuple(filter(None, place.path.split("/")))}
    named = Path(place.path)
    return {named.parts, (named.parent.resolve() / named.name).parts, named.resolve().parts}
