"""Answer a question from the stores: the request that Gemini gets, and the answer that is made of its response."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from urllib.parse import quote, urlsplit

from google.genai import types

from functions.search.models import Citation, Retracted, SearchAnswer, SearchRequest, Source, Text, Usage
from shared import metrics
from shared.access import Budget, budget, caller, check_store
from shared.buckets import ObjectInfo
from shared.buckets.documents import documents_of
from shared.errors import ServiceError
from shared.failures import NotThere, Permanent
from shared.gemini.grounding import Grounded, Passage, Support, gathered, read_grounding, text_of
from shared.names import normal
from shared.runtime import Runtime
from shared.settings import Settings

LONGEST = 90.0
"""Seconds that a question may take, with what has to be tried again."""
NOT_FOUND = "The documents do not answer this question."
INSTRUCTION = (
    "Answer only from the documents that the file search finds. Be short and precise. "
    "If they do not hold the answer, say that you did not find it. Answer in the language of the question."
)
TRY_AGAIN = {
    types.FinishReason.MALFORMED_FUNCTION_CALL,
    types.FinishReason.MALFORMED_RESPONSE,
    types.FinishReason.UNEXPECTED_TOOL_CALL,
    types.FinishReason.TOO_MANY_TOOL_CALLS,
}
"""How a model ends when it stumbled over the search tool; asking once more usually helps."""


class CacheStatus(StrEnum):
    """Where an answer is from, in the words of RFC 9211."""

    HIT = "hit"
    MISS = "fwd=miss"
    JOINED = "fwd=miss; collapsed"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A question that can be put to Gemini: where to look, and what was answered before."""

    request: SearchRequest
    request_id: str
    resources: Mapping[str, str]
    """The resource name of each store."""
    model: str
    config: types.GenerateContentConfig
    mark: str | None
    kept: SearchAnswer | None
    budget: Budget

    @property
    def key(self) -> str:
        """What makes two questions the same."""
        seen = caller.get().stores
        stores = sorted(seen) if seen is not None else None
        return json.dumps([self.request.query, self.model, self.config.model_dump_json(), stores])


async def prepare(runtime: Runtime, request: SearchRequest, request_id: str) -> Prepared:
    """Check a question and find its stores. Raises ServiceError for a question or a store that cannot be."""
    if not request.query:
        raise ServiceError("EMPTY_SEARCH_QUERY", "The question is empty. Put it into `query` (or `q`).")
    for store in request.every_store:
        check_store(store)
    mark = await runtime.answers.mark(request.every_store)
    resources = {store: await _resource(runtime, store) for store in request.every_store}
    asked = Prepared(
        request=request,
        request_id=request_id,
        resources=resources,
        model=request.model or runtime.settings.default_model,
        config=_config(request, list(resources.values()), runtime.settings),
        mark=mark,
        kept=None,
        budget=budget.get(),
    )
    if kept := await runtime.answers.get(mark, asked.key):
        answer = SearchAnswer.model_validate_json(kept)
        again = {"cached": True, "usage": Usage(), "request_id": request_id}
        return replace(asked, kept=answer.model_copy(update=again))
    return asked


async def search(runtime: Runtime, asked: Prepared) -> tuple[SearchAnswer, CacheStatus]:
    """The answer to a question with its sources, and where it is from. Raises ServiceError, DependencyFailure.

    Who asks what is just being asked gets the same answer; where nothing tells of changes, everybody asks Gemini.
    """
    if asked.kept:
        return asked.kept, CacheStatus.HIT
    if asked.mark is None:
        return await _ask(runtime, asked), CacheStatus.MISS
    answer, joined = await runtime.flights.join((asked.mark, asked.key), lambda: _ask(runtime, asked))
    if joined:
        return answer.model_copy(update={"usage": Usage(), "request_id": asked.request_id}), CacheStatus.JOINED
    return answer, CacheStatus.MISS


async def _ask(runtime: Runtime, asked: Prepared) -> SearchAnswer:
    async with _asking(runtime, asked):
        try:
            async with asyncio.timeout(LONGEST):
                response = await runtime.gemini.generate(asked.model, asked.request.query, asked.config)
                if _stumbled(response):
                    response = await runtime.gemini.generate(asked.model, asked.request.query, asked.config)
        except TimeoutError:
            raise _too_long() from None
    return await _answered(runtime, asked, response)


async def stream(runtime: Runtime, asked: Prepared) -> AsyncGenerator[Text | Retracted | SearchAnswer, None]:
    """The answer to a question as it is written, and at last the whole of it. Raises ServiceError, DependencyFailure.

    Gemini says only at the end what an answer rests on, so text that was shown may have to be taken back.
    """
    if asked.kept:
        yield Text(text=asked.kept.answer)
        yield asked.kept
        return
    shown, end = "", time.monotonic() + LONGEST
    async with _asking(runtime, asked):
        for last_try in (False, True):
            pieces: list[types.GenerateContentResponse] = []
            source = runtime.gemini.generate_stream(asked.model, asked.request.query, asked.config)
            async with contextlib.aclosing(source):
                async for piece in source:
                    pieces.append(piece)
                    if text := text_of(piece):
                        shown += text
                        yield Text(text=text)
                    if time.monotonic() > end:
                        raise _too_long()
            response = gathered(pieces)
            if shown or last_try or not _stumbled(response):
                break
    answer = await _answered(runtime, asked, response)
    if shown and not answer.grounded:
        yield Retracted(message=answer.answer)
    elif not shown:
        yield Text(text=answer.answer)
    yield answer


@contextlib.asynccontextmanager
async def _asking(runtime: Runtime, asked: Prepared) -> AsyncIterator[None]:
    """Put a question to Gemini in here: where there is budget left, and in one's turn."""
    await asked.budget.check()
    async with runtime.turns.turn(caller.get().id), _refusals(runtime, asked):
        yield


def _too_long() -> ServiceError:
    return ServiceError("SEARCH_TIMEOUT", f"There was no answer within {LONGEST:.0f} s. Try again, or ask for less.")


async def _answered(runtime: Runtime, asked: Prepared, response: types.GenerateContentResponse) -> SearchAnswer:
    """The answer that a response makes, which is kept for the next who asks."""
    answer = compose(
        read_grounding(response),
        request=asked.request,
        model=response.model_version or asked.model,
        usage=_usage(response.usage_metadata),
        store_names={resource: store for store, resource in asked.resources.items()},
        documents_place=runtime.settings.documents_place,
        request_id=asked.request_id,
    )
    await asked.budget.spend(answer.usage.total_tokens)
    _count_tokens(answer, runtime.settings)
    if answer.grounded:
        await runtime.answers.keep(asked.mark, asked.key, answer.model_dump_json())
    return answer


def _count_tokens(answer: SearchAnswer, settings: Settings) -> None:
    usage, model = answer.usage, metrics.model_label(answer.model)
    kinds = {
        "prompt": usage.prompt_tokens,
        "retrieved": usage.retrieved_tokens,
        "answer": usage.answer_tokens,
        "thinking": usage.thinking_tokens,
    }
    for kind, tokens in kinds.items():
        metrics.GEMINI_TOKENS.add(kind, model, amount=tokens)
    read, written = kinds["prompt"] + kinds["retrieved"], kinds["answer"] + kinds["thinking"]
    if settings.gemini_input_price or settings.gemini_output_price:
        cost = (read * settings.gemini_input_price + written * settings.gemini_output_price) / 1_000_000
        metrics.GEMINI_COST.add(model, amount=cost)


async def _resource(runtime: Runtime, store: str) -> str:
    """The resource name of a store. Raises ServiceError that says whether there is such a folder at all."""
    resource = await runtime.stores.resource(store)
    if resource:
        return resource
    async for info in documents_of(runtime.documents, store=store):
        raise await _not_ready(runtime, store, info)
    raise ServiceError(
        "STORE_NOT_FOUND",
        f"There is no store {store!r}. Put a document into a folder of that name; /api/stores lists the stores.",
    )


async def _not_ready(runtime: Runtime, store: str, example: ObjectInfo) -> ServiceError:
    """The refusal of a search of a store in which nothing is indexed, with what is known of one of its documents."""
    saved = await runtime.records.get(example.name)
    reason = saved and saved.record.why_not_indexed(example)
    return ServiceError(
        "STORE_NOT_READY",
        f"No document of store {store!r} can be searched yet. "
        + (f"{example.name!r}: {reason.message} " if reason else "They are still being indexed. ")
        + f"/api/documents?store={quote(store)} shows the state of each.",
    )


def _config(request: SearchRequest, resources: list[str], settings: Settings) -> types.GenerateContentConfig:
    file_search = types.FileSearch(
        file_search_store_names=resources,
        top_k=settings.max_sources,
        metadata_filter=normal(request.metadata_filter or "") or None,
    )
    return types.GenerateContentConfig(
        system_instruction=INSTRUCTION,
        tools=[types.Tool(file_search=file_search)],
        temperature=settings.temperature if request.temperature is None else request.temperature,
        max_output_tokens=request.max_tokens or settings.max_output_tokens,
    )


def _stumbled(response: types.GenerateContentResponse) -> bool:
    candidate = response.candidates[0] if response.candidates else None
    if candidate is None:
        return False  # the prompt was blocked, and would be again
    return candidate.finish_reason in TRY_AGAIN or not read_grounding(response).text


@contextlib.asynccontextmanager
async def _refusals(runtime: Runtime, asked: Prepared) -> AsyncIterator[None]:
    """Say what it means for the sender that Gemini finds the request wrong."""
    request = asked.request
    try:
        yield
    except Permanent as error:
        if request.metadata_filter:
            raise ServiceError("INVALID_METADATA_FILTER", f"The metadata_filter cannot be used. {error}") from error
        raise ServiceError("BAD_REQUEST", str(error)) from error
    except NotThere as error:
        for store, resource in asked.resources.items():
            if await runtime.stores.resource(store) != resource:
                raise ServiceError("STORE_NOT_FOUND", f"Store {store!r} was deleted during the search.") from error
        if request.model is None:
            raise
        raise ServiceError("BAD_REQUEST", f"Gemini has no model {request.model!r} that answers here.") from error


def compose(
    grounded: Grounded,
    *,
    request: SearchRequest,
    model: str,
    usage: Usage,
    store_names: Mapping[str, str],
    documents_place: str,
    request_id: str,
) -> SearchAnswer:
    """The answer that a model's grounded text makes: one source per document, citations in code points.

    Text that rests on nothing is withheld: the model may have answered from what it happens to know.
    """
    cited = [support for support in grounded.supports if support.passages]
    order = [index for support in cited for index in support.passages] or range(len(grounded.passages))
    sources, source_of = _sources([grounded.passages[index] for index in order], store_names, documents_place)
    return SearchAnswer(
        answer=grounded.text if sources and grounded.text else NOT_FOUND,
        grounded=bool(sources and grounded.text),
        sources=sources if grounded.text else [],
        citations=[_citation(support, grounded, source_of) for support in cited],
        model=model,
        query=request.query,
        store=request.every_store[0],
        stores=request.every_store,
        usage=usage,
        cached=False,
        request_id=request_id,
    )


def _sources(
    passages: list[Passage], store_names: Mapping[str, str], documents_place: str
) -> tuple[list[Source], dict[str, int]]:
    """The documents behind passages, in their order, and where each is.

    While a document is replaced its old and its new text are both searchable; the newer one is shown.
    """
    best: dict[str, Passage] = {}
    for passage in passages:
        shown = best.setdefault(_document_of(passage), passage)
        if (passage.attempt or "") > (shown.attempt or ""):
            best[_document_of(passage)] = passage
    sources = [
        Source(
            title=passage.title or PurePosixPath(passage.object or "").name or "untitled",
            uri=source_uri(passage.object, documents_place) if passage.object else None,
            store=store_names.get(passage.store or ""),
            page=passage.page,
            excerpt=passage.text,
        )
        for passage in best.values()
    ]
    return sources, {document: place for place, document in enumerate(best)}


def _document_of(passage: Passage) -> str:
    return passage.object or f"{passage.store} {passage.title}"


def _citation(support: Support, grounded: Grounded, source_of: Mapping[str, int]) -> Citation:
    documents = dict.fromkeys(_document_of(grounded.passages[index]) for index in support.passages)
    return Citation(start=support.start, end=support.end, sources=[source_of[document] for document in documents])


def source_uri(name: str, documents_place: str) -> str:
    """Where a reader finds the document: its address in the bucket, or this API's for one in a folder."""
    if urlsplit(documents_place).scheme in ("gs", "s3"):
        return f"{documents_place.rstrip('/')}/{quote(name)}"
    return f"/api/documents/{quote(name)}"


def _usage(counted: types.GenerateContentResponseUsageMetadata | None) -> Usage:
    if counted is None:
        return Usage()
    return Usage(
        prompt_tokens=counted.prompt_token_count or 0,
        retrieved_tokens=counted.tool_use_prompt_token_count or 0,
        answer_tokens=counted.candidates_token_count or 0,
        thinking_tokens=counted.thoughts_token_count or 0,
        total_tokens=counted.total_token_count or 0,
    )
