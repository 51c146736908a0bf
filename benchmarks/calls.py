"""Counting the requests that this process sends to buckets and to Gemini."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import httpx2
import requests
from botocore.httpsession import URLLib3Session


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Counts `bucket` and `gemini` requests until the block ends."""
    calls: Counter[str] = Counter()
    google, amazon, gemini = requests.Session.send, URLLib3Session.send, httpx2.AsyncClient.send

    def send_google(self: Any, *args: Any, **more: Any) -> Any:
        calls["bucket"] += 1
        return google(self, *args, **more)

    def send_amazon(self: Any, *args: Any, **more: Any) -> Any:
        calls["bucket"] += 1
        return amazon(self, *args, **more)

    async def send_gemini(self: Any, *args: Any, **more: Any) -> Any:
        calls["gemini"] += 1
        return await gemini(self, *args, **more)

    with (
        mock.patch.object(requests.Session, "send", send_google),
        mock.patch.object(URLLib3Session, "send", send_amazon),
        mock.patch.object(httpx2.AsyncClient, "send", send_gemini),
    ):
        yield calls
