"""A plain HTTP client of the emulator, for tests: it speaks the wire and hides nothing of it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

from file_search_emulator.app import create_app

KEY = {"x-goog-api-key": "any"}


class EmulatorClient:
    """Requests to an emulator, in this process or behind an address."""

    def __init__(self, http: httpx2.AsyncClient, data_dir: Path) -> None:
        self.http = http
        self.data_dir = data_dir

    async def call(self, method: str, path: str, body: Any = None, **params: str) -> httpx2.Response:
        return await self.http.request(method, f"/v1/{path}", json=body, params=params, headers=KEY)

    async def json(self, method: str, path: str, body: Any = None, **params: str) -> dict[str, Any]:
        """The body of an answer that must be a success."""
        answer = await self.call(method, path, body, **params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def create_store(self, display_name: str = "Test") -> str:
        return str((await self.json("POST", "fileSearchStores", {"displayName": display_name}))["name"])

    async def start(self, store: str, size: int, body: Any = None, **headers: str) -> httpx2.Response:
        wanted = {
            **KEY,
            "X-Goog-Upload-Protocol": "resumable",
            "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(size),
            "X-Goog-Upload-Header-Content-Type": "text/plain",
            **headers,
        }
        return await self.http.post(f"/upload/v1/{store}:uploadToFileSearchStore", json=body, headers=wanted)

    async def send(
        self, url: str, data: bytes, *, offset: int = 0, command: str = "upload, finalize"
    ) -> httpx2.Response:
        """A part of an upload, without a key."""
        headers = {"X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset)}
        return await self.http.post(url, content=data, headers=headers)

    async def upload(self, store: str, text: str | bytes, body: Any = None, **headers: str) -> str:
        """Upload a whole document; returns its name. It may still be PENDING."""
        data = text if isinstance(text, bytes) else text.encode()
        started = await self.start(store, len(data), body, **headers)
        assert started.status_code == 200, started.text
        ended = await self.send(started.headers["x-goog-upload-url"], data)
        assert ended.status_code == 200, ended.text
        return str(ended.json()["response"]["documentName"])

    async def settled(self, document: str, seconds: float = 30) -> dict[str, Any]:
        """The document once it is not PENDING any more."""
        async with asyncio.timeout(seconds):
            while (found := await self.json("GET", document))["state"] == "STATE_PENDING":  # noqa: ASYNC110 (the API is polled)
                await asyncio.sleep(0.02)
        return found

    async def add(self, store: str, text: str, body: Any = None, **headers: str) -> str:
        """Upload a document and wait until it is searchable."""
        document = await self.upload(store, text, body, **headers)
        assert (await self.settled(document))["state"] == "STATE_ACTIVE"
        return document

    async def ask(self, question: str, *stores: str, **tool: Any) -> dict[str, Any]:
        """The first candidate of an answer."""
        candidate: dict[str, Any] = (await self.generate(question, *stores, **tool))["candidates"][0]
        return candidate

    async def generate(self, question: str, *stores: str, **tool: Any) -> dict[str, Any]:
        return await self.json("POST", "models/gemini-x:generateContent", request(question, *stores, **tool))


def request(question: str, *stores: str, **tool: Any) -> dict[str, Any]:
    """The body of generateContent."""
    file_search = {"fileSearchStoreNames": stores, **tool}
    return {"contents": [{"parts": [{"text": question}], "role": "user"}], "tools": [{"fileSearch": file_search}]}


def texts(candidate: dict[str, Any]) -> list[str]:
    """The chunks that an answer was given with, best first."""
    chunks = candidate.get("groundingMetadata", {}).get("groundingChunks", [])
    return [chunk["retrievedContext"]["text"] for chunk in chunks]


@asynccontextmanager
async def emulator(data_dir: Path, **options: Any) -> AsyncIterator[EmulatorClient]:
    """An emulator in this process, closed at the end of the block."""
    app = create_app(data_dir, **options)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://emulator.test") as http:
        yield EmulatorClient(http, data_dir)
    await app.state.emulator.close()


def png(width: int, height: int) -> bytes:
    """A picture of one colour."""
    picture = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(picture, "PNG")
    return picture.getvalue()
