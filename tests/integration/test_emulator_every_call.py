"""Every call of google-genai that File Search needs, sync and async, against an emulator behind a socket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import inspect
import operator
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from shared.gemini import mime
from tests.documents import pdf
from tests.emulator import png
from tests.servers import free_port, running

mime.register()
ASKED = "How many days of paid leave does an employee have?"
ANSWER = "Every employee has 27 days of paid leave a year."
LEAVE = f"{ANSWER} Overtime is paid out in March.\n"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("emulator")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "flamehaven.cli", "emulator", "--port", str(port), "--data", str(folder / "data")]
    with running(command, environment={}, url=address, log=folder / "log"):
        yield address


class Sdk:
    """google-genai's calls by name ("files.get"), by the sync or the async client."""

    def __init__(self, url: str, *, is_async: bool) -> None:
        self._client = genai.Client(
            api_key="any", vertexai=False, http_options=types.HttpOptions(base_url=url, timeout=30_000)
        )
        self._root: Any = self._client.aio if is_async else self._client
        self._is_async = is_async

    async def __call__(self, call: str, /, **arguments: Any) -> Any:
        method = operator.attrgetter(call)(self._root)
        if not self._is_async:
            return await asyncio.to_thread(method, **arguments)
        result = method(**arguments)
        return await result if inspect.isawaitable(result) else result

    async def all(self, call: str, /, **arguments: Any) -> list[Any]:
        """Everything that a pager or a stream gives."""
        result = await self(call, **arguments)
        if self._is_async:
            return [item async for item in result]
        return await asyncio.to_thread(list, result)

    async def done(self, operation: Any) -> Any:
        """An operation once it is done."""
        async with asyncio.timeout(30):
            while not operation.done:
                await asyncio.sleep(0.05)
                operation = await self("operations.get", operation=operation)
        return operation

    async def close(self) -> None:
        await self._client.aio.aclose()
        self._client.close()


@pytest.fixture(params=["sync", "async"])
async def sdk(url: str, request: pytest.FixtureRequest) -> AsyncIterator[Sdk]:
    made = Sdk(url, is_async=request.param == "async")
    yield made
    await made.close()


def look(store: str, **tool: Any) -> types.GenerateContentConfig:
    search = types.FileSearch.model_validate({"file_search_store_names": [store], **tool})
    return types.GenerateContentConfig(tools=[types.Tool(file_search=search)])


async def add(sdk: Sdk, store: str, path: Path, **config: Any) -> Any:
    operation = await sdk(
        "file_search_stores.upload_to_file_search_store", file_search_store_name=store, file=path, config=config
    )
    return await sdk.done(operation)


async def test_stores(sdk: Sdk) -> None:
    store = await sdk("file_search_stores.create", config={"display_name": "My_First Store."})
    assert store.name.startswith("fileSearchStores/myfirst-store-")
    assert (await sdk("file_search_stores.get", name=store.name)).display_name == "My_First Store."
    assert store.name in [found.name for found in await sdk.all("file_search_stores.list", config={"page_size": 3})]
    await sdk("file_search_stores.delete", name=store.name)
    with pytest.raises(errors.ClientError, match="PERMISSION_DENIED"):
        await sdk("file_search_stores.get", name=store.name)


async def test_documents(sdk: Sdk, tmp_path: Path) -> None:
    store = (await sdk("file_search_stores.create")).name
    (tmp_path / "leave.txt").write_text(LEAVE)
    metadata = [types.CustomMetadata(key="year", numeric_value=2026), types.CustomMetadata(key="t", string_value="x")]
    operation = await add(sdk, store, tmp_path / "leave.txt", display_name="Leave", custom_metadata=metadata)
    name = f"{store}/documents/{operation.response.document_name}"
    document = await sdk("file_search_stores.documents.get", name=name)
    assert (document.display_name, document.state) == ("Leave", types.DocumentState.STATE_ACTIVE)
    assert document.custom_metadata[0].numeric_value == 2026
    assert [one.name for one in await sdk.all("file_search_stores.documents.list", parent=store)] == [name]
    with pytest.raises(errors.ClientError, match="non-empty Document"):
        await sdk("file_search_stores.documents.delete", name=name)
    await sdk("file_search_stores.documents.delete", name=name, config={"force": True})
    assert await sdk.all("file_search_stores.documents.list", parent=store) == []


async def test_files_and_what_is_imported_from_them(sdk: Sdk, tmp_path: Path) -> None:
    path = tmp_path / "leave.txt"
    path.write_text(LEAVE)
    file = await sdk("files.upload", file=path, config={"display_name": "The leave file"})
    assert file.name.startswith("files/")
    assert (file.state, file.source) == (types.FileState.ACTIVE, types.FileSource.UPLOADED)
    assert (file.size_bytes, file.mime_type, file.display_name) == (len(LEAVE), "text/plain", "The leave file")
    assert base64.b64decode(file.sha256_hash).decode() == hashlib.sha256(LEAVE.encode()).hexdigest()
    assert (file.expiration_time - file.create_time).total_seconds() == pytest.approx(48 * 3600)
    assert file.uri.endswith(f"/v1/{file.name}")
    assert (await sdk("files.get", name=file.name)).uri == file.uri
    assert file.name in [one.name for one in await sdk.all("files.list", config={"page_size": 2})]
    with pytest.raises(errors.ClientError, match="only generated files"):
        await sdk("files.download", file=file.name)

    store = (await sdk("file_search_stores.create")).name
    begun = await sdk(
        "file_search_stores.import_file",
        file_search_store_name=store,
        file_name=file.name,
        config={"custom_metadata": [types.CustomMetadata(key="path", string_value="hr/leave.txt")]},
    )
    file_id = file.name.removeprefix("files/")
    assert begun.name.startswith(f"{store}/operations/{file_id}-")
    assert (begun.done, begun.response) == (None, None)
    operation = await sdk.done(begun)
    assert operation.response.parent == store.removeprefix("fileSearchStores/")
    document = await sdk(
        "file_search_stores.documents.get", name=f"{store}/documents/{operation.response.document_name}"
    )
    assert document.display_name == file_id  # the service forgets the file's own display name, too
    await sdk("files.delete", name=file.name)
    with pytest.raises(errors.ClientError, match="PERMISSION_DENIED"):
        await sdk("files.get", name=file.name)
    answer = await sdk("models.generate_content", model="gemini-3.8-flash", contents=ASKED, config=look(store))
    assert answer.text == ANSWER  # what was imported stays
    with pytest.raises(errors.ClientError, match="PERMISSION_DENIED"):
        await sdk("file_search_stores.import_file", file_search_store_name=store, file_name=file.name)


async def test_a_name_for_a_file_is_taken_once(sdk: Sdk, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("text")
    name = f"files/mine-{id(sdk)}"
    assert (await sdk("files.upload", file=path, config={"name": name})).name == name
    with pytest.raises(errors.ClientError, match="ALREADY_EXISTS"):
        await sdk("files.upload", file=path, config={"name": name})
    await sdk("files.delete", name=name)


async def test_answers_whole_and_streamed(sdk: Sdk, tmp_path: Path) -> None:
    store = (await sdk("file_search_stores.create")).name
    (tmp_path / "w.pdf").write_bytes(pdf(["Nothing of interest.", "The warranty lasts 42 months."]))
    await add(sdk, store, tmp_path / "w.pdf", display_name="w.pdf")
    asked = "How many months does the warranty last?"
    answer = await sdk("models.generate_content", model="m", contents=asked, config=look(store, top_k=3))
    candidate = answer.candidates[0]
    (support,) = candidate.grounding_metadata.grounding_supports
    context = candidate.grounding_metadata.grounding_chunks[support.grounding_chunk_indices[0]].retrieved_context
    assert (context.title, context.page_number, context.file_search_store) == ("w.pdf", 2, store)
    assert answer.text.encode()[: support.segment.end_index].decode() == support.segment.text
    assert answer.usage_metadata.tool_use_prompt_token_count > 0
    pieces = await sdk.all("models.generate_content_stream", model="m", contents=asked, config=look(store))
    assert "".join(piece.text for piece in pieces) == answer.text
    assert pieces[-1].candidates[0].grounding_metadata
    with pytest.raises(errors.ClientError, match="not exist"):
        await sdk("models.generate_content", model="m", contents="q", config=look("fileSearchStores/none"))


async def test_tools_that_the_model_is_told_of(sdk: Sdk, tmp_path: Path) -> None:
    store = (await sdk("file_search_stores.create")).name
    (tmp_path / "leave.txt").write_text(LEAVE)
    await add(sdk, store, tmp_path / "leave.txt")
    config = look(store)
    assert config.tools
    functions = types.Tool(function_declarations=[types.FunctionDeclaration(name="f", description="d")])
    both = types.GenerateContentConfig(tools=[*config.tools, functions])
    with pytest.raises(errors.ClientError, match="include_server_side_tool_invocations"):
        await sdk("models.generate_content", model="m", contents=ASKED, config=both)
    config.tool_config = types.ToolConfig(include_server_side_tool_invocations=True)
    answer = await sdk("models.generate_content", model="m", contents=ASKED, config=config)
    call, response, text = answer.candidates[0].content.parts
    assert call.tool_call.tool_type == types.ToolType.FILE_SEARCH
    assert response.tool_response.id == call.tool_call.id
    assert text.text == ANSWER
    config.tool_config = types.ToolConfig(function_calling_config=types.FunctionCallingConfig())
    with pytest.raises(errors.ClientError, match="without function_declarations"):
        await sdk("models.generate_content", model="m", contents=ASKED, config=config)


async def test_pictures(sdk: Sdk, tmp_path: Path) -> None:
    store = (await sdk("file_search_stores.create", config={"embedding_model": "gemini-embedding-2"})).name
    path = tmp_path / "plan.png"
    path.write_bytes(png(640, 480))
    metadata = [types.CustomMetadata(key="building", string_value="Lighthouse")]
    await add(sdk, store, path, display_name="evacuation plan.png", custom_metadata=metadata)
    for asked in ("Where is the evacuation plan?", "Which picture is of the Lighthouse building?"):
        answer = await sdk("models.generate_content", model="m", contents=asked, config=look(store))
        (chunk,) = answer.candidates[0].grounding_metadata.grounding_chunks
        assert "640 x 480" in answer.text
    media = chunk.retrieved_context.media_id
    assert media.startswith(f"{store}/media/")
    assert await sdk("file_search_stores.download_media", media_id=media) == path.read_bytes()
    with pytest.raises(errors.ClientError, match="PERMISSION_DENIED"):
        await sdk("file_search_stores.download_media", media_id=f"{store}/media/genai-api/blobref/global::none")
    text_only = (await sdk("file_search_stores.create")).name
    with pytest.raises(errors.ClientError, match="gemini-embedding-2"):
        await sdk("file_search_stores.upload_to_file_search_store", file_search_store_name=text_only, file=path)


async def test_interactions(sdk: Sdk, tmp_path: Path) -> None:
    store = (await sdk("file_search_stores.create")).name
    (tmp_path / "leave.txt").write_text(f"Über alles: ja.\n\n{LEAVE}")
    metadata = [types.CustomMetadata(key="tags", string_list_value=types.StringList(values=["a", "b"]))]
    await add(sdk, store, tmp_path / "leave.txt", display_name="leave.txt", custom_metadata=metadata)
    tool = {"type": "file_search", "file_search_store_names": [store], "top_k": 4}
    made = await sdk("interactions.create", model="gemini-3.8-flash", input=ASKED, tools=[tool])
    assert (made.status, made.output_text) == ("completed", ANSWER)
    call, result, output = made.steps
    assert (call.type, result.type, result.call_id) == ("file_search_call", "file_search_result", call.id)
    (citation,) = output.content[0].annotations
    assert (citation.type, citation.file_name) == ("file_citation", "leave.txt")
    assert ANSWER in citation.source
    assert citation.custom_metadata == {"tags": ["a", "b"]}
    assert (citation.start_index or 0, citation.end_index) == (0, len(ANSWER.encode()))
    assert made.usage.total_tokens > 10
    assert (await sdk("interactions.get", id=made.id)).output_text == ANSWER

    turns = [{"type": "user_input", "content": [{"type": "text", "text": ASKED}]}]
    events = await sdk.all("interactions.create", model="m", input=turns, tools=[tool], stream=True, store=False)
    kinds = [event.event_type for event in events]
    assert (kinds[0], kinds[-1]) == ("interaction.created", "interaction.completed")
    deltas = [event.delta for event in events if event.event_type == "step.delta"]
    assert "".join(delta.text for delta in deltas if delta.type == "text") == ANSWER
    assert [delta.annotations[0].file_name for delta in deltas if delta.type == "text_annotation_delta"] == [
        "leave.txt"
    ]

    await sdk("interactions.delete", id=made.id)
    for gone in (made.id, events[0].interaction.id):  # deleted, and never stored
        with pytest.raises(Exception, match="not found"):
            await sdk("interactions.get", id=gone)
