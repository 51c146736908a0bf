"""Collects lines under headings."""

from __future__ import annotations

from file_search_emulator.parsing.section import Section


class Outline:
    """A document's text as it is read: `head` begins a section, `add` adds to it, `sections` gives them all.

    A section's heading is its path ("Handbook > Leave"); its text begins with its own heading. A heading with nothing
    under it but another heading stands at the head of that one's text, so that no section is a heading alone.
    """

    def __init__(self) -> None:
        self._done: list[Section] = []
        self._path: list[tuple[int, str]] = []
        self._heads: list[str] = []
        self._lines: list[str] = []

    def head(self, text: str, level: int) -> None:
        """Begin a section under a heading of this level; smaller numbers are higher."""
        if self._lines:
            self._flush()
        self._path = [entry for entry in self._path if entry[0] < level]
        self._path.append((level, " ".join(text.split())))
        self._heads.append(self._path[-1][1])

    def add(self, line: str) -> None:
        """Add a line, with what white space it is to keep."""
        if line.strip() or self._lines:
            self._lines.append(line)

    def sections(self) -> list[Section]:
        """All that was collected."""
        if self._lines or self._heads:
            self._flush()
        return self._done

    def _flush(self) -> None:
        heading = " > ".join(text for _, text in self._path) or None
        heads = "".join(f"{head}\n\n" for head in self._heads)
        self._done.append(Section(heads + "\n".join(self._lines).rstrip(), heading=heading))
        self._heads, self._lines = [], []
