"""Faults on demand: each kind, as a client sees it over a socket, and what is true behind it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types

from file_search_emulator.faults import Faults, Rules
from tests.emulator import KEY, EmulatorClient, request, texts
from tests.servers import free_port, running

LEAVE = "Every employee has 27 days of paid leave a year.\n"
ASKED = "How many days of paid leave does an employee have?"


def command(port: int, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "flamehaven.cli", "emulator", "--port", str(port), *arguments]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("emulator")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with running(command(port, "--data", str(folder / "data")), environment={}, url=address, log=folder / "log"):
        yield address


@pytest.fixture
async def api(url: str, tmp_path: Path) -> AsyncIterator[EmulatorClient]:
    async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
        yield EmulatorClient(http, tmp_path)
        assert (await http.post("/emulator/reset")).json() == {"stores": [], "files": []}


async def put(api: EmulatorClient, *rules: dict[str, Any], seed: int = 0) -> None:
    answer = await api.http.put("/emulator/faults", json={"seed": seed, "rules": list(rules)})
    assert answer.status_code == 200, answer.text


async def happened(api: EmulatorClient) -> list[int]:
    return [rule["happened"] for rule in (await api.http.get("/emulator/faults")).json()["rules"]]


async def stores(api: EmulatorClient) -> int:
    return len((await api.http.get("/emulator/state")).json()["stores"])


@pytest.fixture
async def sdk(url: str) -> AsyncIterator[genai.Client]:
    client = genai.Client(api_key="any", vertexai=False, http_options=types.HttpOptions(base_url=url, timeout=30_000))
    yield client
    await client.aio.aclose()
    client.close()


async def test_an_answer_in_place_of_the_work_some_times(api: EmulatorClient) -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    body = {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED", "details": [retry]}}
    rule = {"call": "fileSearchStores.create", "fault": "answer", "status": 429, "body": body, "times": 2, "skip": 1}
    await put(api, {**rule, "headers": {"retry-after": "7"}})
    answers = [await api.call("POST", "fileSearchStores") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 200]
    assert (answers[1].json(), answers[1].headers["retry-after"]) == (body, "7")
    assert await happened(api) == [2]
    assert await stores(api) == 2
    assert (await api.call("GET", "fileSearchStores")).status_code == 200  # another call


async def test_an_upload_that_is_answered_without_a_status_header_is_tried_again(
    api: EmulatorClient, sdk: genai.Client, tmp_path: Path
) -> None:
    store = await api.create_store()
    await put(api, {"call": "uploadToFileSearchStore.upload.bytes", "fault": "answer", "status": 503, "times": 1})
    (tmp_path / "leave.txt").write_text(LEAVE)
    operation = await sdk.aio.file_search_stores.upload_to_file_search_store(
        file_search_store_name=store, file=tmp_path / "leave.txt"
    )
    assert operation.name
    assert await happened(api) == [1]
    await put(api, {"call": "*.bytes", "fault": "answer", "status": 503})
    started = await api.start(store, 4)
    refused = await api.send(started.headers["x-goog-upload-url"], b"text")
    assert (refused.status_code, refused.content) == (503, b"")
    assert "x-goog-upload-status" not in refused.headers


async def test_a_delay_outlasts_a_clients_patience(api: EmulatorClient) -> None:
    await put(api, {"call": "fileSearchStores.list", "fault": "delay", "seconds": 3, "times": 1})
    with pytest.raises(httpx2.ReadTimeout):
        await api.http.get("/v1/fileSearchStores", headers=KEY, timeout=0.3)
    assert (await api.call("GET", "fileSearchStores")).json() == {}


async def test_a_dropped_connection_did_nothing(api: EmulatorClient) -> None:
    await put(api, {"call": "fileSearchStores.create", "fault": "drop", "times": 1})
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        await api.call("POST", "fileSearchStores")
    assert await stores(api) == 0


async def test_a_lost_answer_comes_after_the_work(api: EmulatorClient) -> None:
    await put(api, {"call": "fileSearchStores.create", "fault": "lose_answer", "times": 1})
    with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
        await api.call("POST", "fileSearchStores")
    assert await stores(api) == 1


async def test_a_truncated_answer_ends_in_the_middle(api: EmulatorClient) -> None:
    store = await api.create_store()
    await put(api, {"call": "fileSearchStores.get", "fault": "truncate", "length": 10})
    async with api.http.stream("GET", f"/v1/{store}", headers=KEY) as answer:
        assert answer.status_code == 200
        arriving = answer.aiter_bytes()
        assert await anext(arriving) == b'{"name":"f'
        with pytest.raises(httpx2.RemoteProtocolError):
            await anext(arriving)


async def test_a_key_that_is_not_valid(api: EmulatorClient, sdk: genai.Client) -> None:
    await put(api, {"fault": "invalid_key"})
    with pytest.raises(errors.ClientError) as raised:
        await sdk.aio.file_search_stores.create()
    assert raised.value.code == 400
    assert raised.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


async def test_one_key_that_is_not_valid_while_others_are(api: EmulatorClient) -> None:
    await put(api, {"fault": "invalid_key", "key": "old"})
    answers = [
        await api.http.get("/v1/fileSearchStores", headers={"x-goog-api-key": "old"}),
        await api.http.get("/v1/fileSearchStores", params={"key": "old"}),
        await api.http.get("/v1/fileSearchStores", headers={"x-goog-api-key": "new"}),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 200]
    assert await happened(api) == [2]


async def test_an_operation_that_never_ends(api: EmulatorClient) -> None:
    store = await api.create_store()
    await put(api, {"call": "uploadToFileSearchStore.upload.bytes", "fault": "stuck", "times": 1})
    stuck, other = await api.upload(store, LEAVE), await api.upload(store, LEAVE)
    assert (await api.settled(other))["state"] == "STATE_ACTIVE"
    assert (await api.json("GET", stuck))["state"] == "STATE_PENDING"
    operation = await api.json("GET", stuck.replace("/documents/", "/upload/operations/"))
    assert operation.keys() == {"name"}
    assert (await api.json("GET", store))["pendingDocumentsCount"] == "1"
    assert (await api.call("DELETE", stuck)).status_code == 200


async def test_an_operation_that_fails(api: EmulatorClient) -> None:
    store = await api.create_store()
    await put(api, {"call": "uploadToFileSearchStore.upload.bytes", "fault": "fail"})
    document = await api.upload(store, LEAVE)
    assert (await api.settled(document))["state"] == "STATE_FAILED"
    operation = await api.json("GET", document.replace("/documents/", "/upload/operations/"))
    assert (operation["done"], operation["error"]) == (True, {"code": 13, "message": "Failed to count tokens."})


async def test_failed_then_active(api: EmulatorClient) -> None:
    store = await api.create_store()
    rule = {"call": "uploadToFileSearchStore.*", "fault": "fail_then_recover", "seconds": 1.0, "message": "Not yet."}
    await put(api, rule)
    document = await api.upload(store, LEAVE)
    assert (await api.settled(document))["state"] == "STATE_FAILED"
    operation = await api.json("GET", document.replace("/documents/", "/upload/operations/"))
    assert operation["error"]["message"] == "Not yet."
    assert texts(await api.ask(ASKED, store)) == []
    async with asyncio.timeout(20):
        while (await api.json("GET", document))["state"] != "STATE_ACTIVE":  # noqa: ASYNC110 (the API is polled)
            await asyncio.sleep(0.05)
    assert texts(await api.ask(ASKED, store)) == [LEAVE.strip()]
    assert (await api.json("GET", store))["activeDocumentsCount"] == "1"


async def test_an_import_fails_like_an_upload(api: EmulatorClient) -> None:
    store = await api.create_store()
    await put(api, {"call": "fileSearchStores.importFile", "fault": "fail"})
    headers = {
        "X-Goog-Upload-Header-Content-Length": str(len(LEAVE)),
        "X-Goog-Upload-Header-Content-Type": "text/plain",
    }
    begun = await api.http.post("/upload/v1/files", headers={**KEY, **headers, "X-Goog-Upload-Command": "start"})
    file = (await api.send(begun.headers["x-goog-upload-url"], LEAVE.encode())).json()["file"]["name"]
    operation = (await api.json("POST", f"{store}:importFile", {"fileName": file}))["name"]
    await api.settled(operation.replace("/operations/", "/documents/"))
    assert "error" in await api.json("GET", operation)


async def test_answers_that_go_wrong(api: EmulatorClient, sdk: genai.Client) -> None:
    store = await api.create_store()
    await api.add(store, LEAVE)
    search = types.Tool(file_search=types.FileSearch(file_search_store_names=[store]))
    config = types.GenerateContentConfig(tools=[search])

    async def ask() -> types.GenerateContentResponse:
        return await sdk.aio.models.generate_content(model="m", contents=ASKED, config=config)

    await put(api, {"call": "models.*", "fault": "blocked_prompt"})
    blocked = await ask()
    assert (blocked.candidates, blocked.text) == (None, None)
    assert blocked.prompt_feedback
    assert blocked.prompt_feedback.block_reason == types.BlockedReason.SAFETY
    await put(api, {"call": "models.*", "fault": "empty_text"})
    empty = await ask()
    assert empty.text is None
    assert empty.candidates
    assert empty.candidates[0].finish_reason == types.FinishReason.STOP
    await put(api, {"call": "models.*", "fault": "no_grounding"})
    bare = await ask()
    assert bare.text == LEAVE.strip()
    assert bare.candidates
    assert bare.candidates[0].grounding_metadata is None
    streamed = await sdk.aio.models.generate_content_stream(model="m", contents=ASKED, config=config)
    assert [event.candidates[0].grounding_metadata async for event in streamed if event.candidates] == [None]
    tool = {"type": "file_search", "file_search_store_names": [store]}
    await put(api, {"call": "interactions.create", "fault": "no_grounding"})
    said = (await api.json("POST", "interactions", {"model": "m", "input": ASKED, "tools": [tool]}))["steps"][-1]
    assert said["content"] == [{"type": "text", "text": LEAVE.strip()}]


async def test_the_same_share_goes_wrong_each_time(api: EmulatorClient) -> None:
    async def codes(seed: int) -> list[int]:
        await put(api, {"call": "fileSearchStores.list", "fault": "answer", "status": 500, "share": 0.5}, seed=seed)
        return [(await api.call("GET", "fileSearchStores")).status_code for _ in range(40)]

    first = await codes(7)
    assert 8 < first.count(500) < 32
    assert await codes(7) == first
    assert await codes(8) != first


def test_of_several_rules_the_first_that_happens_counts() -> None:
    faults = Faults()
    rules = [{"call": "a.*", "fault": "drop", "times": 1}, {"fault": "delay", "skip": 1, "times": 1}]
    faults.set(Rules.model_validate({"rules": rules}))
    found = [faults.next(call) for call in ("b", "a.b", "a.b", "a.b")]
    assert [rule and rule.fault for rule in found] == [None, "drop", "delay", None]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"fault": "explode"}, "answer"),
        ({"fault": "drop", "calls": "x"}, "calls"),
        ({"fault": "stuck", "call": "documents.get"}, "can only happen to"),
        ({"fault": "drop", "share": 0}, "greater than 0"),
        ({"fault": "answer", "status": 99}, "200"),
    ],
)
async def test_rules_that_are_refused(api: EmulatorClient, rule: dict[str, Any], message: str) -> None:
    answer = await api.http.put("/emulator/faults", json={"rules": [rule]})
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


def test_rules_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps({"rules": [{"call": "fileSearchStores.list", "fault": "answer", "status": 418}]}))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = ("--data", str(tmp_path / "data"), "--faults", str(path))
    with running(command(port, *arguments), environment={}, url=f"{address}/emulator/faults", log=tmp_path / "log"):
        assert httpx2.get(f"{address}/v1/fileSearchStores", headers=KEY).status_code == 418


async def test_a_stream_is_truncated_too(api: EmulatorClient) -> None:
    store = await api.create_store()
    await put(api, {"call": "models.streamGenerateContent", "fault": "truncate", "length": 5})
    with pytest.raises(httpx2.RemoteProtocolError):
        await api.http.post("/v1/models/m:streamGenerateContent?alt=sse", json=request(ASKED, store), headers=KEY)
