from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from file_search_emulator.parsing import LimitedParser, ParseError, Section, parse
from shared.gemini.mime import mime_type_of
from tests.documents import EXAMPLES, Example
from tests.hostile import HOGS, PDF_BOMBS, page, show, stream

_TEXT = "text/plain"


@pytest.fixture(scope="module")
def parser() -> Iterator[LimitedParser]:
    parser = LimitedParser()
    yield parser
    parser.close()


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("Good news.")
    return path


def _children(parent: int) -> list[int]:
    """The parser processes of a process, from the kernel's list."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == parent
                    and b"parsing.child" in (entry / "cmdline").read_bytes()
                ):
                    found.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def _until(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _gone(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_sections_come_back_whole(parser: LimitedParser, tmp_path: Path) -> None:
    path = tmp_path / "guide.md"
    path.write_text('# Größe\n"quoted" \u2028 \x85 text}\n## 日本\n{"end": true}\n', encoding="utf-8")
    assert parser.parse(path, "text/markdown", "guide.md") == [
        Section('Größe\n\n"quoted" \u2028 \x85 text}', heading="Größe"),
        Section('日本\n\n{"end": true}', heading="Größe > 日本"),
    ]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_the_child_reads_whatever_can_be_read(parser: LimitedParser, tmp_path: Path, example: Example) -> None:
    path = tmp_path / example.name
    example.write(path)
    with path.open("rb") as file:
        assert parser.parse(path, mime_type_of(path.name)) == parse(file, mime_type_of(path.name), path.name)


@pytest.mark.parametrize("encoding", ["cp932", "euc_kr", "gb18030", "cp1251", "cp1252", "utf-16"])
def test_the_child_knows_every_encoding(parser: LimitedParser, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "page.html"
    text = {"cp932": "有給休暇", "gb18030": "公司年假", "euc_kr": "연차 휴가", "cp1251": "Отпуск"}.get(
        encoding, "Größe"
    )
    path.write_bytes(f"<meta charset={encoding}><p>{text}".encode(encoding))
    assert parser.parse(path, "text/html")[0].text == text


def test_refusals_come_back_as_they_are(parser: LimitedParser, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(ParseError, match="The file is empty"):
        parser.parse(tmp_path / "empty", _TEXT, "empty")


def test_a_vanished_file_is_not_the_files_fault(parser: LimitedParser, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="FileNotFoundError"):
        parser.parse(tmp_path / "nothing", _TEXT, "nothing")


def test_one_child_serves_many_files_and_is_then_replaced(note: Path) -> None:
    parser = LimitedParser()
    try:
        pids = []
        for _ in range(250):
            assert parser.parse(note, _TEXT, "") == [Section("Good news.")]
            pids.append(_children(os.getpid())[-1] if len(pids) % 50 == 0 else pids[-1])
        assert len(set(pids)) == 2
    finally:
        parser.close()
    assert all(map(_gone, pids))


def test_threads_take_turns(parser: LimitedParser, tmp_path: Path) -> None:
    results: dict[int, list[Section]] = {}

    def work(number: int) -> None:
        path = tmp_path / str(number)
        path.write_text(f"text {number}")
        results[number] = parser.parse(path, _TEXT, "")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: [Section(f"text {number}")] for number in range(8)}


FEW_PDF_BOMBS = ("nested arrays", "nested drawing state", "page tree that holds itself")


@pytest.mark.parametrize(
    "name", [name if name in FEW_PDF_BOMBS else pytest.param(name, marks=pytest.mark.slow) for name in PDF_BOMBS]
)
def test_pdf_bombs_do_no_harm(name: str, tmp_path: Path, note: Path) -> None:
    parser = LimitedParser(memory_bytes=1 << 29, cpu_seconds=3)
    path = tmp_path / "bomb.pdf"
    path.write_bytes(PDF_BOMBS[name]())
    try:
        with pytest.raises(ParseError):
            parser.parse(path, "application/pdf", "bomb.pdf")
        assert parser.parse(note, _TEXT, "") == [Section("Good news.")]
    finally:
        parser.close()


def test_a_huge_page_is_only_text(parser: LimitedParser, tmp_path: Path) -> None:
    path = tmp_path / "huge.pdf"
    path.write_bytes(page(stream(zlib.compress(show(b"tiny"))), b"[0 0 1e30 1e30]"))
    assert parser.parse(path, "application/pdf", "huge.pdf") == [Section("tiny", page=1)]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"output_bytes": 10_000}, "more text in the file than can be indexed"),
        ({"memory_bytes": 200 << 20}, "memory"),
        ({"wall_seconds": 0.001}, "damaged, or needs more memory or time"),
    ],
)
def test_each_limit_holds(tmp_path: Path, note: Path, limits: dict[str, int], message: str) -> None:
    path = tmp_path / "large.txt"
    path.write_text("many words " * 10_000_000)
    parser = LimitedParser(**limits)
    try:
        with pytest.raises(ParseError, match=message):
            parser.parse(path, _TEXT, "")
        if "wall_seconds" not in limits:
            assert parser.parse(note, _TEXT, "") == [Section("Good news.")]
    finally:
        parser.close()


@pytest.mark.parametrize(
    ("name", "message"), [("attributes.html", "more than 1000 attributes"), ("nested.html", "nests its elements")]
)
def test_a_page_that_takes_long_by_its_shape_is_refused_at_once(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(HOGS[name]())
    parser = LimitedParser(cpu_seconds=10)
    try:
        with pytest.raises(ParseError, match=message):
            parser.parse(path, "text/html")
    finally:
        parser.close()


def test_cells_that_are_far_apart_take_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "far-cells.xlsx"
    path.write_bytes(HOGS[path.name]())
    parser = LimitedParser(cpu_seconds=10)
    try:
        (section,) = parser.parse(path, mime_type_of(path.name) or "")
    finally:
        parser.close()
    assert section.text.split() == ["1"] * 20_000


def test_a_reader_that_never_ends_is_ended(tmp_path: Path, note: Path) -> None:
    path = tmp_path / "slow.pdf"
    path.write_bytes(PDF_BOMBS["much text"]())
    parser = LimitedParser(cpu_seconds=1)
    try:
        with pytest.raises(ParseError, match="damaged, or needs more memory or time"):
            parser.parse(path, "application/pdf", "slow.pdf")
        assert parser.parse(note, _TEXT, "") == [Section("Good news.")]
    finally:
        parser.close()


def test_a_file_that_took_its_time_is_not_read_again(
    tmp_path: Path, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slow.pdf"
    path.write_bytes(PDF_BOMBS["much text"]())
    started: list[object] = []
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: started.append(args) or start(*args, **options))
    parser = LimitedParser(cpu_seconds=1)
    try:
        parser.parse(note, _TEXT, "")
        with pytest.raises(ParseError, match="damaged, or needs more memory or time"):
            parser.parse(path, "application/pdf", "slow.pdf")
        assert len(started) == 1
    finally:
        parser.close()


def test_a_line_of_45_megabytes_is_read(parser: LimitedParser, tmp_path: Path) -> None:
    text = "one long line " * 3_300_000
    path = tmp_path / "line.txt"
    path.write_text(text)
    assert "".join(section.text for section in parser.sections(path, _TEXT, "line.txt")) == text


def test_a_long_section_comes_in_pieces_that_are_cut_between_paragraphs(parser: LimitedParser, tmp_path: Path) -> None:
    path = tmp_path / "long.md"
    paragraphs = [f"Paragraph {number} " + "word " * 50 for number in range(5000)]
    path.write_text("# Title\n\n" + "\n\n".join(paragraphs))
    found = parser.parse(path, "text/markdown", "long.md")
    assert len(found) > 3
    assert {section.heading for section in found} == {"Title"}
    assert "".join(section.text for section in found).split() == ["Title", *" ".join(paragraphs).split()]
    assert all(section.text.startswith("Paragraph ") for section in found[1:])


def test_a_reader_who_stops_early_leaves_the_parser_in_order(parser: LimitedParser, tmp_path: Path, note: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_text("many words " * 200_000)
    sections = parser.sections(path, _TEXT, "long.txt")
    next(sections)
    sections.close()
    assert parser.parse(note, _TEXT, "") == [Section("Good news.")]


def test_a_child_that_dies_half_way_is_not_the_files_fault_if_it_served_before(
    parser: LimitedParser, tmp_path: Path, note: Path
) -> None:
    path = tmp_path / "long.txt"
    path.write_text("many words " * 2_000_000)
    parser.parse(note, _TEXT, "")
    sections = parser.sections(path, _TEXT, "long.txt")
    next(sections)
    os.kill(_children(os.getpid())[-1], signal.SIGKILL)
    with pytest.raises(RuntimeError, match="fresh"):
        list(sections)
    assert len(parser.parse(path, _TEXT, "long.txt")) > 3


def test_a_child_killed_between_files_is_replaced(parser: LimitedParser, note: Path) -> None:
    parser.parse(note, _TEXT, "")
    for pid in _children(os.getpid()):
        os.kill(pid, signal.SIGKILL)
        _until(lambda pid=pid: _gone(pid))  # type: ignore[misc]  # mypy infers no type for a bound default
    assert parser.parse(note, _TEXT, "") == [Section("Good news.")]


def test_a_child_that_cannot_start_is_not_the_files_fault(note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    parser = LimitedParser()
    try:
        with pytest.raises(RuntimeError, match="does not start"):
            parser.parse(note, _TEXT, "")
    finally:
        parser.close()


def test_the_child_is_told_no_secrets(parser: LimitedParser, note: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "a-secret")
    fresh = LimitedParser()
    try:
        known = set(_children(os.getpid()))
        fresh.parse(note, _TEXT, "")
        (pid,) = set(_children(os.getpid())) - known
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    finally:
        fresh.close()
    assert b"PYTHONPATH=" in environment
    assert b"a-secret" not in environment


_PARENT = """
import sys, threading
from pathlib import Path
from file_search_emulator.parsing import LimitedParser
parser = LimitedParser()
print(parser.parse(Path(sys.argv[1]), "text/plain")[0].text, flush=True)
if len(sys.argv) > 2:
    parser.parse(Path(sys.argv[2]), "application/pdf")
threading.Event().wait()
"""


@pytest.mark.parametrize("busy", [False, True])
def test_the_child_dies_with_a_parent_that_is_killed(tmp_path: Path, note: Path, busy: bool) -> None:
    script = tmp_path / "no_main_guard.py"
    script.write_text(_PARENT)
    endless = tmp_path / "slow.pdf"
    endless.write_bytes(PDF_BOMBS["much text"]())
    arguments = [sys.executable, str(script), str(note), *([str(endless)] if busy else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        try:
            assert parent.stdout.readline() == b"Good news.\n"
            (child,) = _children(parent.pid)
        finally:
            parent.kill()
    _until(lambda: _gone(child))


@pytest.mark.parametrize(("memory", "ends_with"), [(1 << 20, 128 + signal.SIGABRT), (1 << 30, 0)])
def test_a_parser_whose_memory_the_system_does_not_limit_watches_it_itself(
    note: Path, memory: int, ends_with: int
) -> None:
    program = (
        "import resource, sys, threading\n"
        "real = resource.setrlimit\n"
        "def on_a_mac(kind, limits):\n"
        "    if kind == resource.RLIMIT_AS:\n"
        "        raise ValueError('current limit exceeds maximum limit')\n"
        "    real(kind, limits)\n"
        "resource.setrlimit = on_a_mac\n"
        "from file_search_emulator.parsing import child\n"
        "def use_memory():\n"
        "    global held\n"
        "    held = b'x' * 200_000_000\n"
        "if int(sys.argv[2]): threading.Timer(0.5, use_memory).start()\n"
        "child.main(int(sys.argv[1]), 30, 0)\n"
    )
    request = json.dumps({"mime_type": _TEXT, "name": ""}).encode() + b"\n"
    # A process starts with the peak memory of the one that starts it (execve(2)): a shell's is small.
    command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", program, str(memory), str(int(ends_with != 0))]
    ours, theirs = socket.socketpair()
    with ours, theirs, subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.PIPE) as child:
        theirs.close()
        assert child.stdout
        try:
            if ends_with == 0:
                with note.open("rb") as file:
                    socket.send_fds(ours, [request], [file.fileno()])
                assert b"Good news." in child.stdout.readline()
                ours.close()
            assert child.wait(20) == ends_with
        finally:
            child.kill()
