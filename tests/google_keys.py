"""A small server of the API Keys API, of Secret Manager and of Gemini's list of stores, for Google's own clients.

It takes what google/api/apikeys/v2/apikeys.proto and google/cloud/secretmanager/v1/service.proto say, and refuses each
field and query that it does not know. Rules are theirs: the id of a deleted key stays taken, what has ended cannot end
again, and a key works only some calls after it was made.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PROJECT = "projects/acme/locations/global"
SECRET = "projects/acme/secrets/flamehaven-gemini-api-key"
BY_HAND = "the-key-that-somebody-made-by-hand"

Answer = tuple[int, Any]


@dataclass
class Google:
    """What there is of keys and versions, and a clock."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    secret: str = SECRET
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: list[dict[str, Any]] = field(default_factory=list)
    slow_calls: int = 0
    """So many tries of a new key fail before it works; below 0 it never does."""
    project_of: dict[str, str] = field(default_factory=dict)
    """The Gemini project of a key, where it is not the one of all others."""
    failing: dict[str, int] = field(default_factory=dict)
    """The status that paths which contain this end with."""
    tried: dict[str, int] = field(default_factory=dict)
    bodies: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.add(BY_HAND)

    # What tests look at.

    def alive(self) -> dict[str, str]:
        """The keys that were made and not deleted: their texts by their ids."""
        return {
            key["name"].rpartition("/")[2]: key["keyString"] for key in self.keys.values() if "deleteTime" not in key
        }

    def enabled(self) -> list[str]:
        """What the versions that can be read hold, newest last."""
        return [each["data"] for each in self.versions if each["state"] == "ENABLED"]

    def add(self, text: str) -> dict[str, Any]:
        """Store a version."""
        number = len(self.versions) + 1
        version = {"number": number, "state": "ENABLED", "createTime": self.now, "data": text}
        self.versions.append(version)
        return version

    # The APIs.

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """What a call is answered with; the name of a key is in google.api.http's form."""
        with self.lock:
            for part, status in self.failing.items():
                if part in f"{method} {path}":
                    return _error(status, "UNAVAILABLE")
            query.pop("$alt", None)
            for wanted, pattern, call in ROUTES:
                if wanted == method and (match := re.fullmatch(pattern, path.replace(self.secret, SECRET))):
                    return call(self, *match.groups(), query, body)
        return _error(404, "NOT_FOUND")

    def list_keys(self, query: dict[str, str], body: Any) -> Answer:
        _known(query, {"pageSize", "showDeleted"})
        shown = [
            _key(key) for key in self.keys.values() if "deleteTime" not in key or query.get("showDeleted") == "true"
        ]
        return 200, {"keys": shown}

    def create_key(self, query: dict[str, str], body: Any) -> Answer:
        _known(query, {"keyId"})
        _known(body, {"displayName", "annotations", "restrictions"})
        if not re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", query["keyId"]):
            return _error(400, "INVALID_ARGUMENT")
        if query["keyId"] in self.keys:
            return _error(409, "ALREADY_EXISTS")
        assert body["restrictions"] == {"apiTargets": [{"service": "generativelanguage.googleapis.com"}]}
        name = f"{PROJECT}/keys/{query['keyId']}"
        made = {
            **body,
            "name": name,
            "createTime": self.now,
            "keyString": f"text-of-{query['keyId']}-{self.now:%j%H%M}",
        }
        self.keys[query["keyId"]] = made
        return 200, self._operation(_key(made))

    def get_key(self, key_id: str, query: dict[str, str], body: Any) -> Answer:
        found = self.keys.get(key_id)
        return (200, _key(found)) if found else _error(404, "NOT_FOUND")

    def key_string(self, key_id: str, query: dict[str, str], body: Any) -> Answer:
        found = self.keys.get(key_id)
        if found is None or "deleteTime" in found:
            return _error(404, "NOT_FOUND")
        return 200, {"keyString": found["keyString"]}

    def delete_key(self, key_id: str, query: dict[str, str], body: Any) -> Answer:
        found = self.keys.get(key_id)
        if found is None or "deleteTime" in found:
            return _error(404, "NOT_FOUND")
        found["deleteTime"] = self.now
        return 200, self._operation(_key(found))

    def _operation(self, result: dict[str, Any]) -> dict[str, Any]:
        response = {"@type": "type.googleapis.com/google.api.apikeys.v2.Key", **result}
        return {"name": "operations/akmf.p7-1", "done": True, "response": response}

    def list_versions(self, query: dict[str, str], body: Any) -> Answer:
        _known(query, {"pageSize", "filter"})
        assert query.get("filter") == "state:ENABLED"
        return 200, {"versions": [_version(each) for each in reversed(self.versions) if each["state"] == "ENABLED"]}

    def access_version(self, number: str, query: dict[str, str], body: Any) -> Answer:
        found = self.versions[-1 if number == "latest" else int(number) - 1]
        if found["state"] != "ENABLED":
            return _error(400, "FAILED_PRECONDITION")
        data = base64.b64encode(f"{found['data']}\n".encode()).decode()
        return 200, {"name": f"{SECRET}/versions/{number}", "payload": {"data": data}}

    def add_version(self, query: dict[str, str], body: Any) -> Answer:
        _known(body, {"payload", "parent"})
        _known(body["payload"], {"data"})
        return 200, _version(self.add(base64.b64decode(body["payload"]["data"]).decode()))

    def destroy_version(self, number: str, query: dict[str, str], body: Any) -> Answer:
        found = self.versions[int(number) - 1]
        if found["state"] != "ENABLED":
            return _error(400, "FAILED_PRECONDITION")
        found["state"] = "DESTROYED"
        return 200, _version(found)

    def list_stores(self, query: dict[str, str], body: Any) -> Answer:
        text = query["key"]
        works = text == BY_HAND or text in self.alive().values()
        if works and text != BY_HAND:
            self.tried[text] = self.tried.get(text, 0) + 1
            works = 0 <= self.slow_calls < self.tried[text]
        if not works:
            reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            error = {"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid.", "details": [reason]}
            return 400, {"error": error}
        project = self.project_of.get(text, "one")
        return 200, {"fileSearchStores": [{"name": f"fileSearchStores/{project}-{store}"} for store in ("hr", "it")]}


ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", rf"/v2/{PROJECT}/keys", Google.list_keys),
    ("POST", rf"/v2/{PROJECT}/keys", Google.create_key),
    ("GET", rf"/v2/{PROJECT}/keys/([\w-]+)", Google.get_key),
    ("GET", rf"/v2/{PROJECT}/keys/([\w-]+)/keyString", Google.key_string),
    ("DELETE", rf"/v2/{PROJECT}/keys/([\w-]+)", Google.delete_key),
    ("GET", rf"/v1/{SECRET}/versions", Google.list_versions),
    ("GET", rf"/v1/{SECRET}/versions/(\d+|latest):access", Google.access_version),
    ("POST", rf"/v1/{SECRET}:addVersion", Google.add_version),
    ("POST", rf"/v1/{SECRET}/versions/(\d+):destroy", Google.destroy_version),
    ("GET", r"/v1(?:beta)?/fileSearchStores", Google.list_stores),
]


@contextmanager
def serving(google: Google) -> Iterator[str]:
    """Serve it on loopback; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if key := self.headers.get("x-goog-api-key"):
                query["key"] = key
            status, answer = google.answer(self.command, parts.path, query, json.loads(raw or b"{}"))
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _known(given: dict[str, Any], names: set[str]) -> None:
    assert given.keys() <= names, f"unknown: {given.keys() - names}"


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(key: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in key.items() if name != "keyString"}
    return shown | {name: _time(key[name]) for name in ("createTime", "deleteTime") if name in key}


def _version(version: dict[str, Any]) -> dict[str, Any]:
    name = f"{SECRET}/versions/{version['number']}"
    return {"name": name, "createTime": _time(version["createTime"]), "state": version["state"]}


def _error(code: int, status: str) -> Answer:
    return code, {"error": {"code": code, "status": status, "message": f"{status} here"}}
