"""What all JSON objects in the state bucket share: a number that says in which schema they are written.

A schema number is raised when an older program would misread what a newer one writes. The newer program goes on reading
the older schemas. Objects without a number are of schema 1: the first versions wrote none. Bare values (`deployment`,
`unfinished/`, `gemini-keys/`) have no schema; a new form of theirs needs a new place.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from shared.failures import NewerSchema

FIELD = "schema"


class Stored(BaseModel):
    """An object of the state bucket."""

    model_config = ConfigDict(frozen=True)

    SCHEMA: ClassVar[int] = 1
    """The schema that this version writes, and the newest that it reads."""

    def encode(self, **options: Any) -> bytes:
        """The object as JSON; `options` are those of `model_dump`."""
        return json.dumps({FIELD: self.SCHEMA, **self.model_dump(mode="json", **options)}).encode()

    @classmethod
    def decode(cls, data: bytes, place: str) -> Self:
        """The object stored at `place`. Raises NewerSchema, or ValueError if it cannot be read at all."""
        found = from_json(data)
        schema = found.get(FIELD, 1) if isinstance(found, dict) else 1
        if isinstance(schema, int) and schema > cls.SCHEMA:
            raise NewerSchema(
                f"{place} in the state bucket was written by a newer version of this program (schema {schema}; this"
                f" version reads up to {cls.SCHEMA}). Run the newer version again."
            )
        return cls.model_validate(found)
