"""Metadata files: what `NAME.metadata.json` says about the object `NAME`."""

from __future__ import annotations

import json
import math
from typing import Any

from shared.buckets import MetadataValue
from shared.names import normal

MAX_BYTES = 64 << 10
"""The largest metadata file that is read."""


def parse_metadata(data: bytes) -> tuple[dict[str, MetadataValue], tuple[str, ...]]:
    """The metadata in a metadata file, and a sentence about each thing in it that is none.

    It is a JSON object (RFC 8259) of texts, numbers, true or false (read as texts), and lists of these (read as texts).
    """
    if len(data) > MAX_BYTES:
        return {}, (f"The metadata file has more than {MAX_BYTES} bytes and was not read.",)
    try:
        found = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return {}, ("The metadata file is not valid JSON.",)
    if not isinstance(found, dict):
        return {}, ('The metadata file is not a JSON object, such as {"author": "Ann"}.',)
    metadata: dict[str, MetadataValue] = {}
    notes = []
    for key, value in found.items():
        try:
            metadata[normal(key)] = normalized(_value(value))
        except (ValueError, OverflowError):
            notes.append(f"Metadata {key!r} was left out: it takes a text, a number, or a list of texts.")
    return metadata, tuple(notes)


def normalized(value: MetadataValue) -> MetadataValue:
    """A value in Unicode's form NFC, in which filters are compared."""
    if isinstance(value, tuple):
        return tuple(map(normal, value))
    return normal(value) if isinstance(value, str) else value


def _value(value: Any) -> MetadataValue:
    if isinstance(value, list):
        return tuple(_text(each) for each in value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(float(value)):
            raise ValueError(value)
        return value
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float)):
        raise ValueError(value)
    text = str(value)
    text.encode()  # lone surrogates are no text
    return text


def _refuse(constant: str) -> None:
    raise ValueError(constant)
