"""What an object's name says: which store it is in, and whether it is a document at all."""

from __future__ import annotations

import hashlib
import unicodedata

DEFAULT_STORE = "default"
METADATA_SUFFIX = ".metadata.json"
MAX_NAME_BYTES = 1024  # Cloud Storage, "Object naming": UTF-8 encoded
MAX_SEGMENT_BYTES = 255  # what file systems take
CONTROL_CHARACTERS = "A name cannot hold control characters; rename the file."


def name_problem(name: str) -> str | None:
    """Why `name` cannot be an object's name, as a sentence for its owner, or None where it can.

    Rules: Cloud Storage's object naming (UTF-8, 1 to 1,024 bytes), narrowed to names that are also safe relative paths,
    so that a document can move between a bucket and a folder.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "The name is not valid Unicode; rename the file."
    if not 0 < size <= MAX_NAME_BYTES:
        return f"A name takes 1 to {MAX_NAME_BYTES} bytes of UTF-8; this one has {size}."
    if any(segment in ("", ".", "..") for segment in name.split("/")):
        return "A name cannot start or end with '/', nor hold an empty, '.' or '..' folder."
    if "\0" in name:
        return CONTROL_CHARACTERS
    return None


def control_problem(name: str) -> str | None:
    """Why a file that has this name already is not indexed under it, or None where it may be."""
    return CONTROL_CHARACTERS if any(unicodedata.category(character) == "Cc" for character in name) else None


def is_document(name: str) -> bool:
    """Whether an object of this name is indexed: hidden files, metadata files and what editors leave behind are not."""
    return name_problem(name) is None and _not_a_document(name) is None


def object_problem(name: str) -> str | None:
    """Why nobody can upload a document as `name`, as a sentence for its owner, or None where it can be."""
    if problem := name_problem(name) or control_problem(name) or _not_a_document(name):
        return problem
    if "\\" in name:
        return "A name cannot hold '\\': folders are separated by '/'."
    if any(len(segment.encode()) > MAX_SEGMENT_BYTES for segment in name.split("/")):
        return f"A file's or a folder's name has at most {MAX_SEGMENT_BYTES} bytes of UTF-8."
    return None


def store_problem(store: str) -> str | None:
    """Why `store` cannot be a store's name, or None where it can: a store is one folder."""
    if "/" in store:
        return "A store's name cannot hold '/': it is one name, not a path."
    return object_problem(store)


def file_name_problem(file_name: str) -> str | None:
    """Why a document cannot be called `file_name`, or None where it can: it is the last part of an object's name."""
    if "/" in file_name:
        return "A file's name cannot hold '/': it is one name, not a path."
    return object_problem(file_name)


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


def _not_a_document(name: str) -> str | None:
    """Why an object of this name is not indexed."""
    file_name = name.rpartition("/")[2]
    if any(segment.startswith(".") for segment in name.split("/")):
        return "Files and folders whose names start with a dot are hidden, and not indexed."
    if name.endswith(METADATA_SUFFIX):
        return f"Names that end in {METADATA_SUFFIX} describe other documents."
    if file_name.endswith("~") or file_name.startswith("~$") or (file_name[:1] == "#" == file_name[-1:]):
        return "Names like x~, ~$x and #x# are those of editors' temporary files, which are not indexed."
    return None
