"""Which regular expressions of the project take more than linear time: `python -m tests.expressions` prints them.

Every compiled pattern of every module is run on texts made from its own parts, such as one part a thousand times over
and then nothing that fits. A pattern is linear where eight times the text takes about eight times as long.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from re import _constants as kinds  # type: ignore[attr-defined]  # the parser of the standard library has no types
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

PACKAGES = ("file_search_emulator", "flamehaven", "functions", "shared")
SHORT, LONG = 4_000, 32_000
"""Characters of the texts."""
AT_ONCE = 0.006
"""Seconds of CPU within which a short text is no trouble: quadratic time is more than that."""
MOST_GROWTH = 24.0
"""Of the time from a short to a long text: 8 is linear, 64 is quadratic."""
MOST_CHARACTERS, MOST_EXAMPLES = 6, 6
PER_CATEGORY = {
    kinds.CATEGORY_DIGIT: "7",
    kinds.CATEGORY_SPACE: " \n",
    kinds.CATEGORY_WORD: "a_",
    kinds.CATEGORY_NOT_DIGIT: "x",
    kinds.CATEGORY_NOT_SPACE: "x",
    kinds.CATEGORY_NOT_WORD: "-",
}
INLINE = {f"re.{name}" for name in ("search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer")}
ONLY_AT_START = {"match", "fullmatch"}


def patterns() -> Iterator[tuple[str, re.Pattern[Any], set[str]]]:
    """Every pattern of the project, where it is, and by which methods it is used."""
    for module in _modules():
        assert module.__file__ is not None
        source = Path(module.__file__).read_text()
        for name, value in vars(module).items():
            used = set(re.findall(rf"\b{re.escape(name)}(?:\[\w+\])?\.(\w+)\(", source))
            for pattern in _within(value):
                yield f"{module.__name__}.{name}", pattern, used
        for line, written in _written(source):
            yield f"{module.__name__}:{line}", re.compile(written), set()


def _modules() -> Iterator[ModuleType]:
    for package in PACKAGES:
        yield importlib.import_module(package)
        for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def _within(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _within(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _within(each)


def _written(source: str) -> Iterator[tuple[int, str]]:
    """The expressions that are not compiled beforehand: `re.sub("...", ...)`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in INLINE and node.args:
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield node.lineno, argument.value


def texts(pattern: re.Pattern[Any]) -> Iterator[Callable[[int], str]]:
    """Texts that are hard for a pattern, each of whatever length is asked for."""
    tree = parser.parse(pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern)
    examples = list(dict.fromkeys(_examples(tree)))[:MOST_EXAMPLES]
    characters = list(dict.fromkeys(_characters(tree)))[:MOST_CHARACTERS]
    for piece in [*characters, *map("".join, itertools.combinations(characters, 2)), *examples]:
        yield lambda length, piece=piece: (piece * (length // len(piece) + 1))[:length]
    for example, character in itertools.product(examples, characters):
        yield lambda length, example=example, character=character: example + character * length + "\0"


def _characters(tree: Any) -> Iterator[str]:
    """A few of the characters that the parts of a pattern take, and what none of them takes."""
    yield from _parts(tree)
    yield from "\0"


def _parts(tree: Any) -> Iterator[str]:
    for kind, argument in tree:
        if kind in (kinds.LITERAL, kinds.NOT_LITERAL):
            yield chr(argument)
        elif kind is kinds.ANY:
            yield "x"
        elif kind is kinds.IN:
            yield from _of_class(argument)
        else:
            for child in _children(argument):
                yield from _parts(child)


def _of_class(members: Any) -> Iterator[str]:
    for kind, argument in members[:4]:
        if kind is kinds.LITERAL:
            yield chr(argument)
        elif kind is kinds.RANGE:
            yield chr(argument[0])
        elif kind is kinds.CATEGORY:
            yield from PER_CATEGORY[argument]
        elif kind is kinds.NEGATE:
            yield "x"


def _children(argument: Any) -> Iterator[Any]:
    if isinstance(argument, parser.SubPattern):
        yield argument
    elif isinstance(argument, list | tuple):
        for each in argument:
            yield from _children(each)


def _examples(tree: Any) -> list[str]:
    """Texts that a pattern, or the beginning of it, fits; one for each of its alternatives."""
    found = [""]
    for kind, argument in tree:
        if kind in (kinds.AT, kinds.ASSERT, kinds.ASSERT_NOT):
            continue
        if kind is kinds.BRANCH:
            endings = [end for branch in argument[1] for end in _examples(branch)]
        elif children := list(_children(argument)):
            endings = [end for child in children for end in _examples(child)]
        else:
            endings = [next(_parts([(kind, argument)]), "x")]
        found = [start + end for start, end in itertools.islice(itertools.product(found, endings), 60)]
    return [example for example in found if example]


def is_slow(run: Callable[[str], object], text: Callable[[int], str]) -> bool:
    """Whether the time for a text grows faster than its length."""
    if _cpu(run, text(SHORT)) < AT_ONCE:
        return False
    return _cpu(run, text(LONG)) > min(_cpu(run, text(SHORT)) for _ in range(3)) * MOST_GROWTH


def _cpu(run: Callable[[str], object], text: str) -> float:
    started = time.process_time()
    run(text)
    return time.process_time() - started


def runs(pattern: re.Pattern[Any], used: set[str]) -> Iterator[Callable[[str], object]]:
    """The ways in which a pattern is used: all through a text, unless it is only ever tried at its start."""
    as_is = (lambda text: text.encode()) if isinstance(pattern.pattern, bytes) else str
    if used and used <= ONLY_AT_START:
        for name in sorted(used):
            yield lambda text, name=name: getattr(pattern, name)(as_is(text))
    else:
        yield lambda text: deque(pattern.finditer(as_is(text)), maxlen=0)


def main() -> None:
    found = list(patterns())
    for place, pattern, used in found:
        for run, text in itertools.product(runs(pattern, used), texts(pattern)):
            if is_slow(run, text):
                print(f"{place}: {pattern.pattern[:60]!r} on {text(20)!r}", flush=True)
                break
    print(f"{len(found)} patterns")


if __name__ == "__main__":
    main()
