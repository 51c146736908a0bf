"""Presentations (PPTX), slide by slide, with tables and speaker notes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import BinaryIO

import pptx
from pptx.shapes.autoshape import Shape
from pptx.shapes.base import BaseShape
from pptx.shapes.graphfrm import GraphicFrame
from pptx.shapes.group import GroupShape
from pptx.slide import Slide

from file_search_emulator.parsing import office
from file_search_emulator.parsing.rows import lines
from file_search_emulator.parsing.section import Section


def read(file: BinaryIO) -> list[Section]:
    """One section for each slide; its number is the page, its title the heading."""
    office.check(file)
    presentation = pptx.Presentation(file)
    return [_section(slide, number) for number, slide in enumerate(presentation.slides, start=1)]


def _section(slide: Slide, number: int) -> Section:
    title = slide.shapes.title
    heading = " ".join(title.text_frame.text.split()) if title is not None else ""
    parts = [heading, *_texts(shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id)]
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        parts.append(slide.notes_slide.notes_text_frame.text)
    text = "\n\n".join(part.replace("\v", "\n").strip() for part in parts if part.strip())
    return Section(text, page=number, heading=heading or None)


def _texts(shapes: Iterable[BaseShape]) -> Iterator[str]:
    for shape in shapes:
        if isinstance(shape, GroupShape):
            yield from _texts(shape.shapes)
        elif isinstance(shape, Shape):
            items = [item.text for item in shape.text_frame.paragraphs if item.text.strip()]
            yield "\n".join(f"- {item}" for item in items) if len(items) > 1 else "".join(items)
        elif isinstance(shape, GraphicFrame) and shape.has_table:
            yield "\n".join(lines([[cell.text for cell in row.cells] for row in shape.table.rows]))
