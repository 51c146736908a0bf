"""Word files (DOCX): headings, paragraphs and tables in their order.

python-docx opens the archive and names the elements. Its own walk over them is not used: it looks up each paragraph's
style among all styles, takes minutes for tables with long merged columns, and passes over tracked insertions and
content controls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import docx
from docx.document import Document
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml.ns import qn
from docx.oxml.table import CT_Tbl, CT_Tc
from docx.oxml.text.paragraph import CT_P
from docx.oxml.xmlchemy import BaseOxmlElement

from file_search_emulator.parsing import office
from file_search_emulator.parsing.outline import Outline
from file_search_emulator.parsing.rows import lines
from file_search_emulator.parsing.section import Section

_MOST_COLUMNS = 63  # of a table in Word
_CONTROL, _CONTROLLED = qn("w:sdt"), qn("w:sdtContent")
_RUNS = "./w:r | ./*[self::w:hyperlink or self::w:ins or self::w:smartTag or self::w:fldSimple or self::w:sdt]//w:r"


def read(file: BinaryIO) -> list[Section]:
    """One section for each heading; the text of page headers and footers comes last, once."""
    office.check(file)
    document = docx.Document(file)
    outline = Outline()
    styles = _style_names(document)
    for block in _blocks(document.element.body):
        if isinstance(block, CT_Tbl):
            outline.add("\n".join(_table(block)) + "\n")
        else:
            _paragraph(outline, _text(block).strip(), styles.get(block.style or "", ""))
    margins = "\n".join(dict.fromkeys(_margins(document)))
    return [*outline.sections(), Section(margins)]


def _style_names(document: Document) -> dict[str, str]:
    styles = (style for style in document.styles if style.type == WD_STYLE_TYPE.PARAGRAPH)
    return {style.style_id: style.name or "" for style in styles}


def _blocks(container: BaseOxmlElement) -> Iterator[CT_P | CT_Tbl]:
    """The paragraphs and tables of a body or a cell, also those in content controls."""
    for child in container:
        if isinstance(child, CT_P | CT_Tbl):
            yield child
        elif child.tag == _CONTROL and (controlled := child.find(_CONTROLLED)) is not None:
            yield from _blocks(controlled)


def _text(paragraph: CT_P) -> str:
    return "".join(run.text for run in paragraph.xpath(_RUNS))


def _paragraph(outline: Outline, text: str, style: str) -> None:
    if not text:
        return
    if style == "Title":
        outline.head(text, 0)
    elif style.startswith("Heading ") and style[8:].isdecimal():
        outline.head(text, int(style[8:]))
    elif style.startswith("List"):
        outline.add(f"- {text}")
    else:
        outline.add(f"{text}\n")


def _table(table: CT_Tbl) -> Iterator[str]:
    return lines(_rows(table))


def _rows(table: CT_Tbl) -> Iterator[list[str]]:
    """The texts by row and column; a cell that covers several rows says the same in each."""
    above: list[str] = []
    for row in table.tr_lst:
        texts = [""] * min(row.grid_before, _MOST_COLUMNS)
        for cell in row.tc_lst:
            goes_on = cell.vMerge == "continue" and len(texts) < len(above)
            texts.append(above[len(texts)] if goes_on else _cell_text(cell))
            texts += [""] * (min(cell.grid_span, _MOST_COLUMNS) - 1)
        yield texts
        above = texts


def _cell_text(cell: CT_Tc) -> str:
    return "\n".join("; ".join(_table(block)) if isinstance(block, CT_Tbl) else _text(block) for block in _blocks(cell))


def _margins(document: Document) -> Iterator[str]:
    for section in document.sections:
        for margin in (section.header, section.footer):
            if margin.is_linked_to_previous:
                continue
            for paragraph in margin.paragraphs:
                if text := _text(paragraph._p).strip():
                    yield text
