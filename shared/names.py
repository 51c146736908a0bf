"""What an object's name says: which store it is in, and whether it is a document at all."""

from __future__ import annotations

import hashlib

DEFAULT_STORE = "default"
METADATA_SUFFIX = ".metadata.json"
MAX_NAME_BYTES = 1024  # Cloud Storage, "Object naming": UTF-8 encoded


def name_problem(name: str) -> str | None:
    """Why `name` cannot be an object's name, as a sentence for its owner, or None where it can.

    Rules: Cloud Storage's object naming (UTF-8, 1 to 1,024 bytes, no line breaks), narrowed to names that are also safe
    relative paths, so that a document can move between a bucket and a folder.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "The name is not valid Unicode; rename the file."
    if not 0 < size <= MAX_NAME_BYTES:
        return f"A name takes 1 to {MAX_NAME_BYTES} bytes of UTF-8; this one has {size}."
    if any(ord(character) < 32 or ord(character) == 127 for character in name):
        return "A name cannot hold control characters."
    if any(segment in ("", ".", "..") for segment in name.split("/")):
        return "A name cannot start or end with '/', nor hold an empty, '.' or '..' folder."
    return None


def is_document(name: str) -> bool:
    """Whether an object of this name is indexed; hidden files, folders and metadata files are not."""
    if name_problem(name) or name.endswith(METADATA_SUFFIX):
        return False
    return not any(segment.startswith(".") for segment in name.split("/"))


def described_by(name: str) -> str:
    """The document that a change of this object concerns: itself, or the one that a metadata file describes."""
    return name.removesuffix(METADATA_SUFFIX)


def store_of(name: str) -> str:
    """The store that holds the object: its first folder, or `default`."""
    folder, slash, _ = name.partition("/")
    return folder if slash else DEFAULT_STORE


def digest_of(name: str) -> str:
    """A name of fixed length and safe characters that stands for `name`: its SHA-256 in hexadecimal."""
    return hashlib.sha256(name.encode()).hexdigest()


def store_problem(store: str) -> str | None:
    """Why `store` cannot be a store's name, or None where it can: a store is one folder."""
    return _segment_problem(store, "A store's name")


def file_name_problem(file_name: str) -> str | None:
    """Why a document cannot be called `file_name`, or None where it can: it is the last part of an object's name."""
    if file_name.endswith(METADATA_SUFFIX):
        return f"Names that end in {METADATA_SUFFIX} describe other documents."
    return _segment_problem(file_name, "A file's name")


MAX_SEGMENT_BYTES = 255


def _segment_problem(segment: str, what: str) -> str | None:
    if problem := name_problem(segment):
        return problem
    if "/" in segment or "\\" in segment:
        return f"{what} cannot hold '/' or '\\': it is one name, not a path."
    if segment.startswith("."):
        return f"{what} cannot start with a dot: hidden files are not indexed."
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        return f"{what} has at most {MAX_SEGMENT_BYTES} bytes of UTF-8."
    return None
