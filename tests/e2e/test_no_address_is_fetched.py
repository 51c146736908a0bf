"""Whatever address a caller or a document names, the server connects to nothing but what an operator set."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from docx import Document
from docx.opc.constants import RELATIONSHIP_TYPE

from tests.servers import Server, flamehaven, until

HEADERS = (
    *("Host", "Origin", "Referer", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"),
    *("X-Real-IP", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Request-ID", "Link", "From"),
    *("X-Goog-Upload-URL", "X-Callback-URL", "X-Webhook-URL", "Proxy", "Via", "X-Cloud-Trace-Context", "Traceparent"),
)


@contextmanager
def listener() -> Iterator[tuple[str, list[str]]]:
    """The address of a server of our own, and the paths that it was asked for."""
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):  # whatever the method
                return self.answer
            raise AttributeError(name)

        def answer(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def fields(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The fields of a schema, with those of what it refers to."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return dict(schema.get("properties", {}))


def call(server: Server, document: dict[str, Any], method: str, path: str, url: str) -> int:
    """Call one operation with the address in each place that it takes, and in more; returns how many places."""
    operation = document["paths"][path][method]
    named = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
    names = [*dict.fromkeys((*named, "url", "uri", "callback", "next"))]
    address = path
    for place in ("{object}", "{store}", "{id}"):
        address = address.replace(place, quote(url, safe="/:"))
    for name in names:
        server.request(method, address, params={"q": "x", name: url})
    bodies = operation.get("requestBody", {}).get("content", {})
    for media, body in bodies.items():
        takes = fields(document, body["schema"])
        if media == "application/json":
            for name in (*takes, "url", "webhook"):
                for value in (url, [url], {"uri": url}):
                    needed = {"query": "x", "name": "x", "scopes": ["search"]} | {name: value}
                    server.request(method, address, json={key: needed[key] for key in needed if key in {*takes, name}})
        elif media == "multipart/form-data":
            data = dict.fromkeys((*takes, "store", "url", "file_url"), url)
            server.request(method, address, data=data)
            for name in takes:
                server.request(method, address, files={name: (f"{url}/x.md", b"text")}, data=data | {name: url})
        else:
            server.request(method, address, content=url.encode())
    return len(named) + sum(len(fields(document, body["schema"])) for body in bodies.values()) + path.count("{")


def word_file(url: str) -> bytes:
    """A Word document with a picture and a page that are elsewhere."""
    document = Document()
    document.add_paragraph("The boiler is serviced every April.")
    document.part.relate_to(f"{url}/image.png", RELATIONSHIP_TYPE.IMAGE, is_external=True)
    document.part.relate_to(f"{url}/page.html", RELATIONSHIP_TYPE.HYPERLINK, is_external=True)
    file = io.BytesIO()
    document.save(file)
    assert url.encode() in zipfile.ZipFile(file).read("word/_rels/document.xml.rels")
    return file.getvalue()


def documents(url: str) -> dict[str, bytes]:
    """Documents that ask whoever reads them to fetch something."""
    return {
        "page.html": (
            f'<html><head><link rel="stylesheet" href="{url}/a.css"><script src="{url}/a.js"></script>'
            f'<meta http-equiv="refresh" content="0;url={url}/"><base href="{url}/"></head>'
            f'<body><img src="{url}/a.png"><iframe src="{url}/"></iframe><p>The boiler is old.</p></body></html>'
        ).encode(),
        "note.md": f"![picture]({url}/a.png) The boiler is old. [more]({url}/more)\n\n<img src='{url}/b.png'>".encode(),
        "data.xml": (
            f'<!DOCTYPE a [<!ENTITY x SYSTEM "{url}/x"><!ENTITY % y SYSTEM "{url}/y.dtd"> %y;]><a>&x; boiler</a>'
        ).encode(),
        "data.json": f'{{"$ref": "{url}/schema.json", "$schema": "{url}/schema", "boiler": "old"}}'.encode(),
        "data.csv": f'item,link\nboiler,"=WEBSERVICE(""{url}/x"")"\n'.encode(),
        "letter.docx": word_file(url),
        "page.html.metadata.json": f'{{"source": "{url}/meta", "url": "{url}"}}'.encode(),
    }


def test_no_address_of_a_caller_or_a_document_is_fetched(tmp_path: Path) -> None:
    """The operator's NOTIFY_URL is fetched, at the very same listener: so it would have seen anything else."""
    with listener() as (url, asked), flamehaven(tmp_path, NOTIFY_URL=f"{url}/notify") as server:
        statuses: list[int] = []
        server.event_hooks["response"].append(lambda answer: statuses.append(answer.status_code))
        for name, content in documents(url).items():
            server.put(f"/api/documents/links/{name}", content=content, headers={"Prefer": "wait=20"})
        found = server.get("/api/search", params={"q": "How old is the boiler?", "store": "links"})
        assert found.status_code == 200
        document = server.get("/openapi.json").json()
        places = [
            call(server, document, method, path, url)
            for path, operations in document["paths"].items()
            for method in operations
        ]
        assert sum(places) > 30
        for name in HEADERS:
            server.get("/api/search?q=boiler&store=links", headers={name: url})
            server.post("/api/search", json={"query": "boiler", "store": "links"}, headers={name: url})
        until(lambda: asked.count("/notify") >= 5)
    assert set(asked) == {"/notify"}
    assert len(statuses) > 100
    assert 429 not in statuses, "each was looked at"
