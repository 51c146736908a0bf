"""The emulator's wire as recorded traffic of the API shows it: spellings, states, uploads, pages and refusals."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.documents import pdf
from tests.emulator import KEY, EmulatorClient, emulator, request, texts

LEAVE = "Every employee has 27 days of paid leave a year. Overtime is paid out in March.\n"
ASKED = "How many days of paid leave does an employee have?"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[EmulatorClient]:
    async with emulator(tmp_path / "data") as client:
        yield client


def refusal(answer: httpx2.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "status"}
    assert error["code"] == answer.status_code
    return error["code"], error["status"], error["message"]


async def test_a_store_is_answered_in_camel_case_without_zeros(api: EmulatorClient) -> None:
    store = await api.json(
        "POST", "fileSearchStores", {"display_name": "My Store", "embeddingModel": "models/gemini-embedding-2"}
    )
    assert store.keys() == {"name", "displayName", "createTime", "updateTime", "embeddingModel"}
    assert store["embeddingModel"] == "models/gemini-embedding-2"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", store["createTime"])
    await api.add(store["name"], LEAVE)
    found = await api.json("GET", store["name"])
    assert found["activeDocumentsCount"] == "1"
    assert found["sizeBytes"] == str(len(LEAVE))
    assert "pendingDocumentsCount" not in found


async def test_no_body_at_all_is_an_empty_one(api: EmulatorClient) -> None:
    answer = await api.http.post("/v1/fileSearchStores", headers=KEY)
    assert answer.status_code == 200
    assert "displayName" not in answer.json()


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1alpha"])
async def test_every_version_is_served(api: EmulatorClient, version: str) -> None:
    assert (await api.http.get(f"/{version}/fileSearchStores?key=any")).json() == {}


async def test_a_key_is_needed_but_for_an_uploads_bytes(api: EmulatorClient) -> None:
    store = await api.create_store()
    answer = await api.http.get(f"/v1/{store}")
    assert refusal(answer)[:2] == (403, "PERMISSION_DENIED")
    started = await api.start(store, 5, **{"x-goog-api-key": ""})
    assert refusal(started)[:2] == (403, "PERMISSION_DENIED")
    started = await api.start(store, 5)
    assert (await api.send(started.headers["x-goog-upload-url"], b"hello")).status_code == 200


async def test_an_upload_from_its_start_to_its_end(api: EmulatorClient) -> None:
    store = await api.create_store()
    body = {
        "displayName": "leave.txt",
        "custom_metadata": [
            {"key": "dept", "string_value": "hr"},
            {"key": "year", "numericValue": 2026.0},
            {"key": "tags", "string_list_value": {"values": ["a", "b"]}},
        ],
        "chunkingConfig": {"white_space_config": {"max_tokens_per_chunk": 100, "maxOverlapTokens": 10}},
    }
    data = LEAVE.encode()
    started = await api.start(store, len(data), body)
    assert started.headers["x-goog-upload-status"] == "active"
    assert started.content == b""
    url = started.headers["x-goog-upload-url"]
    assert url.startswith(f"http://emulator.test/upload/v1/{store}:uploadToFileSearchStore?upload_id=")

    part = await api.send(url, data[:30], command="upload")
    assert (part.status_code, part.headers["x-goog-upload-status"], part.content) == (200, "active", b"")
    ended = await api.send(url, data[30:], offset=30)
    assert ended.headers["x-goog-upload-status"] == "final"
    operation = ended.json()
    document_id = operation["response"]["documentName"].rsplit("/", 1)[-1]
    assert document_id.startswith("leavetxt-")
    assert operation["name"] == f"{store}/upload/operations/{document_id}"
    assert "done" not in operation
    response = {key: value for key, value in operation["response"].items() if key != "@type"}
    assert response == {
        "parent": store,
        "documentName": f"{store}/documents/{document_id}",
        "mimeType": "text/plain",
        "sizeBytes": str(len(data)),
    }

    document = await api.settled(response["documentName"])
    assert document.pop("createTime") <= document.pop("updateTime")
    assert document == {
        "name": response["documentName"],
        "displayName": "leave.txt",
        "customMetadata": [
            {"key": "dept", "stringValue": "hr"},
            {"key": "year", "numericValue": 2026},
            {"key": "tags", "stringListValue": {"values": ["a", "b"]}},
        ],
        "state": "STATE_ACTIVE",
        "sizeBytes": str(len(data)),
        "mimeType": "text/plain",
    }
    assert '"numericValue":2026}' in (await api.call("GET", document["name"])).text  # and not 2026.0
    done = await api.json("GET", operation["name"])
    assert done["done"] is True
    assert done["response"]["documentName"] == document_id
    assert done["response"]["parent"] == store.removeprefix("fileSearchStores/")


async def test_a_document_that_cannot_be_read_fails_with_a_reason(api: EmulatorClient, tmp_path: Path) -> None:
    store = await api.create_store()
    document = await api.upload(store, b"%PDF-1.4 nothing", **{"X-Goog-Upload-Header-Content-Type": "application/pdf"})
    assert (await api.settled(document))["state"] == "STATE_FAILED"
    operation = await api.json("GET", f"{store}/upload/operations/{document.rsplit('/', 1)[-1]}")
    assert operation["done"] is True
    assert operation["error"]["code"] == 3
    assert "damaged" in operation["error"]["message"]
    assert "response" not in operation
    assert (await api.json("GET", store))["failedDocumentsCount"] == "1"
    assert list((tmp_path / "data" / "blobs").iterdir()) == []
    assert (await api.call("DELETE", document)).status_code == 200


async def test_an_empty_file_is_taken_and_fails(api: EmulatorClient) -> None:
    document = await api.upload(await api.create_store(), b"")
    found = await api.settled(document)
    assert found["state"] == "STATE_FAILED"
    assert "sizeBytes" not in found


async def test_parts_out_of_place_end_an_upload(api: EmulatorClient) -> None:
    store = await api.create_store()
    url = (await api.start(store, 10)).headers["x-goog-upload-url"]
    for data, offset in ((b"x", 3), (b"x" * 11, 0), (b"x" * 9, 0)):
        answer = await api.send(url, data, offset=offset)
        assert refusal(answer)[:2] == (400, "INVALID_ARGUMENT")
        assert answer.headers["x-goog-upload-status"] == "final"
    assert (await api.send(url, b"x" * 10)).status_code == 200
    again = await api.send(url, b"x" * 10)
    assert "already been terminated" in refusal(again)[2]
    assert again.headers["x-goog-upload-status"] == "final"


async def test_a_part_that_broke_off_is_sent_again(api: EmulatorClient) -> None:
    store = await api.create_store()
    text = LEAVE.encode()
    url = (await api.start(store, len(text))).headers["x-goog-upload-url"]
    too_long = b"#" * (len(text) + 1)
    assert (await api.send(url, too_long, command="upload")).status_code == 400
    assert (await api.send(url, text[:10], command="upload")).status_code == 200
    document = (await api.send(url, text[10:], offset=10)).json()["response"]["documentName"]
    await api.settled(document)
    assert texts(await api.ask(ASKED, store)) == [LEAVE.strip()]


async def test_a_part_is_sent_again_when_its_answer_was_lost(api: EmulatorClient) -> None:
    store = await api.create_store()
    text = LEAVE.encode()
    url = (await api.start(store, len(text))).headers["x-goog-upload-url"]
    for _ in range(2):
        part = await api.send(url, text[:30], command="upload")
        assert (part.status_code, part.headers["x-goog-upload-size-received"]) == (200, "30")
    assert (await api.send(url, text[20:40], offset=20, command="upload")).status_code == 200
    document = (await api.send(url, text[40:], offset=40)).json()["response"]["documentName"]
    await api.settled(document)
    assert texts(await api.ask(ASKED, store)) == [LEAVE.strip()]


async def test_a_client_that_comes_back_late_asks_where_to_go_on(api: EmulatorClient) -> None:
    store = await api.create_store()
    text = LEAVE.encode()
    url = (await api.start(store, len(text))).headers["x-goog-upload-url"]
    await api.send(url, text[:25], command="upload")
    asked = await api.http.post(url, headers={"X-Goog-Upload-Command": "query"})
    assert (asked.headers["x-goog-upload-status"], asked.headers["x-goog-upload-size-received"]) == ("active", "25")
    await api.send(url, text[25:], offset=25, command="upload")
    ended = await api.http.post(url, headers={"X-Goog-Upload-Command": "finalize"})
    assert ended.headers["x-goog-upload-status"] == "final"
    await api.settled(ended.json()["response"]["documentName"])
    assert texts(await api.ask(ASKED, store)) == [LEAVE.strip()]


async def test_an_upload_that_is_given_up(api: EmulatorClient, tmp_path: Path) -> None:
    store = await api.create_store()
    url = (await api.start(store, 10)).headers["x-goog-upload-url"]
    await api.send(url, b"12345", command="upload")
    ended = await api.http.post(url, headers={"X-Goog-Upload-Command": "cancel"})
    assert (ended.status_code, ended.headers["x-goog-upload-status"]) == (200, "cancelled")
    assert "already been terminated" in refusal(await api.send(url, b"67890", offset=5))[2]
    assert list((tmp_path / "data" / "blobs").iterdir()) == []


async def test_an_upload_that_lies_about_its_length_becomes_nothing(api: EmulatorClient) -> None:
    store = await api.create_store()
    url = (await api.start(store, 10)).headers["x-goog-upload-url"]
    assert "has 4 of its 10 bytes" in refusal(await api.send(url, b"1234"))[2]
    assert "more than the 10 bytes" in refusal(await api.send(url, b"567890123", offset=4))[2]
    assert (await api.json("GET", f"{store}/documents")) == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"displayName": "x" * 513}, "512"),
        ({"mimeType": "nonsense"}, "type/subtype"),
        ({"customMetadata": [{"key": "a"}]}, "exactly one"),
        ({"customMetadata": [{"key": "a", "stringValue": "x", "numericValue": 1}]}, "exactly one"),
        ({"customMetadata": [{"key": "a", "stringValue": "x"}] * 2}, "differ"),
        ({"customMetadata": [{"key": str(number), "stringValue": "x"} for number in range(21)]}, "20"),
        ({"chunkingConfig": {"whiteSpaceConfig": {"maxTokensPerChunk": 20}}}, "21"),
        ({"chunkingConfig": {"whiteSpaceConfig": {"maxTokensPerChunk": 513}}}, "512"),
        ({"chunkingConfig": {"whiteSpaceConfig": {"maxTokensPerChunk": 30, "maxOverlapTokens": 30}}}, "less than"),
        ({"display": "x"}, "display"),
    ],
)
async def test_an_upload_that_is_refused(api: EmulatorClient, body: Any, message: str) -> None:
    answer = await api.start(await api.create_store(), 5, body)
    code, status, said = refusal(answer)
    assert (code, status) == (400, "INVALID_ARGUMENT")
    assert message in said
    assert answer.headers["x-goog-upload-status"] == "final"


async def test_a_document_has_at_most_100_mb(api: EmulatorClient) -> None:
    store = await api.create_store()
    assert refusal(await api.start(store, 100_000_001))[0] == 400
    assert (await api.start(store, 100_000_000)).status_code == 200


async def test_chunks_are_as_large_as_was_asked(api: EmulatorClient) -> None:
    store = await api.create_store()
    text = " ".join(f"word{number}" for number in range(100))
    body = {"chunkingConfig": {"whiteSpaceConfig": {"maxTokensPerChunk": 25, "maxOverlapTokens": 0}}}
    await api.add(store, text, body)
    found = texts(await api.ask("word1 word30 word60 word99", store, topK=100))
    assert sorted(len(chunk.split()) for chunk in found) == [25, 25, 25, 25]


async def test_pages_are_whole_and_end_without_a_token(api: EmulatorClient) -> None:
    created = [await api.create_store(f"s{number}") for number in range(21)]
    listed: list[str] = []
    token, pages = "", []
    while True:
        page = await api.json("GET", "fileSearchStores", pageToken=token, pageSize="7")
        pages.append(len(page["fileSearchStores"]))
        listed += [store["name"] for store in page["fileSearchStores"]]
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert listed == created  # oldest first
    assert pages == [7, 7, 7]
    assert len((await api.json("GET", "fileSearchStores"))["fileSearchStores"]) == 10
    assert len((await api.json("GET", "fileSearchStores", pageSize="100"))["fileSearchStores"]) == 20
    assert refusal(await api.call("GET", "fileSearchStores", pageToken="nonsense"))[0] == 400
    assert refusal(await api.call("GET", "fileSearchStores", pageSize="-1"))[0] == 400


async def test_documents_are_listed_by_store(api: EmulatorClient) -> None:
    store, other = await api.create_store(), await api.create_store()
    names = [await api.upload(store, f"text {number}") for number in range(11)]
    await api.upload(other, "text")
    first = await api.json("GET", f"{store}/documents")
    second = await api.json("GET", f"{store}/documents", pageToken=first["nextPageToken"])
    assert [document["name"] for document in first["documents"] + second["documents"]] == names
    assert "nextPageToken" not in second


async def test_deleting_needs_force_where_there_is_content(api: EmulatorClient) -> None:
    store = await api.create_store()
    document = await api.add(store, LEAVE)
    code, status, message = refusal(await api.call("DELETE", document))
    assert (code, status) == (400, "FAILED_PRECONDITION")
    assert "Cannot delete non-empty Document" in message
    assert "Cannot delete non-empty FileSearchStore" in refusal(await api.call("DELETE", store, force="false"))[2]
    assert (await api.json("DELETE", document, force="True")) == {}
    assert "Documents does not exist" in refusal(await api.call("GET", document))[2]
    assert (await api.json("DELETE", store)) == {}
    code, status, message = refusal(await api.call("GET", store))
    assert (code, status) == (403, "PERMISSION_DENIED")
    assert "not exist" in message


async def test_deleting_a_store_takes_its_documents_along(api: EmulatorClient) -> None:
    store, kept = await api.create_store(), await api.create_store()
    await api.add(store, LEAVE)
    await api.add(kept, LEAVE)
    assert (await api.call("DELETE", store, force="true")).status_code == 200
    assert refusal(await api.call("POST", "models/m:generateContent", request(ASKED, store)))[0] == 403
    assert texts(await api.ask(ASKED, kept)) == [LEAVE.strip()]


@pytest.mark.parametrize("path", ["fileSearchStores/NOT_AN_ID", "fileSearchStores/a%20b/documents"])
async def test_a_malformed_id_is_an_invalid_argument(api: EmulatorClient, path: str) -> None:
    assert refusal(await api.call("GET", path))[:2] == (400, "INVALID_ARGUMENT")


async def test_a_path_that_is_no_resource_is_not_found(api: EmulatorClient) -> None:
    answer = await api.call("GET", "foo")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (404, "text/plain")


async def test_an_answer_with_its_grounding(api: EmulatorClient) -> None:
    store = await api.create_store()
    metadata = [{"key": "source", "stringValue": "s3://bucket/é"}]
    await api.add(store, LEAVE, {"displayName": "Urlaub.txt", "customMetadata": metadata})
    response = await api.generate(ASKED, store)
    candidate = response["candidates"][0]
    answer = "Every employee has 27 days of paid leave a year."
    assert candidate["content"] == {"parts": [{"text": answer}], "role": "model"}
    assert candidate["finishReason"] == "STOP"
    assert candidate["groundingMetadata"] == {
        "groundingChunks": [
            {
                "retrievedContext": {
                    "title": "Urlaub.txt",
                    "text": LEAVE.strip(),
                    "fileSearchStore": store,
                    "customMetadata": metadata,
                }
            }
        ],
        "groundingSupports": [{"segment": {"endIndex": len(answer), "text": answer}, "groundingChunkIndices": [0]}],
    }
    assert response["modelVersion"] == "file-search-emulator"
    assert response["responseId"]
    usage = response["usageMetadata"]
    parts = ("promptTokenCount", "candidatesTokenCount", "toolUsePromptTokenCount")
    assert usage["totalTokenCount"] == sum(usage[part] for part in parts)
    assert all(usage[part] > 5 for part in parts)


async def test_a_document_without_a_name_has_no_title(api: EmulatorClient) -> None:
    store = await api.create_store()
    assert "displayName" not in await api.json("GET", await api.add(store, LEAVE))
    chunk = (await api.ask(ASKED, store))["groundingMetadata"]["groundingChunks"][0]["retrievedContext"]
    assert chunk.keys() == {"text", "fileSearchStore"}


async def test_pages_of_a_pdf_are_named(api: EmulatorClient) -> None:
    store = await api.create_store()
    data = pdf(["Nothing of interest.", "The warranty lasts 42 months."])
    document = await api.upload(
        store, data, {"displayName": "w.pdf"}, **{"X-Goog-Upload-Header-Content-Type": "application/pdf"}
    )
    await api.settled(document)
    candidate = await api.ask("How many months does the warranty last?", store)
    chunk = candidate["groundingMetadata"]["groundingChunks"][0]["retrievedContext"]
    assert (chunk["pageNumber"], chunk["text"]) == (2, "The warranty lasts 42 months.")


async def test_offsets_count_bytes_over_the_whole_answer(api: EmulatorClient) -> None:
    store = await api.create_store()
    await api.add(store, "有給休暇は東京支店で20日。有給休暇は大阪支店で12日。")
    candidate = await api.ask("有給休暇", store)
    text = candidate["content"]["parts"][0]["text"].encode()
    supports = candidate["groundingMetadata"]["groundingSupports"]
    assert len(supports) == 2
    assert "startIndex" not in supports[0]["segment"]
    for support in supports:
        segment = support["segment"]
        assert text[segment.get("startIndex", 0) : segment["endIndex"]].decode() == segment["text"]
        assert segment["text"] in texts(candidate)[support["groundingChunkIndices"][0]]


async def test_an_unanswerable_question_gets_a_sentence_and_no_grounding(api: EmulatorClient) -> None:
    store = await api.create_store()
    await api.add(store, LEAVE)
    candidate = await api.ask("Who won the football championship in 1998?", store)
    assert candidate["content"]["parts"][0]["text"] == "The documents do not answer this question."
    assert candidate["finishReason"] == "STOP"
    assert "groundingMetadata" not in candidate


async def test_a_ranking_is_seen_whether_or_not_it_answers(api: EmulatorClient) -> None:
    store = await api.create_store()
    await api.add(store, LEAVE)
    candidate = await api.ask("Who won the football championship in 1998?", store, topK=21)
    assert candidate["content"]["parts"][0]["text"] == "The documents do not answer this question."
    assert candidate["groundingMetadata"].keys() == {"groundingChunks"}


async def test_a_stream_ends_with_the_grounding(api: EmulatorClient) -> None:
    store = await api.create_store()
    await api.add(store, "有給休暇は東京支店で20日。有給休暇は大阪支店で12日。")
    path = "/v1/models/gemini-x:streamGenerateContent"
    answer = await api.http.post(path, params={"alt": "sse"}, json=request("有給休暇", store), headers=KEY)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("\r\n\r\n")
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\r\n\r\n")[:-1]]
    candidates = [event["candidates"][0] for event in events]
    assert len(candidates) == 2
    assert ["groundingMetadata" in candidate for candidate in candidates] == [False, True]
    assert ["finishReason" in candidate for candidate in candidates] == [False, True]
    at_once = await api.ask("有給休暇", store)
    text = "".join(candidate["content"]["parts"][0]["text"] for candidate in candidates)
    assert text == at_once["content"]["parts"][0]["text"]
    assert candidates[-1]["groundingMetadata"] == at_once["groundingMetadata"]
    listed = await api.http.post(path, json=request("有給休暇", store), headers=KEY)
    assert [event["candidates"] for event in listed.json()] == [event["candidates"] for event in events]


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        ({"fileSearchStoreNames": []}, "at least 1"),
        ({"fileSearchStoreNames": ["fileSearchStores/a"] * 6}, "at most 5"),
        ({"fileSearchStoreNames": ["a"]}, "format"),
        ({"file_search_store_names": ["fileSearchStores/a"], "top_k": 101}, "100"),
        ({"fileSearchStoreNames": ["fileSearchStores/a"], "metadataFilter": "a ="}, "position 3"),
        ({"fileSearchStoreNames": ["fileSearchStores/a"], "metadataFiltr": "a = b"}, "metadataFiltr"),
    ],
)
async def test_a_search_that_is_refused(api: EmulatorClient, tool: Any, message: str) -> None:
    body = {"contents": [{"parts": [{"text": "q"}]}], "tools": [{"fileSearch": tool}]}
    code, status, said = refusal(await api.call("POST", "models/m:generateContent", body))
    assert (code, status) == (400, "INVALID_ARGUMENT")
    assert message in said


async def test_an_unknown_store_cannot_be_searched(api: EmulatorClient) -> None:
    store = await api.create_store()
    answer = await api.call("POST", "models/m:generateContent", request("q", store, "fileSearchStores/unknown"))
    assert refusal(answer)[0] == 403
    assert "not exist" in refusal(answer)[2]


async def test_only_the_stores_asked_are_searched(api: EmulatorClient) -> None:
    stores = [await api.create_store() for _ in range(3)]
    for number, store in enumerate(stores):
        await api.add(store, f"The limit of paid leave is {number} days.")
    found = texts(await api.ask("What is the limit of paid leave?", stores[0], stores[2]))
    assert sorted(found) == ["The limit of paid leave is 0 days.", "The limit of paid leave is 2 days."]


async def test_a_filter_chooses_the_documents(api: EmulatorClient) -> None:
    store = await api.create_store()
    for year in (2024, 2025, 2026):
        metadata = [
            {"key": "year", "numericValue": year},
            {"key": "tags", "stringListValue": {"values": ["hr", f"y{year}"]}},
        ]
        await api.add(store, f"The limit of paid leave in {year} is {year - 2000} days.", {"customMetadata": metadata})
    asked = "What is the limit of paid leave?"
    assert len(texts(await api.ask(asked, store, metadataFilter="tags = hr"))) == 3
    found = texts(await api.ask(asked, store, metadata_filter="year > 2024 AND NOT tags = y2026"))
    assert found == ["The limit of paid leave in 2025 is 25 days."]
    assert texts(await api.ask(asked, store, metadataFilter="department = hr")) == []


async def test_the_best_chunks_come_first_and_no_more_than_asked(api: EmulatorClient) -> None:
    store = await api.create_store()
    for number in range(8):
        await api.add(store, f"Item {number} of the canteen menu: soup.")
    await api.add(store, "The canteen opens at 11:30 on weekdays.")
    asked = "When does the canteen open?"
    assert len(texts(await api.ask(asked, store))) == 5
    found = texts(await api.ask(asked, store, topK=2))
    assert len(found) == 2
    assert found[0] == "The canteen opens at 11:30 on weekdays."


async def test_a_deleted_document_takes_no_place_among_the_found(api: EmulatorClient) -> None:
    store = await api.create_store()
    await api.add(store, "Bicycles stand in the yard behind the annex, under a roof of their own.")
    document = await api.add(store, "Bicycles stand in the cellar.")
    asked = "Where do bicycles stand?"
    assert texts(await api.ask(asked, store, topK=1)) == ["Bicycles stand in the cellar."]
    await api.json("DELETE", document, force="true")
    assert texts(await api.ask(asked, store, topK=1))[0].startswith("Bicycles stand in the yard")
