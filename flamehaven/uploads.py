"""Uploads as HTML forms send them: one file or several in a multipart body."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from pydantic import BaseModel, Field
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flamehaven.forms import FormParser, is_form
from flamehaven.intake import Accepted, accepted, applied, keep, largest_file, seconds_to_wait
from shared.access import check_store
from shared.bodies import body, declared_length
from shared.buckets import ObjectInfo
from shared.changes import log_change
from shared.errors import ServiceError
from shared.failures import Misconfigured
from shared.http import endpoint
from shared.logs import request_id
from shared.names import DEFAULT_STORE, file_name_problem, normal, store_problem
from shared.records import Reason
from shared.runtime import Runtime, runtime

MAX_FORM_OVERHEAD = 64 << 10
"""Bytes of a multipart body that are no file."""
MAX_FIELD = 16 << 10
"""Bytes of a field that is no file: it is a name."""
MAX_FILES = 100
MAX_LARGEST = 10
"""How many files of the largest size one body may hold."""
READ_SIZE = 1 << 20


class Refused(BaseModel):
    """A file of several that was not kept."""

    status: Literal["refused"] = "refused"
    filename: str
    reason: Reason


class AcceptedFiles(BaseModel):
    """What became of each file of an upload, in the order of the form."""

    status: Literal["success", "partial"]
    files: list[Accepted | Refused]
    total: int
    successful: int = Field(description="Files that were kept.")
    failed: int = Field(description="Files that were refused.")
    request_id: str


@endpoint
async def upload_single(request: Request) -> Response:
    """Put one file into the bucket, as `STORE/FILE`; it is indexed from there."""
    parts, wait = await runtime(), seconds_to_wait(request)
    async with _form(request, parts, largest=1, max_files=1) as form:
        file = form.get("file")
        _check_fields(request, form, "file")
        if not isinstance(file, UploadFile) or not file.filename:
            raise ServiceError(
                "VALIDATION_ERROR",
                "The form has no file. Send one in its field `file`, with a name: curl -F file=@leave.md.",
            )
        info = await _keep(parts, request, _store(form), file)
    answer = await accepted(parts, info, wait=wait)
    headers = {"Location": answer.status_url, **applied(wait)}
    return JSONResponse(answer.model_dump(mode="json"), status_code=answer.http_status, headers=headers)


@endpoint
async def upload_multiple(request: Request) -> Response:
    """Put several files into the bucket, as `STORE/FILE`; each is kept or refused by itself."""
    parts, wait = await runtime(), seconds_to_wait(request)
    async with _form(request, parts, largest=MAX_LARGEST, max_files=MAX_FILES) as form:
        _check_fields(request, form, "files")
        files = [file for file in form.getlist("files") if isinstance(file, UploadFile) and file.filename]
        if not files:
            raise ServiceError(
                "VALIDATION_ERROR",
                "The form has no files. Send each in a field `files`, with a name: curl -F files=@a.md -F files=@b.md.",
            )
        store = _store(form)
        kept = [await _keep_or_refuse(parts, request, store, file) for file in files]
    results = await asyncio.gather(*(_result(parts, each, wait) for each in kept))
    refused = [result for result in results if isinstance(result, Refused)]
    if len(refused) == len(results):
        details = {"files": [result.model_dump() for result in refused]}
        raise ServiceError("UPLOAD_REFUSED", "No file was kept; `details` says why for each.", details=details)
    answer = AcceptedFiles(
        status="partial" if refused else "success",
        files=results,
        total=len(results),
        successful=len(results) - len(refused),
        failed=len(refused),
        request_id=request_id.get() or "",
    )
    status = max(result.http_status for result in results if isinstance(result, Accepted))
    return JSONResponse(answer.model_dump(mode="json"), status_code=status, headers=applied(wait))


async def _keep(parts: Runtime, request: Request, store: str, file: UploadFile) -> ObjectInfo:
    file_name = file.filename or ""
    if problem := file_name_problem(file_name):
        raise ServiceError("INVALID_FILENAME", problem)
    info = await keep(parts, request.app.state.pump, f"{store}/{file_name}", _read(file), size=file.size)
    log_change(request, "document uploaded", info.name)
    return info


async def _keep_or_refuse(parts: Runtime, request: Request, store: str, file: UploadFile) -> ObjectInfo | Refused:
    try:
        return await _keep(parts, request, store, file)
    except ServiceError as error:
        return Refused(filename=file.filename or "", reason=Reason(code=error.code, message=error.message))


async def _result(parts: Runtime, kept: ObjectInfo | Refused, wait: int | None) -> Accepted | Refused:
    return kept if isinstance(kept, Refused) else await accepted(parts, kept, wait=wait)


def _check_fields(request: Request, form: FormData, files: str) -> None:
    """Refuse what would be ignored: a misspelt `store` would put the file into another store. Raises ServiceError."""
    takes = f"Send each file in the form's field `{files}`, and the name of the store in `store`."
    if name := next((name for name in form if name not in (files, "store", "_charset_")), None):
        raise ServiceError("VALIDATION_ERROR", f"The form's field {name[:60]!r} is not known here. {takes}")
    if name := next(iter(request.query_params), None):
        raise ServiceError("VALIDATION_ERROR", f"The address takes no parameter, and has {name[:60]!r}. {takes}")


def _store(form: FormData) -> str:
    store = form.get("store") or DEFAULT_STORE
    if not isinstance(store, str):
        raise ServiceError("VALIDATION_ERROR", "`store`: got a file. Send the name of a store as text: -F store=hr.")
    if problem := store_problem(store):
        raise ServiceError("INVALID_FILENAME", problem)
    check_store(store)
    return normal(store)


class _TooLarge(MultiPartException):
    """The body is larger than any form may be."""


@asynccontextmanager
async def _form(request: Request, parts: Runtime, *, largest: int, max_files: int) -> AsyncIterator[FormData]:
    """The form in a request's body, whose files lie on disk. Raises ServiceError as soon as it is too large."""
    limit = largest * largest_file(parts) + MAX_FORM_OVERHEAD
    try:
        if (declared_length(request) or 0) > limit:
            raise _TooLarge("")
        if not is_form(request.headers.get("content-type", "")):
            raise ServiceError(
                "VALIDATION_ERROR",
                "The body is not a form. Send multipart/form-data, as curl -F file=@leave.md does; or PUT the file "
                "itself to /api/documents/STORE/FILE.",
            )
        parser = FormParser(
            request.headers, _limited(request, limit), max_files=max_files, max_fields=10, max_part_size=MAX_FIELD
        )
        form = await parser.parse()
    except _TooLarge:
        raise ServiceError(
            "FILE_SIZE_EXCEEDED", f"The body has more than {limit:,} bytes: a file may have {largest_file(parts):,}."
        ) from None
    except (MultiPartException, FormParserError, KeyError) as error:
        problem = str(error).removesuffix(".")
        raise ServiceError("VALIDATION_ERROR", f"The body is not the form that it says it is: {problem}.") from error
    except OSError as error:
        raise Misconfigured(f"The upload cannot be taken in: {error.strerror}.") from error
    try:
        yield form
    finally:
        await form.close()


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    taken = 0
    async for part in body(request):
        taken += len(part)
        if taken > limit:
            raise _TooLarge("")
        yield part


async def _read(file: UploadFile) -> AsyncIterator[bytes]:
    while part := await file.read(READ_SIZE):
        yield part
