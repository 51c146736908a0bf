"""Reading what a request sent into a pydantic model; what is wrong with it is said in the common error shape."""

from __future__ import annotations

import difflib
import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote_to_bytes, urlencode

from pydantic import AliasChoices, BaseModel, ValidationError
from starlette.requests import Request

from shared.bodies import body, declared_length, whole
from shared.errors import ServiceError

Model = TypeVar("Model", bound=BaseModel)
MAX_JSON_BYTES = 1 << 20
SHOWN = 60
"""Characters of a wrong value that are repeated to its sender."""


async def read_json(request: Request, model: type[Model]) -> Model:
    """The request's JSON body as `model`. Raises ServiceError (VALIDATION_ERROR) that names each wrong field."""
    if (declared_length(request) or 0) > MAX_JSON_BYTES:
        raise _too_large()
    data = await whole(body(request), MAX_JSON_BYTES, _too_large())
    return _validated(model.model_validate_json, data or b"{}", model, in_query=False)


def _too_large() -> ServiceError:
    return ServiceError(
        "VALIDATION_ERROR", f"The body is larger than {MAX_JSON_BYTES:,} bytes of JSON. Send less, in several requests."
    )


def read_query(request: Request, model: type[Model]) -> Model:
    """The request's query parameters as `model`; a repeated one is a list. Raises ServiceError (VALIDATION_ERROR)."""
    try:
        unquote_to_bytes(request.scope.get("query_string", b"")).decode()
    except UnicodeDecodeError:
        raise ServiceError(
            "VALIDATION_ERROR", "The query of the address is not UTF-8. Encode it so, and escape it: ü is %C3%BC."
        ) from None
    values: dict[str, Any] = {}
    for key in request.query_params:
        every = request.query_params.getlist(key)
        values[key] = every[0] if len(every) == 1 else every
    return _validated(model.model_validate, values, model, in_query=True)


def _validated(parse: Callable[[Any], Model], data: Any, model: type[Model], *, in_query: bool) -> Model:
    try:
        return parse(data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        fields = [
            {"field": ".".join(str(part) for part in problem["loc"]), "problem": _sentence(problem, model, in_query)}
            for problem in problems
        ]
        message = " ".join(dict.fromkeys(each["problem"] for each in fields))
        raise ServiceError("VALIDATION_ERROR", message, details={"fields": fields}) from None


def _sentence(problem: Any, model: type[BaseModel], in_query: bool) -> str:
    """One complaint of pydantic's: which parameter it is about, what is wrong, and what to send."""
    kind, place, got = problem["type"], problem["loc"], problem["input"]
    own = str(problem["ctx"]["error"]) if kind == "value_error" else ""
    if kind == "json_invalid":
        return f"The body is not JSON ({problem['ctx']['error']}). Send {_example(model, in_query)}."
    if not place:
        return own or f"The body is not a JSON object. Send {_example(model, in_query)}."
    names = _names(model)
    if kind == "extra_forbidden":
        if other := next((each[0] for each in names.values() if place[0] in each), None):
            return f"`{place[0]}` is another name of `{other}`, and both are there. Send one of them."
        known = sorted(itertools.chain.from_iterable(names.values()))
        close = difflib.get_close_matches(str(place[0]), known, 1)
        meant = f"Did you mean `{close[0]}`? " if close else ""
        takes = ", ".join(f"`{name}`" for name in known)
        return f"`{_cut(str(place[0]))}` is not known here. {meant}This address takes {takes}."
    each = next(each for each in names.values() if place[0] in each)
    called = " or ".join(f"`{name}`" for name in each)
    schema = _schema(model, each[0])
    if kind == "missing":
        what = schema.get("description", "it is needed.")
        return f"{called} is missing: {what[0].lower()}{what[1:]} Send {_example(model, in_query)}."
    if own:
        return f"{called}: {own}"
    if in_query and isinstance(got, list) and schema.get("type") != "array":
        return f"{called} is there {len(got)} times. Send it once."
    return f"{called}: got {_got(got, kind)}. Send {_takes(schema if len(place) == 1 else schema['items'])}."


def _names(model: type[BaseModel]) -> dict[str, list[str]]:
    """Each field of a model, with every name that it may be sent by; the first is its name in the schema."""
    names = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        names[name] = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name]
    return names


def _schema(model: type[BaseModel], name: str) -> dict[str, Any]:
    """The JSON schema of a field: of what it takes besides null, and of its items too."""
    whole = model.model_json_schema()

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
        found = {**schema, **(choices[0] if choices else {})}
        if "$ref" in found:
            found |= whole["$defs"][found["$ref"].rpartition("/")[2]]
        return {**found, "items": resolved(found["items"])} if "items" in found else found

    return resolved(whole["properties"][name])


def _takes(schema: dict[str, Any]) -> str:
    """What a field takes, in words."""
    such_as = f", such as {json.dumps(schema['examples'][0], ensure_ascii=False)}" if "examples" in schema else ""
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    match schema["type"]:
        case "boolean":
            return "true or false"
        case "integer" | "number" as kind:
            number = "a whole number" if kind == "integer" else "a number"
            return f"{number} from {schema['minimum']:,} to {schema['maximum']:,}{such_as}"
        case "array":
            least, most = schema.get("minItems", 0), schema["maxItems"]
            count = f"{least} to {most}" if least else f"at most {most}"
            of = f", each {_takes(schema['items'])}" if "enum" in schema["items"] else " texts"
            return f"a list of {count}{of}{such_as}"
    most = f" of at most {schema['maxLength']:,} characters" if "maxLength" in schema else ""
    return f"a text{most}, which is not empty{such_as}" if schema.get("minLength") else f"a text{most}{such_as}"


def _got(value: Any, kind: str) -> str:
    """What was sent, in words, and no more of it than fits into a sentence."""
    if isinstance(value, str):
        return f"{len(value):,} characters" if kind == "string_too_long" else repr(_cut(value))
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "an object" if isinstance(value, dict) else _cut(json.dumps(value))


def _cut(value: str) -> str:
    return value if len(value) <= SHOWN else f"{value[:SHOWN]}…"


def _example(model: type[BaseModel], in_query: bool) -> str:
    """A request with all that `model` cannot do without."""
    names = _names(model)
    needed = {name: field for name, field in model.model_fields.items() if field.is_required()}
    if in_query:
        given = {min(names[name], key=len): (field.examples or ["..."])[0] for name, field in needed.items()}
        return f"?{urlencode(given)}"
    given = {names[name][0]: (field.examples or ["..."])[0] for name, field in needed.items()}
    return f"JSON such as {json.dumps(given, ensure_ascii=False)}"
