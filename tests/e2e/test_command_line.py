"""The `flamehaven` command as people and scripts run it: on a server, on this machine, on a terminal and in a pipe."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.forked import Forked
from tests.servers import FLAMEHAVEN, INHERITED, ROOT, Server, free_port, until

COMMAND = [sys.executable, "-m", "flamehaven.cli"]
REQUEST = r"request [0-9a-f-]{36}"
TRACEBACK = "Traceback"


def environment(**settings: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, "ENVIRONMENT": "development", "DATA_DIR": "/nonexistent", "TERM": "xterm", **settings}


class Shell:
    """Runs `flamehaven` with the settings given; `ok` is for what must go well, `json` for what it then prints."""

    def __init__(self, **settings: str) -> None:
        self.environment = environment(**settings)

    def start(self, *arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*COMMAND, *map(str, arguments)], env=self.environment, cwd=ROOT, **options)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        words = list(map(str, arguments))
        with tempfile.TemporaryDirectory() as folder:
            out, errors = Path(folder) / "out", Path(folder) / "errors"
            process = Forked(words, environment=self.environment, log=out, errors=errors, cwd=ROOT)
            try:
                code = process.wait(60)
            finally:
                process.kill()
            done = subprocess.CompletedProcess(words, code, out.read_text(), errors.read_text())
        assert TRACEBACK not in done.stderr
        return done

    def ok(self, *arguments: str | Path) -> str:
        done = self.run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self.ok(*arguments, "--json"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's data folder."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def there(server: Server) -> Shell:
    """The command on a server."""
    return Shell(FLAMEHAVEN_URL=str(server.base_url))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with something of every kind in it."""
    folder = tmp_path / "files"
    write(folder, "leave.md", "Parental leave is 26 weeks at full pay.")
    write(folder, "leave.md.metadata.json", json.dumps({"author": "Ann"}))
    write(folder, "deep/er/pay day #1?.md", "Salaries are paid on the 25th of each month.")
    write(folder, "empty.md", "")
    write(folder, "program.exe", "MZ")
    write(folder, "broken.pdf", "%PDF-1.4 that is all")
    write(folder, ".hidden.md", "The password is swordfish.")
    write(folder, ".git/config.md", "The password is swordfish.")
    (folder / "link.md").symlink_to(folder / "leave.md")
    os.mkfifo(folder / "pipe.md")
    return folder


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def put(server: Server, name: str, text: str) -> None:
    answer = server.put(f"/api/documents/{quote(name)}", content=text, headers={"Prefer": "wait=30"})
    assert answer.json()["status"] == "indexed", answer.text


def by_object(report: Mapping[str, Any]) -> dict[str, str]:
    return {file["object"]: file["status"] for file in report["files"]}


def test_help_and_version_load_nothing_heavy() -> None:
    for argument in ("--help", "--version"):
        command = [sys.executable, "-X", "importtime", *COMMAND[1:], argument]
        done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert {"typer", "flamehaven.cli"} <= loaded
        assert not loaded & {"fastapi", "starlette", "numpy", "google.genai", "pydantic", "httpx2", "rich", "uvicorn"}
    assert re.fullmatch(r"flamehaven \S+\n", done.stdout)


def test_ingest_says_what_became_of_every_file(there: Shell, server: Server, data: Path, files: Path) -> None:
    foretold = there.run("ingest", files, "--store", "kinds", "--dry-run", "--json")
    assert foretold.returncode == 1
    assert by_object(json.loads(foretold.stdout)) == {
        "kinds/leave.md": "new",
        "kinds/leave.md.metadata.json": "describes",
        "kinds/deep/er/pay day #1?.md": "new",
        "kinds/broken.pdf": "new",
        "kinds/empty.md": "refused",
        "kinds/program.exe": "refused",
    }
    assert server.get("/api/documents?store=kinds").json()["documents"] == []

    done = there.run("ingest", files, "--store", "kinds", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    report = json.loads(done.stdout)
    assert by_object(report) == {
        "kinds/leave.md": "indexed",
        "kinds/leave.md.metadata.json": "accepted",
        "kinds/deep/er/pay day #1?.md": "indexed",
        "kinds/broken.pdf": "failed",
        "kinds/empty.md": "refused",
        "kinds/program.exe": "refused",
    }
    assert report["counts"] == {"indexed": 2, "accepted": 1, "failed": 1, "refused": 2}
    assert report["passed_over"] == {"hidden": 2, "symlink": 1, "special": 1}
    reasons = {file["object"]: file["reason"] for file in report["files"] if file["reason"]}
    assert reasons["kinds/empty.md"]["code"] == "EMPTY_FILE"
    assert "damaged" in reasons["kinds/broken.pdf"]["message"]
    assert server.get("/api/documents/kinds/leave.md").json()["metadata"] == {"author": "Ann"}
    log = (data / "server.log").read_text()
    assert 0 < log.find("PUT /api/documents/kinds/leave.md.metadata.json 202") < log.find("kinds/leave.md: indexed")

    again = there.run("ingest", files, "--store", "kinds", "--dry-run")
    assert f"replaces\tkinds/leave.md\t{files}/leave.md\t\n" in again.stdout
    assert again.stdout.endswith(
        "6 files: 1 describes, 2 refused, 3 replaces.\nPassed over: 2 hidden, 1 special, 1 symlink.\n"
    )


def test_the_summary_for_people_has_each_failure_with_its_reason(there: Shell, files: Path) -> None:
    done = there.run("ingest", files / "leave.md", files / "empty.md", files / "broken.pdf", "--store", "summary")
    assert done.returncode == 1
    assert done.stdout == "3 files: 1 failed, 1 indexed, 1 refused.\n"
    empty, broken = done.stderr.splitlines()
    assert empty == (f"flamehaven: {files}/empty.md: The file is empty. Upload it again with its content. (EMPTY_FILE)")
    assert broken.startswith(f"flamehaven: {files}/broken.pdf: The PDF is damaged")


def test_two_files_for_one_name_are_not_mixed_up(there: Shell, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write(tmp_path / folder, "same.md", f"This is the text of {folder}.")
    paths = (tmp_path / "one", tmp_path / "one" / "same.md", tmp_path / "two")
    report = json.loads(there.run("ingest", *paths, "--store", "same", "--json").stdout)
    assert [(file["path"], file["status"]) for file in report["files"]] == [
        (f"{tmp_path}/one/same.md", "indexed"),
        (f"{tmp_path}/two/same.md", "refused"),
    ]
    assert report["files"][1]["reason"]["code"] == "DUPLICATE_NAME"


def test_what_is_not_indexed_in_time_is_said_so(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "Nobody will read this.")
    shell = Shell(
        DATA_DIR=str(tmp_path / "data"), GEMINI_BASE_URL=f"http://127.0.0.1:{free_port()}", GEMINI_API_KEY="k"
    )
    done = shell.run("ingest", tmp_path / "a.md", "--timeout", "1")
    assert (done.returncode, done.stdout) == (1, "1 file: 1 pending.\n")
    in_time = r"It was not indexed within 1 s, but may yet be\. \(NOT_IN_TIME\)"
    retried = r"The connection to Gemini failed \(ConnectError\)\. Indexing is retried automatically\. \(RETRYING\)"
    assert re.search(f"{in_time}|{retried}", done.stderr)


def test_documents_are_listed_for_scripts(there: Shell, server: Server) -> None:
    long = f"list/{'very/' * 30}{'long ' * 40}name.md"
    names = [f"list/{number}.txt" for number in range(3)]
    for name in (*names, long):
        put(server, name, "Seventeen letters")
    rows = [line.split("\t") for line in there.ok("documents", "--store", "list").splitlines()]
    assert [row[:3] for row in rows] == [[name, "indexed", "17"] for name in (*names, long)]
    few = there.run("documents", "--prefix", "list/", "--limit", "2")
    assert (len(few.stdout.splitlines()), few.returncode) == (2, 0)
    assert "--limit shows more" in few.stderr
    filtered = ("--store", "list", "--type", "txt", "--status", "indexed", "--limit", "3")
    listed = there.json("documents", "list", *filtered)
    assert ([document["object"] for document in listed["documents"]], listed["more"]) == (names, False)


def test_a_document_is_shown_indexed_anew_and_deleted(there: Shell, server: Server) -> None:
    name = "one/50% off? #1 ünïcode.md"
    put(server, name, "The sale starts on Friday.")
    before = server.get(f"/api/documents/{quote(name)}").json()["indexed"]
    shown = dict(line.split("\t") for line in there.ok("documents", "show", name).splitlines())
    assert (shown["document"], shown["status"], shown["bytes"]) == (name, "indexed", "26")
    assert there.json("documents", "retry", name)["status"] == "pending"
    until(lambda: server.get(f"/api/documents/{quote(name)}").json()["indexed"] != before)
    assert "deleted" in there.ok("documents", "delete", name)
    done = there.run("documents", "show", name, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    missing = rf"There is no document '{re.escape(name)}' in the bucket\. /api/documents lists those there are\."
    pattern = rf"flamehaven: {missing} \(FILE_NOT_FOUND, {REQUEST}\)\n"
    assert re.fullmatch(pattern, done.stderr)


def test_a_name_leads_nowhere_else(there: Shell, server: Server) -> None:
    server.post("/api/stores", json={"name": "elsewhere"})
    done = there.run("documents", "delete", "../stores/elsewhere")
    assert done.returncode == 1
    assert "INVALID_FILENAME" in done.stderr
    assert "elsewhere" in server.get("/api/stores").json()["stores"]


def test_stores_are_made_indexed_anew_and_deleted_when_that_is_wanted(there: Shell, server: Server) -> None:
    assert there.ok("stores", "create", "shelf") == "There is a store 'shelf' now.\n"
    for name in ("a.md", "b.md"):
        put(server, f"shelf/{name}", "There are two of these.")
    assert "shelf\t2\t2\t0\t0\t46\n" in there.ok("stores")
    assert there.json("stores", "reindex", "shelf")["documents"] == 2

    holds = "Store 'shelf' holds 2 documents (46 bytes)"
    refused = there.run("stores", "delete", "shelf")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"flamehaven: {holds}; to delete them too, give --yes.\n"
    declined = Terminal(there, "stores", "delete", "shelf", answer="n\n")
    assert declined.returncode == 1
    assert f"{holds}. Delete them?" in declined.screen()
    interrupted = Terminal(there, "stores", "delete", "shelf", interrupt_at="[y/N]")
    assert interrupted.returncode == 130
    deleted = there.run("stores", "delete", "shelf", "--force", "--json")
    assert (deleted.returncode, deleted.stderr) == (0, f"{holds}.\n")
    assert json.loads(deleted.stdout)["documents"] == 2
    assert "shelf" not in server.get("/api/stores").json()["stores"]


@pytest.fixture(scope="module")
def library(server: Server) -> str:
    """A store with something to ask about."""
    put(server, "library/hr/leave.md", "Parental leave is 26 weeks at full pay.")
    put(server, "library/hr/pay.md", "Salaries are paid on the 25th of each month.")
    return "library"


def test_an_answer_comes_with_its_sources(there: Shell, library: str) -> None:
    question = ("search", "How long is parental leave?", "--store", library)
    assert there.ok(*question) == (
        "Parental leave is 26 weeks at full pay. [1]\n\n"
        "[1] library/hr/leave.md (store library)\n    Parental leave is 26 weeks at full pay.\n"
    )
    elsewhere = there.json(*question, "--filter", 'type = "pdf"')
    assert (elsewhere["answer"], elsewhere["grounded"]) == ("No document matches the filter.", False)
    failed = there.run(*question, "--filter", 'type = "', "--json")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert re.search(rf"\(INVALID_METADATA_FILTER, {REQUEST}\)$", failed.stderr.strip())


def test_an_answer_is_shown_on_a_terminal_while_it_is_written(there: Shell, library: str) -> None:
    seen = Terminal(there, "search", "When are salaries paid?", "--store", library)
    assert seen.returncode == 0
    shown = seen.raw.count("Salaries are paid on the 25th of each month.")
    assert shown > 2, "as it is written, not only in the excerpt and, for the screen, behind the number of its source"
    assert seen.screen().splitlines() == [
        "Salaries are paid on the 25th of each month. [1]",
        "",
        "[1] library/hr/pay.md (store library)",
        "    Salaries are paid on the 25th of each month.",
    ]


def test_what_is_taken_back_is_gone_from_the_terminal(there: Shell, library: str) -> None:
    seen = Terminal(there, "search", "What is the capital of Australia?", "--store", library)
    assert len(re.sub(r"\x1b\[[^a-z]*[a-zA-Z]|Searching", "", seen.raw).split()) > 7, "something was shown before"
    assert seen.screen().splitlines() == [
        "The documents do not answer this question.",
        f"Stores searched: {library}",
    ]


def test_reconcile_counts_outcomes(there: Shell, server: Server) -> None:
    put(server, "garden/water.md", "The greenhouse is watered on Mondays.")
    done = there.run("reconcile", "--store", "garden")
    assert re.fullmatch(r"1 documents in [\d.]+ s: 1 unchanged\.\n", done.stdout)


def test_config_says_what_is_in_effect_and_where_from(tmp_path: Path) -> None:
    secrets = {"GEMINI_API_KEY": "top-secret", "GEMINI_BASE_URL": "https://ann:hunter2@example.com/"}
    shell = Shell(DATA_DIR=str(tmp_path), **secrets)
    plain, found = shell.ok("config"), shell.json("config")["settings"]
    for text in (plain, json.dumps(found)):
        assert "top-secret" not in text
        assert "hunter2" not in text
    assert "GEMINI_API_KEY\t********\tenvironment\n" in plain
    assert "GEMINI_BASE_URL\thttps://********@example.com/\tenvironment\n" in plain
    assert {"name": "PORT", "value": 8000, "from": "default"} in found
    assert {"name": "DATA_DIR", "value": str(tmp_path), "from": "environment"} in found
    assert list(tmp_path.iterdir()) == []


WRONG: list[tuple[dict[str, str], list[str], str]] = [
    ({"PORT": "many"}, ["config"], "flamehaven: PORT: got 'many'"),
    ({"ENVIRONMENT": "production"}, ["documents"], "flamehaven: GEMINI_API_KEY is empty"),
    ({"DATA_DIR": "/dev/null/x"}, ["stores", "create", "x"], "flamehaven: '/dev/null"),
    ({}, ["stores"], "flamehaven: There is no data folder at '/nonexistent'."),
    ({"FLAMEHAVEN_URL": "ftp://x"}, ["stores"], "flamehaven: --url (FLAMEHAVEN_URL): got 'ftp://x'"),
    ({"FLAMEHAVEN_API_KEY": "/nonexistent"}, ["stores"], "flamehaven: --key (FLAMEHAVEN_API_KEY) names a file"),
    ({"FLAMEHAVEN_API_KEY": "a\nb"}, ["stores"], "flamehaven: --key (FLAMEHAVEN_API_KEY): it takes one line"),
    ({}, ["ingest", "/nonexistent"], "'/nonexistent' does not exist"),
    ({}, ["ingest", ".", "--store", "a/b"], "A store's name cannot hold '/'"),
    ({"FLAMEHAVEN_URL": "http://127.0.0.1:9"}, ["search", "\udcff"], "flamehaven: An argument is not valid UTF-8."),
    ({}, ["dance"], "No such command 'dance'"),
]


def test_wrong_settings_and_wrong_usage_end_with_2() -> None:
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda case: Shell(**case[0]).run(*case[1]), WRONG))
    for (_, arguments, said), done in zip(WRONG, ends, strict=True):
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert said in done.stderr


def test_a_server_that_is_not_there_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = Shell().run("documents", "--url", url, "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"flamehaven: Cannot connect to {url}: ")


class Stranger(BaseHTTPRequestHandler):
    """A web server of another kind, which remembers what it was told."""

    authorizations: list[str | None]

    def do_GET(self) -> None:
        self.authorizations.append(self.headers["Authorization"])
        self.send_response(200 if self.path == "/api/stores" else 502)
        self.end_headers()
        self.wfile.write(b"<html>Welcome!</html>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def stranger() -> Iterator[tuple[str, list[str | None]]]:
    kind = type("Kind", (Stranger,), {"authorizations": []})
    with HTTPServer(("127.0.0.1", 0), kind) as web:
        thread = threading.Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}", kind.authorizations
        web.shutdown()
        thread.join()


def test_a_key_is_sent_and_a_server_of_another_kind_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    with stranger() as (url, authorizations):
        odd = Shell().run("stores", "--url", url, "--key", str(tmp_path / "key"))
        bad = Shell(FLAMEHAVEN_API_KEY="from-outside").run("documents", "show", "x.md", "--url", url)
    assert authorizations == ["Bearer from-a-file", "Bearer from-outside"]
    for done, status in ((odd, "200 OK"), (bad, "502 Bad Gateway")):
        assert done.returncode == 1
        assert done.stderr.startswith(f"flamehaven: {url} answered {status}, but not as a Flamehaven server does")


def test_ctrl_c_ends_quietly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        process = Shell().start("stores", "--url", f"http://127.0.0.1:{port}", stderr=subprocess.PIPE)
        with silent.accept()[0]:
            process.send_signal(signal.SIGINT)
            assert (process.communicate(timeout=20)[1], process.returncode) == (b"", 130)


def test_a_closed_pipe_is_no_reason_to_complain(there: Shell, library: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with there.start("documents", "--store", library, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        assert process.communicate(timeout=20)[1] == b""


@pytest.mark.slow
def test_without_a_server_the_same_commands_work_on_this_machine(tmp_path: Path, files: Path) -> None:
    own = tmp_path / "data"
    here = Shell(DATA_DIR=str(own))
    for number in range(20):
        write(files, f"many/{number}.md", f"# Number {number}\n\nThis is number {number}.")
    interrupted = here.start("ingest", files, "--store", "hr", stderr=subprocess.PIPE)
    until(lambda: len([path for path in own.rglob("state/**/*") if path.is_file()]) > 5, every=0.02)
    interrupted.send_signal(signal.SIGINT)
    assert (interrupted.communicate(timeout=30)[1], interrupted.returncode) == (b"", 130)

    done = here.run("ingest", files, "--store", "hr", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["counts"] == {"indexed": 22, "accepted": 1, "failed": 1, "refused": 2}
    seen = Terminal(here, "search", "How long is parental leave?", "--store", "hr")
    assert seen.screen().startswith("Parental leave is 26 weeks at full pay. [1]\n")
    here.ok("documents", "delete", "hr/leave.md")
    write(own, "documents/hr/new.md", "The greenhouse is watered on Mondays.")
    done = Shell(DATA_DIR=str(own), LOG_LEVEL="info").run("reconcile", "--dry-run", "--store", "hr", "--json")
    report = json.loads(done.stdout)
    assert report["unsettled"] == ["hr/new.md"], "a command ends when what it began is done"
    assert report["outcomes"] == {"to reconcile": 1, "unchanged": 23}
    assert "POST /api/reconcile 200" in done.stderr, "the log that is asked for is on standard error"


def test_commands_on_one_folder_do_not_disturb_each_other_or_a_server(
    server: Server, data: Path, tmp_path: Path
) -> None:
    for number in range(20):
        text = f"# Room {number}\n\nRoom {number} has {number + 7} chairs."
        write(tmp_path / ("even", "odd")[number % 2], f"{number}.md", text)
    here = Shell(DATA_DIR=str(data))
    processes = [
        here.start("ingest", tmp_path / part, "--store", "rooms", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for part in ("even", "odd")
    ]
    for process in processes:
        assert process.communicate(timeout=60) == (b"10 files: 10 indexed.\n", b"")
    differs = {"dry_run": "true", "store": "rooms"}
    until(lambda: server.post("/api/reconcile", params=differs).json()["outcomes"] == {"unchanged": 20})
    answer = server.get("/api/search", params={"q": "How many chairs has room 12?", "store": "rooms"}).json()
    assert "19 chairs" in answer["answer"]


class Terminal:
    """A command that is run on a terminal of 100 columns and 30 lines, to its end; `raw` is all it wrote there."""

    COLUMNS, LINES = 100, 30

    def __init__(self, shell: Shell, *arguments: str, answer: str = "", interrupt_at: str = "") -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", self.LINES, self.COLUMNS, 0, 0))
        process = shell.start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        os.write(ours, answer.encode())
        written = bytearray()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.5)[0]:
                if interrupt_at and interrupt_at.encode() in written:  # and it has begun to wait for the answer
                    process.send_signal(signal.SIGINT)
                    interrupt_at = ""
                continue
            try:
                written += os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
        os.close(ours)
        self.returncode = process.wait(10)
        self.raw = written.decode()
        assert TRACEBACK not in self.raw

    def screen(self) -> str:
        """What can be read in the end, as the few control sequences that are used leave it."""
        lines, row, column = [""], 0, 0
        for control, parameter, final, character in re.findall(r"(\x1b\[\??)([\d;]*)([A-Za-z])|([\s\S])", self.raw):
            if control and final == "A":
                row -= int(parameter or 1)
            elif control and final == "K":
                lines[row] = ""
            elif control:
                assert final in "mhl", f"a sequence that nothing is known of: {parameter}{final}"
            elif character == "\r":
                column = 0
            elif character == "\n":
                row += 1
                lines += [""] * (row + 1 - len(lines))
            else:
                lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1 :]
                column += 1
        return "\n".join(line.rstrip() for line in lines).strip("\n")


@pytest.mark.parametrize("words", [[], ["ingest"], ["documents"], ["stores", "delete"], ["keys", "create"], ["serve"]])
def test_every_command_explains_itself_at_dash_h(words: list[str]) -> None:
    shown = [
        subprocess.run([*FLAMEHAVEN, *words, option], capture_output=True, text=True, check=False)
        for option in ("-h", "--help")
    ]
    assert [each.returncode for each in shown] == [0, 0]
    assert shown[0].stdout == shown[1].stdout != ""


@pytest.mark.parametrize(("typed", "meant"), [("se", {"search", "serve"}), ("stores de", {"delete"})])
def test_a_shell_completes_commands(typed: str, meant: set[str]) -> None:
    completing = {"_FLAMEHAVEN_COMPLETE": "complete_bash", "COMP_WORDS": f"flamehaven {typed}"}
    environment = {**os.environ, **completing, "COMP_CWORD": str(len(typed.split()))}
    done = subprocess.run(FLAMEHAVEN, env=environment, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == meant
