"""What an object's name says: which store it is in, and whether it is a document at all.

An object's identity is its exact name. Stores, filters and what people type are compared in Unicode's form NFC, as
Macs write names in another form (NFD) than everybody else.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from itertools import islice, product

DEFAULT_STORE = "default"
METADATA_SUFFIX = ".metadata.json"
MAX_NAME_BYTES = 1024  # Cloud Storage, "Object naming": UTF-8 encoded
MAX_SEGMENT_BYTES = 255  # what file systems take
CONTROL_CHARACTERS = "A name cannot hold control characters; rename the file."
EMPTY_SEGMENTS = "A name cannot start or end with '/', nor hold an empty, '.' or '..' folder."
MOST_SPELLINGS = 16

SYSTEM_NAMES = frozenset(
    {
        # folders of deleted files and snapshots: Windows, Synology, QNAP, NetApp, Mac file servers
        "$recycle.bin",
        "recycler",
        "recycled",
        "#recycle",
        "@recycle",
        "@sharebin",
        "@recently-snapshot",
        "#snapshot",
        "~snapshot",
        "network trash folder",
        # folders and files that systems keep for themselves
        "system volume information",
        "lost+found",
        "@eadir",
        "@tmp",
        "@__thumb",
        "__macosx",
        "temporary items",
        "thevolumesettingsfolder",
        "desktop.ini",
        "thumbs.db",
        "thumbs.db:encryptable",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "icon\r",
    }
)
"""What operating systems and file servers put among people's files, in lower case."""
TEMPORARY = re.compile(
    # downloads and copies under way
    r".*\.(part|partial|filepart|crdownload|download|opdownload|dtapart|incomplete|aria2|!qb|!ut|!bt|bc!|tmp|temp)"
    r"|.*~|~\$.*|#.*#|.*\.swp",  # editors and Office
    re.DOTALL,
)
"""Names of files that another program is still writing, or left behind; in lower case."""
TEMPORARY_FOLDER = re.compile(r"\.(download|sb-[0-9a-f]{8}-\w{6})\Z")
"""How names of folders end that browsers download into, and that Macs save through; in lower case."""


def normal(name: str) -> str:
    """The name in Unicode's form NFC, in which names are compared (Unicode Standard Annex 15)."""
    return unicodedata.normalize("NFC", name)


def common_prefix(prefix: str) -> str:
    """The part of a prefix that is the same in every Unicode form: what to list by, to compare in NFC after that."""
    return next((prefix[:end] for end, character in enumerate(prefix) if not character.isascii()), prefix)


def spellings(name: str) -> list[str]:
    """The name in the Unicode forms that are in use: as it is, and each folder and file in NFC or NFD."""
    forms = [dict.fromkeys(unicodedata.normalize(form, part) for form in ("NFC", "NFD")) for part in name.split("/")]
    return list(dict.fromkeys([name, *("/".join(parts) for parts in islice(product(*forms), MOST_SPELLINGS))]))


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
        return EMPTY_SEGMENTS
    if "\0" in name:
        return CONTROL_CHARACTERS
    return None


def existing_problem(name: str) -> str | None:
    """Why a document that has this name already is not indexed under it, or None where it may be."""
    if any(unicodedata.category(character) == "Cc" for character in name):
        return CONTROL_CHARACTERS
    return f"{EMPTY_SEGMENTS} Rename the object." if "" in name.split("/") else None


def is_document(name: str) -> bool:
    """Whether an object of this name is a document: hidden, temporary, system and metadata files are none.

    A bucket in the cloud may hold names with empty folders; they are documents, which fail by `existing_problem`.
    """
    return name_problem(name) in (None, EMPTY_SEGMENTS) and not_a_document(name) is None


def object_problem(name: str) -> str | None:
    """Why nobody can upload a document as `name`, as a sentence for its owner, or None where it can be."""
    if problem := name_problem(name) or not_a_document(name) or existing_problem(name):
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
    """The store that holds the object: its first folder in NFC, or `default`."""
    folder, slash, _ = name.partition("/")
    return normal(folder) if slash and folder else DEFAULT_STORE


def digest_of(name: str) -> str:
    """A name of fixed length and safe characters that stands for `name`: its SHA-256 in hexadecimal."""
    return hashlib.sha256(name.encode()).hexdigest()


def not_a_document(name: str) -> str | None:
    """Why an object of this name is no document, as a sentence for its owner, or None where it is one."""
    segments = name.lower().split("/")
    if any(segment.startswith(".") for segment in segments):
        return "Files and folders whose names start with a dot are hidden, and not indexed."
    if name.endswith("/"):
        return "A name that ends in '/' stands for a folder."
    if name.endswith(METADATA_SUFFIX):
        return f"Names that end in {METADATA_SUFFIX} describe other documents."
    if found := next((segment for segment in segments if segment in SYSTEM_NAMES), None):
        return f"{found.strip()!r} belongs to the operating system or file server, and is not indexed."
    if TEMPORARY.fullmatch(segments[-1]) or any(map(TEMPORARY_FOLDER.search, segments)):
        return "Names such as x.part, x.tmp, x~, ~$x and #x# are those of temporary files, which are not indexed."
    return None
