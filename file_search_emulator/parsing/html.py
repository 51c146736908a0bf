"""Web pages: what a reader sees, by heading, without navigation and scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from selectolax.lexbor import LexborHTMLParser, LexborNode

from file_search_emulator.parsing import markup
from file_search_emulator.parsing.decoding import decode
from file_search_emulator.parsing.outline import Outline
from file_search_emulator.parsing.rows import lines
from file_search_emulator.parsing.section import Section

_NOISE = "head, script, style, noscript, template, svg, iframe, canvas, nav, button, select, [hidden]"
_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_BLOCKS = frozenset(
    """address article aside blockquote body br caption dd details div dl dt fieldset figcaption figure footer form
    header hr html li main ol p pre section summary table tbody td tfoot th thead tr ul""".split()  # noqa: SIM905 (reads better)
)
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([\w-]{1,40})", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\n\u00a0]+")


def read(file: BinaryIO) -> list[Section]:
    """One section for each heading, the page's title being the highest."""
    data = file.read()
    declared = _CHARSET.search(data[:4096])
    page = decode(data, declared.group(1).decode("ascii") if declared else None)
    markup.check(page)
    tree = LexborHTMLParser(page)
    outline = Outline()
    title = tree.css_first("title")
    if title is not None and title.text().strip():
        outline.head(title.text(), 0)
    for node in tree.css(_NOISE):
        node.decompose()
    if tree.body is not None:
        _Writer(outline).write(tree.body)
    return outline.sections()


class _Writer:
    """Walks a page without recursion, which deep nesting would exhaust."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._line: list[str] = []

    def write(self, root: LexborNode) -> None:
        ends: list[tuple[LexborNode, bool]] = [(root, False)]
        while ends:
            node, leaving = ends.pop()
            if leaving:
                self._end_line("\n" if node.tag == "p" else "")
                continue
            if self._is_written_whole(node):
                continue
            if node.tag in _BLOCKS:
                self._end_line()
                ends.append((node, True))
            if node.tag == "li":
                self._line.append("- ")
            ends.extend((child, False) for child in reversed(list(node.iter(include_text=True))))
        self._end_line()

    def _is_written_whole(self, node: LexborNode) -> bool:
        if node.tag == "-text":
            self._line.append(_SPACE.sub(" ", node.text_content or ""))
        elif node.tag in _HEADINGS:
            self._end_line()
            self._outline.head(node.text(), _HEADINGS[node.tag])
        elif node.tag == "table" and node.css_first("table table") is None:
            self._end_line()
            self._outline.add("\n".join(lines(_rows(node))) + "\n")
        elif node.tag == "pre":
            self._end_line()
            self._outline.add(node.text())
        else:
            return False
        return True

    def _end_line(self, suffix: str = "") -> None:
        line = "".join(self._line).strip()
        if line == "-":  # the item's text is in a block of its own
            return
        self._line.clear()
        if line:
            self._outline.add(line + suffix)


def _rows(table: LexborNode) -> Iterator[list[str]]:
    for row in table.css("tr"):
        yield [cell.text(separator=" ") for cell in row.css("td, th")]
