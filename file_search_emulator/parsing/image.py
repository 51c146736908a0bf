"""Pictures: their size is read, not what they show."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image

from file_search_emulator.parsing.section import ParseError, Section

_LONGEST_SIDE = 4096
"""Pixels: the API takes pictures of up to 4K by 4K."""


def read(file: BinaryIO) -> list[Section]:
    """One section that says how large a PNG or JPEG is."""
    with Image.open(file, formats=("PNG", "JPEG")) as image:
        (width, height), kind = image.size, image.format
        image.verify()
    if max(width, height) > _LONGEST_SIDE:
        raise ParseError(
            f"The picture has {width} x {height} pixels; at most {_LONGEST_SIDE} x {_LONGEST_SIDE} are taken."
        )
    return [Section(f"a picture ({kind}, {width} x {height} pixels), found by its name and metadata.")]
