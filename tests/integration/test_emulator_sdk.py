"""The emulator behind google-genai, in this process and over a socket."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from file_search_emulator.app import create_app, instance_id
from shared.gemini import mime
from shared.gemini.transport import InProcessTransport
from tests.servers import free_port, running

mime.register()
ASKED = "How many days of paid leave does an employee have?"
ANSWER = "Every employee has 27 days of paid leave a year."


def sdk(base_url: str, transport: httpx2.AsyncBaseTransport | None = None) -> genai.Client:
    arguments = {"transport": transport} if transport else {}
    options = types.HttpOptions(base_url=base_url, async_client_args=arguments, timeout=30_000)
    return genai.Client(api_key="any", http_options=options, vertexai=False)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[genai.Client]:
    app = create_app(tmp_path / "data")
    made = sdk("http://emulator.test", InProcessTransport(app, app.state.emulator.close))
    yield made
    await made.aio.aclose()
    await app.state.emulator.close()


async def upload(client: genai.Client, store: str, path: Path, name: str) -> types.UploadToFileSearchStoreOperation:
    config = types.UploadToFileSearchStoreConfig(
        display_name=name, custom_metadata=[types.CustomMetadata(key="path", string_value=f"hr/{name}")]
    )
    operation = await client.aio.file_search_stores.upload_to_file_search_store(
        file_search_store_name=store, file=path, config=config
    )
    async with asyncio.timeout(30):
        while not operation.done:
            await asyncio.sleep(0.05)
            operation = await client.aio.operations.get(operation)
    return operation


def search(store: str, **tool: str | int) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(
        tools=[types.Tool(file_search=types.FileSearch.model_validate({"file_search_store_names": [store], **tool}))]
    )


async def test_from_a_file_to_a_cited_answer_and_gone_again(client: genai.Client, tmp_path: Path) -> None:
    stores = client.aio.file_search_stores
    store = await stores.create(config={"display_name": "HR"})
    assert store.name
    path = tmp_path / "leave.md"
    path.write_text(f"# Leave\n\n{ANSWER} Nobody has more.\n")
    operation = await upload(client, store.name, path, "Urlaub – leave.md")  # noqa: RUF001 (a dash that is not ASCII)
    assert operation.error is None
    assert operation.response
    document = await stores.documents.get(name=f"{store.name}/documents/{operation.response.document_name}")
    assert document.state == types.DocumentState.STATE_ACTIVE
    assert document.mime_type == "text/markdown"

    response = await client.aio.models.generate_content(model="m", contents=ASKED, config=search(store.name, top_k=3))
    assert response.text == ANSWER
    grounding = response.candidates[0].grounding_metadata  # type: ignore[index]  # there is one, or this fails
    assert grounding
    assert grounding.grounding_chunks
    context = grounding.grounding_chunks[0].retrieved_context
    assert context
    assert context.title == "Urlaub – leave.md"  # noqa: RUF001
    assert context.custom_metadata
    assert context.custom_metadata[0].string_value == "hr/Urlaub – leave.md"  # noqa: RUF001

    stream = await client.aio.models.generate_content_stream(model="m", contents=ASKED, config=search(store.name))
    assert "".join([event.text or "" async for event in stream]) == ANSWER

    await stores.documents.delete(name=document.name or "", config={"force": True})
    response = await client.aio.models.generate_content(model="m", contents=ASKED, config=search(store.name))
    assert response.candidates
    assert response.candidates[0].grounding_metadata is None
    await stores.delete(name=store.name)
    with pytest.raises(errors.ClientError) as refused:
        await stores.get(name=store.name)
    assert (refused.value.code, refused.value.status) == (403, "PERMISSION_DENIED")


async def test_lists_end_where_they_should(client: genai.Client, tmp_path: Path) -> None:
    stores = client.aio.file_search_stores
    store = await stores.create()
    path = tmp_path / "a.txt"
    path.write_text("A text.")
    for number in range(20):
        await stores.upload_to_file_search_store(
            file_search_store_name=store.name or "", file=path, config={"display_name": str(number)}
        )
    listed = [document.display_name async for document in await stores.documents.list(parent=store.name or "")]
    assert listed == [str(number) for number in range(20)]


async def test_an_error_in_a_filter_reaches_the_caller(client: genai.Client) -> None:
    store = await client.aio.file_search_stores.create()
    with pytest.raises(errors.ClientError, match="position 4"):
        await client.aio.models.generate_content(
            model="m", contents="q", config=search(store.name or "", metadata_filter="a = ")
        )


def test_one_client_serves_several_event_loops(tmp_path: Path) -> None:
    app = create_app(tmp_path)
    client = sdk("http://emulator.test", InProcessTransport(app, app.state.emulator.close))

    async def create() -> None:
        await client.aio.file_search_stores.create()

    async def count() -> int:
        found = len([store async for store in await client.aio.file_search_stores.list()])
        await client.aio.aclose()
        return found

    asyncio.run(create())
    asyncio.run(create())
    assert asyncio.run(count()) == 2


def test_nothing_is_opened_before_the_first_request(tmp_path: Path) -> None:
    create_app(tmp_path / "data")
    assert not (tmp_path / "data").exists()


async def test_the_id_of_an_index_stays(tmp_path: Path) -> None:
    ids = await asyncio.gather(*(asyncio.to_thread(instance_id, tmp_path / "data") for _ in range(8)))
    assert len(set(ids)) == 1
    assert instance_id(tmp_path / "data") == ids[0]
    assert instance_id(tmp_path / "other") != ids[0]


async def test_a_file_in_several_parts_over_a_socket(tmp_path: Path) -> None:
    """The SDK sends parts of 8 MiB, to an address that it was given for them."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable,
        "-m",
        "flamehaven.cli",
        "emulator",
        "--port",
        str(port),
        "--data",
        str(tmp_path / "data"),
    ]
    path = tmp_path / "long.txt"
    path.write_bytes(f"{ANSWER}\n".encode() + b"\n" * (9 << 20) + b"The last line is about trains.\n")
    with running(command, environment={}, url=url, log=tmp_path / "log"):
        client = sdk(url)
        store = await client.aio.file_search_stores.create()
        assert store.name
        operation = await upload(client, store.name, path, "long.txt")
        assert operation.error is None
        found = [document async for document in await client.aio.file_search_stores.documents.list(parent=store.name)]
        assert [document.size_bytes for document in found] == [path.stat().st_size]
        for asked, answer in ((ASKED, ANSWER), ("What is the last line about?", "The last line is about trains.")):
            response = await client.aio.models.generate_content(model="m", contents=asked, config=search(store.name))
            assert response.text == answer
        await client.aio.aclose()
