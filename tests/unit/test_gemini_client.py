"""The client against answers of the recorded shapes: google-genai is real, only what the network says is scripted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared.failures import Misconfigured, Permanent, Transient
from shared.gemini import client as client_module
from shared.gemini.client import DocumentState, Gemini, UploadError
from shared.secret import SecretSource

STORE = "fileSearchStores/hr-1"
DOCUMENT = f"{STORE}/documents/leave-1"
OPERATION = f"{STORE}/upload/operations/leave-1"
Answer = httpx2.Response | Exception


class Script(httpx2.AsyncBaseTransport):
    """Answers each request from what is written for its method and path, in turn; the last one stays."""

    def __init__(self, answers: Mapping[str, list[Answer]]) -> None:
        self._answers = {call: list(queue) for call, queue in answers.items()}
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        path = request.url.path.removeprefix("/v1").removeprefix("/")
        queue = self._answers[f"{request.method} {path}"]
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer.status_code, headers=answer.headers, content=answer.content)


def said(body: Any = None, status: int = 200, **headers: str) -> httpx2.Response:
    content = b"" if body is None else json.dumps(body).encode()
    return httpx2.Response(status, headers={"content-type": "application/json", **headers}, content=content)


def failed(status: int, name: str, message: str, *details: dict[str, Any]) -> httpx2.Response:
    return said({"error": {"code": status, "status": name, "message": message, "details": details}}, status)


UPLOAD = f"POST upload/v1/{STORE}:uploadToFileSearchStore"
STARTED = said(None, **{"x-goog-upload-url": "http://gemini.test/data?upload_id=1", "x-goog-upload-status": "active"})
FINISHED = {"x-goog-upload-status": "final"}


def gemini(answers: Mapping[str, list[Answer]], key: str = "key-1") -> tuple[Gemini, Script]:
    script = Script(answers)
    return Gemini(SecretSource(key), base_url="http://gemini.test", transport=script, upload_timeout=5), script


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(seconds: float) -> None:
        assert seconds <= client_module.MAX_RETRY_DELAY

    monkeypatch.setattr("asyncio.sleep", at_once)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flamehaven-1.md"
    path.write_text("Parental leave is 26 weeks.")
    return path


@pytest.mark.parametrize(
    "operation",
    [
        {"name": OPERATION, "response": {"parent": STORE, "documentName": DOCUMENT, "mimeType": "text/markdown"}},
        {"name": OPERATION, "done": True, "response": {"parent": "hr-1", "documentName": "leave-1"}},
        {"name": OPERATION},
    ],
)
async def test_a_document_s_full_name_is_known_however_the_answer_puts_it(file: Path, operation: Any) -> None:
    client, script = gemini({UPLOAD: [STARTED], "POST data": [said(operation, **FINISHED)]})
    sent = await client.upload(
        STORE, file, display_name="été.md", metadata={"flamehaven_object": "hr/été.md", "none": ""}
    )
    assert (sent.document, sent.operation) == (DOCUMENT, OPERATION)
    start = json.loads(script.requests[0].content)
    assert start["displayName"] == "été.md"
    assert [entry["key"] for entry in start["customMetadata"]] == ["flamehaven_object"]
    assert "mimeType" not in start
    assert script.requests[0].headers["x-goog-upload-header-content-type"] == "text/markdown"
    assert script.requests[1].content == file.read_bytes()


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ([said(None, 503)], Transient),
        ([said({}, **FINISHED)], Transient),
        ([httpx2.ReadTimeout("slow")], Transient),
        ([failed(400, "INVALID_ARGUMENT", "The file is broken")], Permanent),
        ([failed(429, "RESOURCE_EXHAUSTED", "Corpus has reached the storage limit of 1 bytes.")], Misconfigured),
    ],
)
async def test_an_upload_that_fails_is_not_sent_again_by_itself(file: Path, data: list[Answer], kind: type) -> None:
    client, script = gemini({UPLOAD: [STARTED], "POST data": data})
    with pytest.raises(kind):
        await client.upload(STORE, file, display_name="x.md", metadata={})
    assert len([request for request in script.requests if request.url.path != "/data"]) == 1


async def test_a_file_that_gemini_stumbles_over_is_tried_once_more(file: Path) -> None:
    stumble = failed(400, "INVALID_ARGUMENT", "Failed to count tokens.")
    client, _ = gemini({UPLOAD: [stumble, STARTED], "POST data": [said({"name": OPERATION}, **FINISHED)]})
    assert (await client.upload(STORE, file, display_name="x.md", metadata={})).document == DOCUMENT
    client, _ = gemini({UPLOAD: [stumble]})
    with pytest.raises(Permanent, match="twice"):
        await client.upload(STORE, file, display_name="x.md", metadata={})


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (said({"name": DOCUMENT, "state": "STATE_PENDING"}), DocumentState.PENDING),
        (said({"name": DOCUMENT, "state": "STATE_ACTIVE"}), DocumentState.ACTIVE),
        (said({"name": DOCUMENT, "state": "STATE_FAILED"}), DocumentState.FAILED),
        (said({"name": DOCUMENT}), DocumentState.PENDING),
        (failed(404, "NOT_FOUND", "gone"), DocumentState.ABSENT),
        (failed(400, "INVALID_ARGUMENT", "Documents does not exist"), DocumentState.ABSENT),
        (failed(403, "PERMISSION_DENIED", "... or it may not exist"), DocumentState.ABSENT),
    ],
)
async def test_a_document_s_state_is_what_gemini_says_of_it(answer: httpx2.Response, state: DocumentState) -> None:
    client, _ = gemini({f"GET {DOCUMENT}": [answer]})
    assert (await client.document(DOCUMENT)).state is state


async def test_reads_are_tried_again_and_deletes_of_what_is_gone_succeed() -> None:
    busy = failed(503, "UNAVAILABLE", "")
    client, script = gemini(
        {
            f"GET {DOCUMENT}": [
                busy,
                httpx2.ConnectError("refused"),
                said({"name": DOCUMENT, "state": "STATE_ACTIVE"}),
            ],
            f"DELETE {DOCUMENT}": [failed(404, "NOT_FOUND", "gone")],
        }
    )
    assert (await client.document(DOCUMENT)).state is DocumentState.ACTIVE
    await client.delete_document(DOCUMENT)
    assert script.requests[-1].url.params["force"].lower() == "true"


async def test_an_upload_that_came_too_soon_is_sent_again_after_the_time_that_gemini_names(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("asyncio.sleep", wait)
    retry_info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12s"}
    too_soon = failed(429, "RESOURCE_EXHAUSTED", "slow down", retry_info)
    client, _ = gemini({UPLOAD: [too_soon, too_soon, STARTED], "POST data": [said({"name": OPERATION}, **FINISHED)]})
    assert (await client.upload(STORE, file, display_name="x.md", metadata={})).document == DOCUMENT
    assert [12 <= seconds <= 15 for seconds in waited] == [True, True]
    assert waited[0] != waited[1], "with jitter"


async def test_a_read_is_given_up_after_a_few_tries() -> None:
    client, script = gemini({f"GET {DOCUMENT}": [failed(429, "RESOURCE_EXHAUSTED", "slow down")]})
    with pytest.raises(Transient):
        await client.document(DOCUMENT)
    assert len(script.requests) == client_module.ATTEMPTS


async def test_every_page_is_listed_even_when_the_last_is_empty() -> None:
    path = f"GET {STORE}/documents"
    metadata = [{"key": "flamehaven_object", "stringValue": "hr/x.md"}, {"key": "year", "numericValue": 2026}]
    pages: list[Answer] = [
        said({"documents": [{"name": f"{STORE}/documents/{n}", "customMetadata": metadata}], "nextPageToken": f"t{n}"})
        for n in range(2)
    ]
    client, script = gemini({path: [*pages, said({})]})
    found = [document async for document in client.documents(STORE)]
    assert [document.name[-1] for document in found] == ["0", "1"]
    assert found[0].metadata == {"flamehaven_object": "hr/x.md"}
    assert [request.url.params.get("pageToken") for request in script.requests] == [None, "t0", "t1"]
    assert {request.url.params["pageSize"] for request in script.requests} == {"20"}


class Revoking(httpx2.AsyncBaseTransport):
    """Refuses the old key: its first call at once, the others when the new key is in use already."""

    def __init__(self) -> None:
        self.calls = 0
        self._renewed = asyncio.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.calls += 1
        if request.headers["x-goog-api-key"] == "new":
            self._renewed.set()
            return said({"name": DOCUMENT})
        if self.calls > 1:
            await self._renewed.wait()
        return failed(400, "INVALID_ARGUMENT", "API key not valid.", {"reason": "API_KEY_INVALID"})


async def test_a_key_that_is_revoked_as_it_is_replaced_fails_no_call_that_is_under_way(tmp_path: Path) -> None:
    key = tmp_path / "gemini.key"
    key.write_text("old")
    source, transport = SecretSource(str(key)), Revoking()
    assert source.value() == "old"
    client = Gemini(source, base_url="http://gemini.test", transport=transport, upload_timeout=5)
    key.write_text("new")
    await asyncio.wait_for(asyncio.gather(*(client.document(DOCUMENT) for _ in range(3))), 10)
    assert transport.calls == 6


async def test_a_key_file_that_cannot_be_read_is_the_operators_to_mend(tmp_path: Path) -> None:
    client, script = gemini({f"GET {DOCUMENT}": [said({"name": DOCUMENT})]}, key=str(tmp_path / "missing"))
    with pytest.raises(Misconfigured, match="GEMINI_API_KEY names cannot be read"):
        await client.document(DOCUMENT)
    assert script.requests == []


async def test_a_rotated_key_takes_effect_without_a_restart(tmp_path: Path) -> None:
    key = tmp_path / "gemini.key"
    key.write_text("old")
    refused = failed(400, "INVALID_ARGUMENT", "API key expired.", {"reason": "API_KEY_INVALID"})
    client, script = gemini(
        {f"GET {DOCUMENT}": [said({"name": DOCUMENT}), refused, said({"name": DOCUMENT}), refused]}, key=str(key)
    )
    await client.document(DOCUMENT)
    key.write_text("new")
    await client.document(DOCUMENT)
    assert [request.headers["x-goog-api-key"] for request in script.requests] == ["old", "old", "new"]
    with pytest.raises(Misconfigured, match="refuses the API key"):
        await client.document(DOCUMENT)


async def test_what_went_wrong_with_an_upload_is_in_its_operation() -> None:
    answers: Callable[[Any], Mapping[str, list[Answer]]] = lambda body: {f"GET {OPERATION}": [said(body)]}  # noqa: E731 - one use
    client, _ = gemini(answers({"name": OPERATION, "done": True, "error": {"code": 3, "message": "encrypted"}}))
    assert await client.upload_error(OPERATION) == UploadError("encrypted", is_final=True)
    client, _ = gemini(answers({"name": OPERATION, "done": True, "error": {"code": 13, "message": "later"}}))
    assert await client.upload_error(OPERATION) == UploadError("later", is_final=False)
    client, _ = gemini(answers({"name": OPERATION}))
    assert await client.upload_error(OPERATION) is None
