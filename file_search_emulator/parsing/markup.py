"""Refuses web pages that were built to do harm, before they are parsed: a parser needs time by the square of depth."""

from __future__ import annotations

import re
from collections import Counter

from file_search_emulator.parsing.section import ParseError

MOST_ATTRIBUTES = 1_000
"""Of one element."""
DEEPEST = 5_000
"""Elements within each other; browsers stop at a few hundred."""
_ATTRIBUTE = (  # HTML Living Standard, 13.2.5.32 to 13.2.5.39; each part takes all it can, so that the time is linear
    r"[\s/]*+[^\s/>][^\s/>=]*+"
    r"(?:\s*+=\s*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|[^\s>\"'][^\s>]*+))?+"
)
_MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)"
    rf"|<(?P<raw>script|style|textarea|title|xmp|iframe|noembed|noframes)(?=[\s/>])(?P<its>(?:{_ATTRIBUTE})*+).*?(?:</(?P=raw)|\Z)"
    rf"|<(?P<end>/?)(?P<name>[a-z][^\s/>]*+)(?P<attributes>(?:{_ATTRIBUTE})*+)(?P<closed>[\s/]*+)",
    re.IGNORECASE | re.DOTALL,
)
_EACH_ATTRIBUTE = re.compile(rf"(?<![\s/]){_ATTRIBUTE}")
_FLAT = frozenset(
    """area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr
    body caption colgroup dd dt head html li optgroup option p rb rp rt rtc tbody td tfoot th thead tr""".split()  # noqa: SIM905 (reads better)
)
"""Elements without content, and those that the next of their kind ends."""


def check(text: str) -> None:
    """Raise ParseError for a page that nests deeper, or has more attributes at one element, than any that is read."""
    opened: Counter[str] = Counter()
    depth = 0
    for found in _MARKUP.finditer(text):
        name = (found["name"] or "").lower()
        attributes = found["attributes"] or found["its"] or ""
        if len(attributes) > 2 * MOST_ATTRIBUTES:
            _check_attributes(attributes)
        if found["end"]:
            depth -= opened[name] > 0
            opened[name] -= opened[name] > 0
        elif name and name not in _FLAT and not (opened["svg"] and "/" in found["closed"]):
            depth += 1
            opened[name] += 1
            if depth > DEEPEST:
                raise ParseError("The page nests its elements too deeply to be read: save it anew from a browser.")


def _check_attributes(attributes: str) -> None:
    if sum(1 for _ in _EACH_ATTRIBUTE.finditer(attributes)) > MOST_ATTRIBUTES:
        raise ParseError(f"An element of the page has more than {MOST_ATTRIBUTES} attributes: save it anew.")
