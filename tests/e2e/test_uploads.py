"""Files over HTTP: what is kept, what is refused before it is kept, and waiting for the final state."""

from __future__ import annotations

import socket
import unicodedata
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.documents import pdf
from tests.servers import Server, flamehaven, until

MB = 1 << 20
DOOMED = b"%PDF-1.4 this is not really a PDF"


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Server]:
    with flamehaven(data, MAX_FILE_SIZE_MB="1") as client:
        yield client


def kept(data: Path) -> set[str]:
    """The names of every file below the documents folder, half-written ones too."""
    root = data / "documents"
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} - {".lock"}


def answered(client: Server, question: str, store: str) -> dict[str, Any]:
    return dict(client.get("/api/search", params={"q": question, "store": store}).json())


def test_who_waits_gets_the_final_state_and_can_search_at_once(server: Server) -> None:
    for number in range(3):
        answer = server.put(
            f"/api/documents/wait/deep/{number}.md",
            content=f"The code of locker {number} is {number}417.",
            headers={"Prefer": "respond-async, wait=20"},
        )
        assert (answer.status_code, answer.json()["status"]) == (200, "indexed"), answer.text
        assert answer.headers["preference-applied"] == "wait=20"
        assert f"{number}417" in answered(server, f"What is the code of locker {number}?", "wait")["answer"]


def test_a_part_of_a_file_is_not_taken_for_the_whole(server: Server, data: Path) -> None:
    headers = {"Content-Range": "bytes 0-3/100"}
    answer = server.put("/api/documents/parts/x.md", content=b"text", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "BAD_REQUEST"), answer.text
    assert not (data / "documents/parts/x.md").exists()


def test_who_waits_hears_why_a_file_failed(server: Server) -> None:
    answer = server.post(
        "/api/upload/single", files={"file": ("bad.pdf", DOOMED)}, data={"store": "wait"}, headers={"Prefer": "wait=20"}
    )
    found = answer.json()
    assert (answer.status_code, found["status"], found["reason"]["code"]) == (200, "failed", "INDEXING_FAILED")
    assert found["message"] == found["reason"]["message"]


def test_who_waits_too_short_is_told_where_to_look(tmp_path: Path) -> None:
    gemini = {"GEMINI_BASE_URL": "http://127.0.0.1:9", "GEMINI_API_KEY": "a-key"}
    with flamehaven(tmp_path, **gemini) as client:
        answer = client.put("/api/documents/hr/x.md", content="text", headers={"Prefer": "wait=1"})
        assert (answer.status_code, answer.json()["status"]) == (202, "accepted")
        assert answer.headers["location"] == answer.json()["status_url"] == "/api/documents/hr/x.md"
        assert client.get(answer.headers["location"]).json()["status"] == "pending"


def test_nobody_waits_for_a_version_that_was_replaced_meanwhile(server: Server) -> None:
    def put(number: int) -> int:
        content = f"The code of the boat house is {number}."
        return server.put("/api/documents/race/x.md", content=content, headers={"Prefer": "wait=60"}).status_code

    with ThreadPoolExecutor(4) as pool:  # who waits for all of the 60 seconds fails: the client gives up before
        assert set(pool.map(put, range(4))) <= {200, 202}


def test_of_several_files_each_is_kept_or_refused_by_itself(server: Server, data: Path) -> None:
    files = [
        ("files", ("a.md", b"The blue door opens with key 12.")),
        ("files", ("bad.exe", b"MZ")),
        ("files", ("large.md", b"x" * (MB + 1))),
        ("files", ("empty.md", b"")),
        ("files", ("../up.md", b"x")),
        ("files", ("scan.pdf", pdf(["The red door opens with key 31."]))),
    ]
    answer = server.post("/api/upload/multiple", files=files, data={"store": "many"}, headers={"Prefer": "wait=20"})
    found = answer.json()
    assert (answer.status_code, found["status"]) == (200, "partial"), found
    assert (found["total"], found["successful"], found["failed"]) == (6, 2, 4)
    assert [(file["filename"], file["status"]) for file in found["files"]] == [
        ("a.md", "indexed"),
        ("bad.exe", "refused"),
        ("large.md", "refused"),
        ("empty.md", "refused"),
        ("../up.md", "refused"),
        ("scan.pdf", "indexed"),
    ]
    codes = [file["reason"]["code"] for file in found["files"] if file["status"] == "refused"]
    assert codes == ["UNSUPPORTED_FILE_TYPE", "FILE_SIZE_EXCEEDED", "EMPTY_FILE", "INVALID_FILENAME"]
    assert {name for name in kept(data) if name.startswith("many/")} == {"many/a.md", "many/scan.pdf"}
    assert "31" in answered(server, "Which key opens the red door?", "many")["answer"]


def test_several_files_of_which_none_is_kept_are_an_error(server: Server, data: Path) -> None:
    before = kept(data)
    files = [("files", ("x.exe", b"MZ")), ("files", ("y.md", b""))]
    answer = server.post("/api/upload/multiple", files=files)
    assert (answer.status_code, answer.json()["error"]) == (400, "UPLOAD_REFUSED")
    reasons = [(file["filename"], file["reason"]["code"]) for file in answer.json()["details"]["files"]]
    assert reasons == [("x.exe", "UNSUPPORTED_FILE_TYPE"), ("y.md", "EMPTY_FILE")]
    assert kept(data) == before


LONG = "y" * 300 + ".md"
REFUSED_NAMES = [
    "%2E%2E/up.md",
    "hr/%2E%2E/up.md",
    "hr/.hidden.md",
    ".hidden/x.md",
    "hr/a%00b.md",
    "hr/a%0Ab.md",
    "hr/a%7Fb.md",
    "hr/a%5Cb.md",
    "hr/~$x.docx",
    "hr/x.md~",
    f"hr/{LONG}",
    "a/" * 600 + "x.md",
    "hr//x.md",
    "hr/..metadata.json",
    "hr/%ED%A0%80.md",
]


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_kept(server: Server, data: Path, name: str) -> None:
    before = kept(data)
    answer = server.put(f"/api/documents/{name}", content="x")
    assert (answer.status_code, answer.json().get("error")) == (400, "INVALID_FILENAME"), answer.text
    assert kept(data) == before


@pytest.mark.parametrize(
    ("file", "store", "status", "code"),
    [
        (("../x.md", b"x"), "hr", 400, "INVALID_FILENAME"),
        ((".x.md", b"x"), "hr", 400, "INVALID_FILENAME"),
        ((LONG, b"x"), "hr", 400, "INVALID_FILENAME"),
        (("a\\x.md", b"x"), "hr", 400, "INVALID_FILENAME"),
        (("x.md.metadata.json", b"{}"), "hr", 400, "INVALID_FILENAME"),
        (("x.md", b"x"), "../../evil", 400, "INVALID_FILENAME"),
        (("x.md", b"x"), "/etc", 400, "INVALID_FILENAME"),
        (("x.md", b"x"), "s" * 5000, 400, "INVALID_FILENAME"),
        (("x.exe", b"x"), "hr", 400, "UNSUPPORTED_FILE_TYPE"),
        (("README", b"x"), "hr", 400, "UNSUPPORTED_FILE_TYPE"),
        (("x.md.", b"x"), "hr", 400, "UNSUPPORTED_FILE_TYPE"),
        (("x.md", b""), "hr", 400, "EMPTY_FILE"),
        (("x.md", b"x" * (MB + 1)), "hr", 413, "FILE_SIZE_EXCEEDED"),
        (("x.md", b"x" * (3 * MB)), "hr", 413, "FILE_SIZE_EXCEEDED"),
    ],
)
def test_what_is_not_accepted_is_refused_at_the_door(
    server: Server, data: Path, file: tuple[str, bytes], store: str, status: int, code: str
) -> None:
    before = kept(data)
    answer = server.post("/api/upload/single", files={"file": file}, data={"store": store})
    assert (answer.status_code, answer.json()["error"]) == (status, code), answer.text
    assert kept(data) == before


@pytest.mark.parametrize(
    "name", ["q1..final.txt", "50%+1 (v2).txt", "été.md", "e\u0301te\u0301.md", "資料📄.md", "'quoted'.md"]
)
def test_names_that_look_odd_are_names_like_any_other(server: Server, data: Path, name: str) -> None:
    file = (name, f"This is {name}.".encode())
    answer = server.post("/api/upload/single", files={"file": file}, data={"store": "odd"})
    kept_as = unicodedata.normalize("NFC", f"odd/{name}")
    assert (answer.status_code, answer.json()["object"]) == (202, kept_as)
    assert server.get(answer.json()["status_url"]).json()["object"] == kept_as
    assert kept_as in kept(data)


def raw(server: Server, head: str, body: bytes = b"") -> bytes:
    """The answer to a request of which only `body` is sent, whatever its head promises."""
    with socket.create_connection((server.base_url.host, server.base_url.port or 80), timeout=10) as line:
        line.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)
        answer = b""
        while b"\r\n\r\n" not in answer and (part := line.recv(65536)):
            answer += part
        return answer


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(server: Server) -> None:
    head = f"PUT /api/documents/hr/x.md HTTP/1.1\nHost: localhost\nContent-Length: {2 * MB}"
    assert raw(server, head).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_say_its_size_is_measured(server: Server, data: Path) -> None:
    def body(size: int) -> Iterator[bytes]:
        for _ in range(size // 65536):
            yield b"word " * 13107 + b"\n"

    before = kept(data)
    answer = server.put("/api/documents/hr/chunked.md", content=body(3 * MB))
    assert (answer.status_code, answer.json()["error"]) == (413, "FILE_SIZE_EXCEEDED")
    answer = server.put("/api/documents/hr/chunked.md", content=iter(()))
    assert (answer.status_code, answer.json()["error"]) == (400, "EMPTY_FILE")
    assert kept(data) == before
    assert server.put("/api/documents/hr/chunked.md", content=body(MB // 2)).status_code == 202


def test_a_sender_who_leaves_half_way_leaves_nothing_behind(server: Server, data: Path) -> None:
    before = kept(data)
    address = (server.base_url.host, server.base_url.port or 80)
    for head in (
        "PUT /api/documents/hr/half.md HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n",
        "POST /api/upload/single HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n",
    ):
        with socket.create_connection(address, timeout=10) as line:
            line.sendall(head.encode() + b"half of")
    assert server.get("/health").status_code == 200
    until(lambda: kept(data) == before)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/plain", b"x"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"nothing of the kind"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nno file\r\n--b--',
        ),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--"),
    ],
)
@pytest.mark.parametrize("path", ["single", "multiple"])
def test_a_body_that_is_no_form_is_an_error_of_its_sender(
    server: Server, path: str, content_type: str, body: bytes
) -> None:
    answer = server.post(f"/api/upload/{path}", content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["error"]) == (422, "VALIDATION_ERROR"), answer.text
