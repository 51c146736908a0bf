"""The metadata that every document of ours carries in Gemini: how a passage finds its way back to its object."""

from __future__ import annotations

from pathlib import PurePosixPath

from shared.buckets import ObjectInfo
from shared.gemini.mime import suffix_of

OBJECT = "flamehaven_object"
ATTEMPT = "flamehaven_attempt"
DEPLOYMENT = "flamehaven_deployment"


def document_metadata(info: ObjectInfo, *, attempt: str, deployment: str) -> dict[str, str]:
    """Metadata for one upload: three keys of ours, and `folder` and `type` for people to filter by."""
    folder = str(PurePosixPath(info.name).parent)
    return {
        OBJECT: info.name,
        ATTEMPT: attempt,
        DEPLOYMENT: deployment,
        "folder": "" if folder == "." else folder,
        "type": suffix_of(info.name).removeprefix("."),
    }
