"""Names of files in forms, in each way that browsers and HTTP libraries write them, and bodies that are compressed."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.servers import Server, flamehaven

MB = 1 << 20
WAITING = {"Prefer": "wait=20"}
GZIP = {"Content-Encoding": "gzip"}


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Server]:
    with flamehaven(data, MAX_FILE_SIZE_MB="1") as client:
        yield client


def form(disposition: bytes, *headers: bytes, content: bytes = b"The loom is oiled.", first: bytes = b"") -> bytes:
    file = b'Content-Disposition: form-data; name="file"' + disposition
    store = b'--b\r\nContent-Disposition: form-data; name="store"\r\n\r\nforms\r\n'
    return first + store + b"--b\r\n" + b"\r\n".join([file, *headers]) + b"\r\n\r\n" + content + b"\r\n--b--\r\n"


def send(server: Server, body: bytes, **headers: str) -> httpx2.Response:
    headers = {"Content-Type": "multipart/form-data; boundary=b", **headers}
    return server.post("/api/upload/single", content=body, headers=headers)


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b"; filename*=utf-8''%C3%96l-Pr%C3%BCfung.md", "Öl-Prüfung.md"),
        (b"; filename*=UTF-8'de'%C3%96l.md", "Öl.md"),
        (b"; filename=\"x.md\"; filename*=utf-8''%C3%96l1.md", "Öl1.md"),
        (b"; filename*=utf-8''%C3%96l2.md; filename=\"x.md\"", "Öl2.md"),
        (b"; FileName*=utf-8''%C3%96l3.md", "Öl3.md"),
        (b"; filename=\"=?utf-8?B?w5ZsLVByw7xmdW5nLm1k?=\"; filename*=utf-8''%C3%96l-Pr%C3%BCfung.md", "Öl-Prüfung.md"),
        (b"; filename*0*=utf-8''%C3%96l; filename*1=-long.md", "Öl-long.md"),
        (b"; filename*=iso-8859-1''B%FCro.md", "Büro.md"),
        (b"; filename*=windows-1251''%D4%E0%E9%EB.md", "Файл.md"),
        (b"; filename=\"plain.md\"; filename*=unheard-of''%C3%96l.md", "plain.md"),
        (b"; filename=\"plain.md\"; filename*=utf-8''%FC.md", "plain.md"),
        (b'; filename="=?utf-8?B?w5ZsLVByw7xmdW5nLm1k?="', "Öl-Prüfung.md"),
        (b'; filename="=?utf-8?Q?=C3=96l=20x.md?="', "Öl x.md"),
        (b'; filename="=?iso-8859-1?Q?B=FCro.md?="', "Büro.md"),
        (b'; filename="=?utf-8?B?w5Zs?= =?utf-8?B?LTIubWQ=?="', "Öl-2.md"),
        (b'; filename="10%22 pipe.md"', '10" pipe.md'),
        (b'; filename="10\\" pipe.md"', '10" pipe.md'),
        (b'; filename="50%25 of it, 100%.md"', "50%25 of it, 100%.md"),
        ('; filename="Öl;Prüfung.md"'.encode(), "Öl;Prüfung.md"),
        ("; filename=Öl.md".encode(), "Öl.md"),
        ('; filename="Büro.md"'.encode("latin-1"), "Büro.md"),
        (b'; filename="C:\\\\Documents\\\\plan.md"', "plan.md"),
    ],
)
def test_a_name_is_understood_however_it_is_written(server: Server, disposition: bytes, name: str) -> None:
    answer = send(server, form(disposition))
    assert (answer.status_code, answer.json().get("object")) == (202, f"forms/{name}"), answer.text


def test_a_form_may_say_its_encoding(server: Server) -> None:
    first = b'--b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nwindows-1251\r\n'
    body = form('; filename="Файл-2.md"'.encode("cp1251"), first=first)
    assert send(server, body).json()["object"] == "forms/Файл-2.md"
    other = {"Content-Type": "multipart/form-data; boundary=b; charset=shift_jis"}
    assert send(server, form('; filename="資料.md"'.encode("shift_jis")), **other).json()["object"] == "forms/資料.md"


@pytest.mark.parametrize(
    ("disposition", "status", "says"),
    [
        (b'; filename="two%0D%0Alines.md"', 400, "control characters"),
        (b"; filename*=utf-8''two%0Alines.md", 400, "control characters"),
        (b"; filename*=utf-8''..%2Fup.md", 400, "cannot hold '/'"),
        (b"; filename*=utf-8''%FC.md", 422, "use UTF-8"),
        (b"; filename*=unheard-of''x.md", 422, "use UTF-8"),
        (b"; filename=\"\"; filename*=utf-8''", 422, "`file`"),
    ],
)
def test_a_name_that_cannot_be_is_refused_however_it_is_written(
    server: Server, disposition: bytes, status: int, says: str
) -> None:
    answer = send(server, form(disposition))
    assert answer.status_code == status, answer.text
    assert says in answer.json()["message"]


def test_the_type_of_a_form_may_be_written_in_any_case(server: Server) -> None:
    answer = send(server, form(b'; filename="case.md"'), **{"Content-Type": "Multipart/Form-Data; boundary=b"})
    assert answer.status_code == 202, answer.text


def test_a_form_that_is_cut_short_is_refused_and_nothing_of_it_kept(server: Server, data: Path) -> None:
    whole = form(b'; filename="short.md"', content=b"The first line.\r\nThe second line.")
    for cut in (len(b"--\r\n"), len(b"--b--\r\n"), len(b"second line.\r\n--b--\r\n")):
        answer = send(server, whole[:-cut])
        assert (answer.status_code, answer.json()["error"]) == (422, "VALIDATION_ERROR"), answer.text
        assert "cut short" in answer.json()["message"]
    assert not list((data / "documents").rglob("short.md"))
    assert send(server, whole.removesuffix(b"\r\n")).status_code == 202


@pytest.mark.parametrize("several", [False, True])
def test_what_a_form_would_lose_is_refused(server: Server, data: Path, several: bool) -> None:
    path, field = ("/api/upload/multiple", "files") if several else ("/api/upload/single", "file")
    files = {field: ("lost.md", b"The loom is oiled.")}
    for answer in (
        server.post(path, files=files, data={"sotre": "forms"}),
        server.post(f"{path}?store=forms", files=files),
        server.post(
            path, files={**files, "extra": ("other.md", b"The loom is red.")} if several else files, data={"a": 1}
        ),
    ):
        assert (answer.status_code, answer.json()["error"]) == (422, "VALIDATION_ERROR"), answer.text
        assert "in `store`" in answer.json()["message"]
    assert not list((data / "documents").rglob("lost.md"))


def test_several_files_are_named_in_each_way_too(server: Server) -> None:
    parts = [b"; filename*=utf-8''%C3%96l4.md", b'; filename="=?utf-8?B?w5ZsNS5tZA==?="', b'; filename="6%22.md"']
    body = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="files"' + part + b"\r\n\r\nThe loom.\r\n" for part in parts
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    found = server.post("/api/upload/multiple", content=body + b"--b--\r\n", headers=headers).json()
    assert [file["filename"] for file in found["files"]] == ["Öl4.md", "Öl5.md", '6".md']


@pytest.mark.parametrize(
    ("header", "status", "says"),
    [
        (b"Content-Transfer-Encoding: base64", 422, "use binary"),
        (b"Content-Transfer-Encoding: quoted-printable", 422, "use binary"),
        (b"Content-Encoding: gzip", 415, "Content-Encoding 'gzip'"),
    ],
)
def test_a_part_that_is_not_the_file_itself_is_refused(server: Server, header: bytes, status: int, says: str) -> None:
    answer = send(server, form(b'; filename="coded.md"', header))
    assert answer.status_code == status, answer.text
    assert says in answer.json()["message"]
    assert send(server, form(b'; filename="plain.md"', b"Content-Transfer-Encoding: binary")).status_code == 202


def test_what_is_compressed_is_unpacked_wherever_a_body_is_taken(server: Server, data: Path) -> None:
    text = b"The kiln is fired on Wednesdays."
    kept = server.put("/api/documents/gz/kiln.md", content=gzip.compress(text), headers={**GZIP, **WAITING})
    assert (kept.json()["status"], kept.json()["size"]) == ("indexed", len(text)), kept.text
    assert (data / "documents/gz/kiln.md").read_bytes() == text
    in_parts = iter([gzip.compress(text[:9]), gzip.compress(text[9:])])
    assert server.put("/api/documents/gz/parts.md", content=in_parts, headers={"Content-Encoding": "x-gzip"}).is_success
    assert (data / "documents/gz/parts.md").read_bytes() == text
    about = gzip.compress(b'{"author": "Ann"}')
    assert server.put("/api/documents/gz/kiln.md.metadata.json", content=about, headers=GZIP).is_success
    assert server.get("/api/documents/gz/kiln.md").json()["metadata"] == {"author": "Ann"}
    answer = send(server, gzip.compress(form(b'; filename="packed.md"', content=text)), **GZIP)
    assert (answer.status_code, answer.json()["size"]) == (202, len(text))
    asked = gzip.compress(json.dumps({"query": "When is the kiln fired?", "store": "gz"}).encode())
    found = server.post("/api/search", content=asked, headers={**GZIP, "Content-Type": "application/json"})
    assert "Wednesdays" in found.json()["answer"]


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "nonsense"])
def test_another_encoding_is_refused_with_the_one_that_is_taken(server: Server, data: Path, encoding: str) -> None:
    headers = {"Content-Encoding": encoding}
    for answer in (
        server.put("/api/documents/gz/other.md", content=zlib.compress(b"text"), headers=headers),
        server.post("/api/search", content=b"{}", headers=headers),
        send(server, form(b'; filename="other.md"'), **headers),
    ):
        assert (answer.status_code, answer.json()["error"]) == (415, "UNSUPPORTED_ENCODING")
        assert answer.headers["accept-encoding"] == "gzip"
        assert "gzip" in answer.json()["message"]
    assert not (data / "documents/gz/other.md").exists()


@pytest.mark.parametrize(
    "content",
    [b"plain text", gzip.compress(b"cut short")[:-3], gzip.compress(b"x") + b"more"],
    ids=["plain", "cut", "more"],
)
def test_what_is_not_the_gzip_that_it_says_is_refused(server: Server, data: Path, content: bytes) -> None:
    answer = server.put("/api/documents/gz/broken.md", content=content, headers=GZIP)
    assert (answer.status_code, answer.json()["error"]) == (400, "BAD_REQUEST")
    assert "gzip" in answer.json()["message"]
    assert not (data / "documents/gz/broken.md").exists()


def test_a_bomb_is_refused_at_the_size_that_a_file_may_have(server: Server, data: Path) -> None:
    bomb = gzip.compress(bytes(200 * MB))
    assert len(bomb) < MB
    blocks = gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 200_000  # empty ones, of which nothing ever comes
    for content, status in ((bomb, 413), (blocks, 400)):
        answer = server.put("/api/documents/gz/bomb.md", content=content, headers=GZIP)
        assert answer.status_code == status, answer.text
    assert (
        send(server, gzip.compress(form(b'; filename="bomb.md"', content=bytes(200 * MB))), **GZIP).status_code == 413
    )
    too_long = gzip.compress(b'{"query": "' + b"x" * (2 * MB) + b'"}')
    assert server.post("/api/search", content=too_long, headers=GZIP).json()["error"] == "VALIDATION_ERROR"
    assert not list((data / "documents").rglob("bomb.md"))
