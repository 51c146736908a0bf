"""Word files (DOCX): headings, paragraphs and tables in their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docx
from docx.document import Document
from docx.table import Table, _Cell
from docx.text.paragraph import Paragraph

from file_search_emulator.parsing import office
from file_search_emulator.parsing.outline import Outline
from file_search_emulator.parsing.rows import lines
from file_search_emulator.parsing.section import Section


def read(path: Path) -> list[Section]:
    """One section for each heading; the text of page headers and footers comes last, once."""
    office.check(path)
    with path.open("rb") as file:
        document = docx.Document(file)
    outline = Outline()
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            outline.add("\n".join(_table(block)) + "\n")
        else:
            _paragraph(outline, block)
    margins = "\n".join(dict.fromkeys(_margins(document)))
    return [*outline.sections(), Section(margins)]


def _paragraph(outline: Outline, paragraph: Paragraph) -> None:
    text = paragraph.text.strip()
    style = paragraph.style.name if paragraph.style is not None else ""
    if not text:
        return
    if style == "Title":
        outline.head(text, 0)
    elif style.startswith("Heading ") and style[8:].isdigit():
        outline.head(text, int(style[8:]))
    elif style.startswith("List"):
        outline.add(f"- {text}")
    else:
        outline.add(f"{text}\n")


def _table(table: Table) -> Iterator[str]:
    return lines([_texts(row.cells) for row in table.rows])


def _texts(cells: tuple[_Cell, ...]) -> list[str]:
    """A merged cell comes once for each column it covers: keep the first, and the columns' places."""
    seen: set[object] = set()
    texts = []
    for cell in cells:
        texts.append("" if cell._tc in seen else _cell_text(cell))
        seen.add(cell._tc)
    return texts


def _cell_text(cell: _Cell) -> str:
    blocks = cell.iter_inner_content()
    return "\n".join("; ".join(_table(block)) if isinstance(block, Table) else block.text for block in blocks)


def _margins(document: Document) -> Iterator[str]:
    for section in document.sections:
        for margin in (section.header, section.footer):
            for paragraph in margin.paragraphs:
                if paragraph.text.strip():
                    yield paragraph.text.strip()
