"""The metadata filter of a search: a subset of AIP-160 (google.aip.dev/160).

Comparisons `key OP value` with `=`, `!=`, `<`, `<=`, `>`, `>=` and `:` (has), joined by NOT or `-`, OR and AND, and
grouped by parentheses; what merely follows each other is joined by AND. OR binds tighter than both. A value is a bare
word, a number, or quoted with backslash escapes. A document without the key fulfils no comparison with it, nor does one
whose value is of another kind; but a bare number is also a text. A list of strings is equal to each of its values, and
is in no order. `key:value` asks whether a list has the value, or whether a text or number is it; `key:*` whether there
is the key at all. A value alone asks whether any value of the document contains it, in whatever case.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from file_search_emulator.errors import invalid_argument

if TYPE_CHECKING:
    from lark import Lark

Value = str | float | tuple[str, ...]
Predicate = Callable[[Mapping[str, Value]], bool]

_GRAMMAR = r"""
    ?conjunction: sequence ("AND" sequence)*
    ?sequence: disjunction+ -> conjunction
    ?disjunction: term ("OR" term)*
    ?term: ("NOT" | MINUS) simple -> negation
         | simple
    ?simple: key OPERATOR value -> comparison
           | key -> anywhere
           | "(" conjunction ")"
    key: NAME -> bare
       | QUOTED -> quoted
    value: WORD -> bare
         | QUOTED -> quoted

    OPERATOR: "<=" | ">=" | "!=" | "=" | "<" | ">" | ":"
    MINUS: /-(?=\S)/
    NAME: /[^\s()"'=!<>:-][^\s()"'=!<>:]*/
    WORD: /[^\s()"'=!<>]+/
    QUOTED: /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/s
    %ignore /\s+/
"""
_QUOTED = re.compile(r"""\"(?:[^\"\\]|\\.)*+(?:\"|\\?\Z)|'(?:[^'\\]|\\.)*+(?:'|\\?\Z)""", re.DOTALL)
"""A text in quotes, or the beginning of one up to the end."""
_DEEPEST = 50  # parentheses within parentheses
_LONGEST = 20_000  # characters
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class _Operand:
    text: str
    number: float | None = None


def compile_filter(text: str) -> Predicate:
    """A predicate on a document's metadata, by key. Raises ApiError (400), which says where the filter goes wrong."""
    from lark.exceptions import UnexpectedInput, UnexpectedToken

    if len(text) > _LONGEST or _depth(text) > _DEEPEST:
        raise invalid_argument("Invalid metadata_filter: it is too long, or its parentheses are nested too deeply.")
    try:
        return _parser().parse(text)  # type: ignore[return-value]  # the transformer makes no tree, but a predicate
    except UnexpectedInput as error:
        ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
        position = len(text) if ended else cast("int", error.pos_in_stream)
        found = "the end" if ended else repr(text[position : position + 20])
        raise invalid_argument(f"Invalid metadata_filter: unexpected {found} at position {position}.") from None


@cache
def _parser() -> Lark:
    from lark import Lark, Transformer, v_args

    @v_args(inline=True)
    class Compiler(Transformer[Any, Predicate]):
        """Makes predicates while the parser reads."""

        def bare(self, token: str) -> _Operand:
            return _Operand(str(token), _number(token))

        def quoted(self, token: str) -> _Operand:
            return _Operand(re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL))

        def comparison(self, key: _Operand, sign: str, value: _Operand) -> Predicate:
            if sign == ":":
                return lambda metadata: _has(metadata.get(key.text), value)
            return lambda metadata: _compare(metadata.get(key.text), str(sign), value)

        def anywhere(self, value: _Operand) -> Predicate:
            return lambda metadata: any(_contains(found, value.text) for found in metadata.values())

        def negation(self, *parts: Any) -> Predicate:
            return lambda metadata: not parts[-1](metadata)

        def conjunction(self, *parts: Predicate) -> Predicate:
            return lambda metadata: all(part(metadata) for part in parts)

        def disjunction(self, *parts: Predicate) -> Predicate:
            return lambda metadata: any(part(metadata) for part in parts)

    return Lark(_GRAMMAR, start="conjunction", parser="lalr", transformer=Compiler())


def _compare(found: Value | None, sign: str, value: _Operand) -> bool:
    match found:
        case str():
            return _COMPARE[sign](found, value.text)
        case tuple() if sign in ("=", "!="):
            return (value.text in found) == (sign == "=")
        case float() if value.number is not None:
            return _COMPARE[sign](found, value.number)
    return False


def _has(found: Value | None, value: _Operand) -> bool:
    return found is not None and (value.text == "*" or _compare(found, "=", value))


def _contains(found: Value, text: str) -> bool:
    texts = found if isinstance(found, tuple) else (str(found) if isinstance(found, str) else f"{found:g}",)
    return any(text.casefold() in entry.casefold() for entry in texts)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _depth(text: str) -> int:
    steps = ((character == "(") - (character == ")") for character in _QUOTED.sub("", text))
    return max(accumulate(steps, initial=0))
