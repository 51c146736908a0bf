"""Which objects are refused without asking Gemini, and what their owner is told."""

from __future__ import annotations

from shared.gemini.mime import mime_type_of, suffix_of
from shared.names import existing_problem
from shared.records import Reason

GEMINI_MAX_BYTES = 100 * 1000 * 1000
"""Gemini's own limit for a document of a File Search store ("Rate limits" on its File Search page)."""

_WAY_OUT = {
    True: "Gemini takes no more; split it.",
    False: "Split it, or raise MAX_FILE_SIZE_MB.",
}


def refusal(name: str, size: int, max_bytes: int) -> Reason | None:
    """Why an object of this name and size (in bytes) is not indexed, or None where it should be tried."""
    limit = min(max_bytes, GEMINI_MAX_BYTES)
    if problem := existing_problem(name):
        return Reason(code="INVALID_FILENAME", message=problem)
    if size == 0:
        return Reason(code="EMPTY_FILE", message="The file is empty. Upload it again with its content.")
    if size > limit:
        return Reason(
            code="FILE_SIZE_EXCEEDED",
            message=f"The file has {size:,} bytes, and {limit:,} are allowed. {_WAY_OUT[limit == GEMINI_MAX_BYTES]}",
        )
    if mime_type_of(name) is None:
        kind = f"Files that end in {suffix_of(name)!r}" if suffix_of(name) else "Files without an extension"
        return Reason(
            code="UNSUPPORTED_FILE_TYPE",
            message=f"{kind} are not indexed. Convert it to PDF, DOCX, PPTX, XLSX, HTML, Markdown or plain text.",
        )
    return None
