"""JSON files, as readable paths and values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from file_search_emulator.parsing.decoding import decode
from file_search_emulator.parsing.section import ParseError, Section


def read(file: BinaryIO) -> list[Section]:
    """One section of lines such as `server.ports: 80, 443`; a small flat object in a list is one line.

    Numbers stay as they are written.
    """
    try:
        value = json.loads(decode(file.read()), parse_int=str, parse_float=str)
        return [Section("\n".join(_lines(value, "")))]
    except ValueError as error:
        raise ParseError(f"The JSON is not well formed: {error}.") from None
    except RecursionError:
        raise ParseError("The JSON is nested too deeply to be read.") from None


def _lines(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        if path.endswith("]") and all(map(_is_plain, value.values())):
            yield f"{path}: " + " | ".join(f"{key}: {_plain(item)}" for key, item in value.items())
            return
        for key, item in value.items():
            yield from _lines(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and not all(map(_is_plain, value)):
        for index, item in enumerate(value):
            yield from _lines(item, f"{path}[{index}]")
    else:
        yield f"{path}: {_plain(value)}" if path else _plain(value)


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict | list) or (isinstance(value, list) and not any(map(_is_nested, value)))


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
