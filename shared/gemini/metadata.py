"""The metadata that every document of ours carries in Gemini: how a passage finds its way back to its object."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from shared.buckets import MetadataValue, ObjectInfo
from shared.gemini.mime import suffix_of
from shared.names import normal

OBJECT = "flamehaven_object"
ATTEMPT = "flamehaven_attempt"
DEPLOYMENT = "flamehaven_deployment"
RESERVED = (OBJECT, ATTEMPT, DEPLOYMENT)

MAX_KEYS = 20
"""Metadata entries that a document may have (API reference, Document.customMetadata)."""
MAX_TEXT = 1024
"""Characters of a key or a text. Gemini names no limit; object names, which we send, have up to 1,024 bytes."""
MAX_TEXTS = 100
FILTERABLE = re.compile(r"""[^\s()"'=!<>]+""")
"""Keys that a metadata filter can name (AIP-160)."""


def document_metadata(info: ObjectInfo, *, attempt: str, deployment: str) -> dict[str, MetadataValue]:
    """Metadata for one upload: three keys of ours, and what people can filter by."""
    return {OBJECT: info.name, ATTEMPT: attempt, DEPLOYMENT: deployment, **searchable_metadata(info)[0]}


def searchable_metadata(info: ObjectInfo) -> tuple[dict[str, MetadataValue], tuple[str, ...]]:
    """What people can filter an object by, and a sentence about each thing that was given and does not fit.

    That is `folder` and `type`, unless they are given, and what is given, as far as Gemini's limits allow.
    """
    folder = normal(str(PurePosixPath(info.name).parent))
    found: dict[str, MetadataValue] = {
        "folder": "" if folder == "." else folder,
        "type": suffix_of(info.name).removeprefix("."),
    }
    notes = list(info.metadata_notes)
    for key, value in info.metadata.items():
        if problem := _problem(key, value):
            notes.append(f"Metadata {key[:MAX_TEXT]!r} was left out: {problem}")
        elif key not in found and len(found) + len(RESERVED) == MAX_KEYS:
            notes.append(f"Metadata {key!r} was left out: a document has at most {MAX_KEYS} keys, five of them ours.")
        else:
            found[key] = value
    return found, tuple(notes)


def _problem(key: str, value: MetadataValue) -> str | None:
    if key in RESERVED:
        return "the name is this product's own."
    if len(key) > MAX_TEXT or not FILTERABLE.fullmatch(key):
        return "a filter cannot name it. Use a word without spaces, quotes, parentheses or any of = ! < >."
    if value in ("", ()) or (isinstance(value, tuple) and "" in value):
        return "it is empty."
    texts = value if isinstance(value, tuple) else (value,)
    if len(texts) > MAX_TEXTS or any(isinstance(text, str) and len(text) > MAX_TEXT for text in texts):
        return f"it is longer than {MAX_TEXT} characters or {MAX_TEXTS} texts."
    return None
