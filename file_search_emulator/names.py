"""Resource names and ids, made and checked as the API does."""

from __future__ import annotations

import re
import secrets
import string

from file_search_emulator.errors import invalid_argument, media_denied

_ALPHABET = string.ascii_lowercase + string.digits
_ID = re.compile(r"[a-z0-9-]{1,40}")
_BLOB_REF = "genai-api/blobref/global"
_STORE = re.compile(r"fileSearchStores/([^/]+)")


def new_id(display_name: str) -> str:
    """An id for a store or document, at most 40 characters, from its display name: "My_File Store" gives
    `myfile-store-4gk0a8c1zq9d`, a name without a plain letter or digit (or none) two random parts.
    """
    kept = "".join(letter for letter in display_name.lower() if letter in f"{_ALPHABET} ")
    plain = kept.replace(" ", "-")[:27]
    return f"{plain if plain.strip('-') else random_id()}-{random_id()}"


def check_id(resource: str, value: str) -> str:
    """The id, if ids of stores and documents look like this. Raises ApiError (400) where they never do."""
    if not _ID.fullmatch(value):
        raise invalid_argument(f"* {resource}.name: the id '{value[:60]}' does not match the expected format.")
    return value


def store_id(name: str) -> str:
    """The id in a store's resource name, `fileSearchStores/ID`. Raises ApiError (400)."""
    match = _STORE.fullmatch(name)
    if match is None:
        raise invalid_argument(f"* '{name[:80]}' does not match the expected format fileSearchStores/ID.")
    return check_id("FileSearchStore", match[1])


def media_id(store: str, document: str) -> str:
    """The resource name of a picture's bytes; the service's have slashes and colons in them too."""
    return f"fileSearchStores/{store}/media/{_BLOB_REF}::{document}"


def media_document(media: str) -> str:
    """The id of the document in the last part of a media id. Raises ApiError (403)."""
    reference, _, document = media.partition("::")
    if reference != _BLOB_REF or not _ID.fullmatch(document):
        raise media_denied(media)
    return document


def random_id() -> str:
    """Twelve letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(12))
