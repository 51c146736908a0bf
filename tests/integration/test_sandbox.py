"""What the process that reads documents cannot do, even where a document takes over the library that reads it."""

from __future__ import annotations

import json
import logging
import os
import socket
from pathlib import Path

import pytest

from file_search_emulator.parsing import LimitedParser, ParseError, Section, limited

_ATTACKS = """
import ctypes, json, os, resource, socket, subprocess, threading
from file_search_emulator.parsing import ParseError

ATTACKS = {
    "read the admin key": lambda: open(KEY).read(),
    "read another document": lambda: open(OTHER).read(),
    "read the settings of the server": lambda: open(f"/proc/{PARENT}/environ").read(),
    "read the accounts": lambda: open("/etc/passwd").read(),
    "list the folder": lambda: os.listdir(os.path.dirname(KEY)),
    "list the project": lambda: os.listdir(PROJECT),
    "write a file": lambda: open(KEY + ".new", "w").write("x"),
    "overwrite the key": lambda: open(KEY, "r+").write("x"),
    "write into the code": lambda: open(__file__, "a").write("x"),
    "remove the key": lambda: os.unlink(KEY),
    "rename the key": lambda: os.rename(KEY, OTHER),
    "link to the key": lambda: os.symlink(KEY, OTHER + ".link"),
    "open the key to all": lambda: os.chmod(KEY, 0o777),
    "connect": lambda: socket.create_connection(("127.0.0.1", PORT)),
    "send a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT)),
    "open a local socket": lambda: socket.socket(socket.AF_UNIX),
    "make a pair of sockets": lambda: socket.socketpair(),
    "fork": lambda: os.fork() or os._exit(0),
    "start a program": lambda: subprocess.run(["/bin/true"]),
    "become a program": lambda: os.execv("/bin/true", ["true"]),
    "start a thread": lambda: threading.Thread(target=print).start(),
    "signal the server": lambda: os.kill(PARENT, 0),
    "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
    "write more": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1)),
    "change its user": lambda: os.setuid(1),
    "leave its name space": lambda: done(ctypes.CDLL(None).unshare(0x10000000)),
    "trace the server": lambda: done(ctypes.CDLL(None).ptrace(16, PARENT, 0, 0)),
}

def done(result):
    if result < 0:
        raise PermissionError

def outcome(attack):
    try:
        attack()
    except BaseException as error:
        return type(error).__name__
    return "done"

class LexborHTMLParser:
    def __init__(self, page):
        raise ParseError(json.dumps({name: outcome(attack) for name, attack in ATTACKS.items()}))

class LexborNode:
    pass
"""


def planted(folder: Path, **names: object) -> Path:
    """A folder with a library for HTML that attacks whoever loads it."""
    package = folder / "selectolax"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    constants = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    (package / "lexbor.py").write_text(constants + _ATTACKS)
    return folder


def test_a_document_that_takes_the_parser_over_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key, other, page = tmp_path / "admin.key", tmp_path / "other.txt", tmp_path / "page.html"
    for path in (key, other, page):
        path.write_text("sk_admin_secret")
    limited._say_missing.cache_clear()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        names = {"KEY": str(key), "OTHER": str(other), "PARENT": os.getpid(), "PORT": listening.getsockname()[1]}
        project = str(Path(limited.__file__).parents[2])
        monkeypatch.syspath_prepend(planted(tmp_path / "planted", PROJECT=project, **names))
        parser = LimitedParser()
        try:
            with pytest.raises(ParseError) as raised:
                parser.parse(page, "text/html")
        finally:
            parser.close()
    if caplog.records:
        pytest.skip(caplog.records[0].getMessage())
    outcomes = json.loads(str(raised.value))
    assert len(outcomes) > 20
    assert {name for name, what in outcomes.items() if what == "done"} == set()
    assert key.read_text() == other.read_text() == "sk_admin_secret"


def test_what_the_system_cannot_do_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for library in ("landlockpy", "seccompy"):
        (tmp_path / f"{library}.py").write_text("raise ImportError")
    note = tmp_path / "note.txt"
    note.write_text("Good news.")
    monkeypatch.syspath_prepend(tmp_path)
    limited._say_missing.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            parser = LimitedParser()
            try:
                assert parser.parse(note, "text/plain") == [Section("Good news.")]
            finally:
                parser.close()
    (record,) = caplog.records
    assert "offers no Landlock and seccomp" in record.getMessage()
