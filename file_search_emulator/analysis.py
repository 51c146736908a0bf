"""What a search knows of a chunk beside its text: its terms and its vector."""

from __future__ import annotations

from collections.abc import Sequence

from file_search_emulator.chunking import Chunk
from file_search_emulator.embedding import embed_counted, pack
from file_search_emulator.terms import postings

ANALYSIS = 1
"""Raise this when `analyse` makes something else of a text: documents that are indexed are then analysed again.

They go on answering meanwhile, so the form of what it makes must stay. Another form takes another schema, too.
"""


def analyse(display_name: str, chunks: Sequence[Chunk]) -> list[tuple[int, bytes, int, bytes]]:
    """For each chunk of a document: its tokens, its vector, and how many terms it has and which."""
    titles = [" ".join(filter(None, (display_name, chunk.heading))) for chunk in chunks]
    embedded, tokens = embed_counted([f"{title}\n{chunk.text}" for title, chunk in zip(titles, chunks, strict=True)])
    found = [postings(title, chunk.text) for title, chunk in zip(titles, chunks, strict=True)]
    return [
        (count, vector, terms, posting.tobytes())
        for count, vector, (posting, terms) in zip(tokens, pack(embedded), found, strict=True)
    ]
