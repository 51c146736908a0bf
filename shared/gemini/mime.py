"""Which files can be indexed, and what Gemini is told they are.

Python guesses types from the machine's own tables, which differ between systems and are missing in slim containers;
this table does not. Types: "Supported MIME types" on Gemini's File Search page.
"""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath

_OFFICE = "application/vnd.openxmlformats-officedocument"
_TEXT = "text/plain"

MIME_TYPES = {
    # documents
    ".pdf": "application/pdf",
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".dotx": f"{_OFFICE}.wordprocessingml.template",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    ".doc": "application/msword",
    ".xls": "application/vnd.ms-excel",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".hwp": "application/x-hwp",
    ".rtf": "text/rtf",
    # text and markup
    ".txt": _TEXT,
    ".text": _TEXT,
    ".log": _TEXT,
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".rst": "text/x-rst",
    ".html": "text/html",
    ".htm": "text/html",
    ".xml": "text/xml",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".jsonl": _TEXT,
    ".yaml": "text/yaml",
    ".yml": "text/yaml",
    ".toml": _TEXT,
    ".ini": _TEXT,
    ".cfg": _TEXT,
    ".conf": _TEXT,
    ".properties": "text/x-java-properties",
    ".tex": "application/x-tex",
    ".vtt": "text/vtt",
    ".srt": _TEXT,
    ".ics": "text/calendar",
    ".vcf": "text/vcard",
    ".ipynb": "application/vnd.jupyter",
    # source code
    ".py": "text/x-python",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".ts": "application/typescript",
    ".jsx": "text/jsx",
    ".tsx": "text/tsx",
    ".css": "text/css",
    ".scss": "text/x-scss",
    ".java": "text/x-java",
    ".kt": "text/x-kotlin",
    ".scala": "text/x-scala",
    ".swift": "text/x-swift",
    ".go": "text/x-go",
    ".rs": "text/x-rust",
    ".c": "text/x-c",
    ".h": "text/x-chdr",
    ".cc": "text/x-c++src",
    ".cpp": "text/x-c++src",
    ".hpp": "text/x-c++hdr",
    ".cs": "text/x-csharp",
    ".rb": "text/x-ruby-script",
    ".php": "text/php",
    ".pl": "text/x-perl",
    ".lua": "text/x-lua",
    ".r": _TEXT,
    ".dart": "application/dart",
    ".sql": "application/sql",
    ".sh": "text/x-sh",
    ".bash": "text/x-sh",
    ".zsh": "application/x-zsh",
    ".ps1": "application/x-powershell",
    ".tf": _TEXT,
    ".hs": "text/x-haskell",
    ".erl": "text/x-erlang",
    ".proto": _TEXT,
    ".graphql": _TEXT,
}


def suffix_of(name: str) -> str:
    """The lower-case extension of an object's name, with its dot; empty where there is none."""
    return PurePosixPath(name).suffix.lower()


def mime_type_of(name: str) -> str | None:
    """The type that Gemini is told for an object of this name, or None where files of this kind are not indexed."""
    return MIME_TYPES.get(suffix_of(name))


def register() -> None:
    """Teach this process's `mimetypes` the table: google-genai asks it, and refuses what it does not know."""
    for suffix, mime_type in MIME_TYPES.items():
        mimetypes.add_type(mime_type, suffix)
