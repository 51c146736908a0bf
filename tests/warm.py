"""What a server imports and builds for its first requests, done once in the process that servers are forked from."""

from __future__ import annotations

import importlib

from google.genai import types

from file_search_emulator import embedding

MODULES = (
    "anyio._backends._asyncio",
    "file_search_emulator.app",
    "flamehaven.app",
    "flamehaven.cli.serve",
    "flamehaven.workers",
    "functions.search.search",
    "google.auth.aio.credentials",
    "httpcore2",
    "shared.gemini.grounding",
    "shared.gemini.transport",
    "tests.forked",
    "tokenizers",
    "truststore",
    "typer._adapters",
    "uvicorn.lifespan.on",
    "uvloop",
)
"""Those that are otherwise imported late."""
MODELS = (
    "Candidate",
    "Content",
    "CreateFileSearchStoreConfig",
    "CustomMetadata",
    "Document",
    "FileSearch",
    "FileSearchStore",
    "GenerateContentConfig",
    "GenerateContentResponse",
    "GenerateContentResponseUsageMetadata",
    "GroundingChunk",
    "GroundingChunkCustomMetadata",
    "GroundingChunkRetrievedContext",
    "GroundingMetadata",
    "GroundingSupport",
    "HttpOptions",
    "HttpResponse",
    "ModalityTokenCount",
    "Part",
    "Segment",
    "Tool",
    "UploadToFileSearchStoreConfig",
    "UploadToFileSearchStoreOperation",
    "UploadToFileSearchStoreResponse",
    "UploadToFileSearchStoreResumableResponse",
    "UserContent",
    "_CreateFileSearchStoreParameters",
    "_GenerateContentParameters",
    "_GetDocumentParameters",
    "_UploadToFileSearchStoreParameters",
)
"""Models of the SDK, which builds the validator of each at its first use, in about half a second for these."""

for module in MODULES:
    importlib.import_module(module)
for model in MODELS:
    if found := getattr(types, model, None):
        found.model_rebuild()
embedding._load()  # the model; to use it here would start threads, which are not forked
