"""docs/operations.md, word for word: its commands are run, and its checklist holds behind nginx."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.nginx import needs, nginx
from tests.servers import ROOT, Server, flamehaven, free_port, running, until

GUIDE = (ROOT / "docs/operations.md").read_text()
PRODUCTION = {"ENVIRONMENT": "production", "CACHE_TTL_SEC": "0", "API_RATE_LIMIT": "600/minute"}


def block(title: str, number: int = 0) -> str:
    """The commands under a heading of the guide."""
    (section,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    found: str = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)[number]
    return found


def shell(script: str, **environment: str) -> str:
    """What a script prints; it has to end well at every line."""
    command = ("bash", "-euo", "pipefail", "-c", script)
    ran = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@contextmanager
def opened(data: Path, gemini: str) -> Iterator[Server]:
    """The server in production, and a client with its admin key."""
    with flamehaven(data, **PRODUCTION, GEMINI_BASE_URL=gemini, GEMINI_API_KEY="any") as server:
        server.headers["Authorization"] = f"Bearer {(data / 'admin.key').read_text().strip()}"
        yield server


def ask(server: Server, number: int) -> list[str]:
    """The documents that an answer about one of them rests on."""
    question = {"q": f"Where is machine {number} kept?", "store": "machines"}
    return [source["title"] for source in server.get("/api/search", params=question).json().get("sources", [])]


@contextmanager
def index(where: str, folder: Path) -> Iterator[str]:
    """GEMINI_BASE_URL for an index in the server's own data folder, or for one that outlives the machine."""
    if where == "embedded":
        yield "emulator:"
        return
    port = free_port()
    command = [sys.executable, "-m", "flamehaven.cli", "emulator", "--port", str(port), "--data", str(folder)]
    with running(command, environment={}, url=f"http://127.0.0.1:{port}/", log=folder.parent / "emulator.log"):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("where", ["embedded", pytest.param("elsewhere", marks=pytest.mark.slow)])
def test_what_was_backed_up_from_a_running_server_answers_on_a_new_machine(tmp_path: Path, where: str) -> None:
    """Documents go on coming meanwhile; what was there before the backup began is in it, with its keys."""
    old, new, kept = tmp_path / "old", tmp_path / "new", tmp_path / "backups"

    def put(server: Server, number: int) -> None:
        content = f"Machine {number} is kept in hall {number * 7}."
        server.put(f"/api/documents/machines/{number}.md", content=content.encode()).raise_for_status()

    def here(script: str, data: Path) -> str:
        script = script.replace("/srv/flamehaven/data", str(data)).replace("/var/backups/flamehaven", str(kept))
        return script.replace("-o 1000 -g 1000 ", "")

    with index(where, tmp_path / "index") as gemini:
        with opened(old, gemini) as server, ThreadPoolExecutor(4) as pool:
            for number in range(5):
                put(server, number)
            until(lambda: all(f"{number}.md" in ask(server, number) for number in range(5)))
            made = server.post("/api/admin/keys", json={"name": "Ann", "scopes": ["search"]}).json()["key"]
            coming = [pool.submit(put, server, number) for number in range(5, 20)]
            backup = shell(here(block("Backups"), old) + 'echo "$backup"').strip()
            for each in coming:
                each.result()
        assert kept.stat().st_mode & 0o077 == 0
        listed = shell(f"tar -tzf {backup}").splitlines()
        assert "./admin.key" in listed
        assert not [name for name in listed if name.startswith("./emulator")]
        shutil.rmtree(old)

        shell(here(block("Restore"), new), backup=backup)
        with opened(new, gemini) as server:
            server.headers["Authorization"] = f"Bearer {made}"
            if where == "elsewhere":
                assert ask(server, 0) == ["0.md"], "at once"
            until(lambda: all(f"{number}.md" in ask(server, number) for number in range(5)))


def test_the_first_commands_for_the_container_answer_at_once(tmp_path: Path) -> None:
    """Those of docs/deploy-container.md after `docker run`, one right after the other."""
    needs("curl")
    page = (ROOT / "docs/deploy-container.md").read_text()
    (script,) = [each for each in re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL) if "curl -T" in each]
    data = tmp_path / "data"
    with opened(data, "emulator:") as server:
        command = (
            f"env DATA_DIR={data} ENVIRONMENT=production GEMINI_BASE_URL=emulator: {sys.executable} -m flamehaven.cli"
        )
        for theirs, here in {
            "/srv/flamehaven/data": str(data),
            "http://127.0.0.1:8000": str(server.base_url).rstrip("/"),
            "docker exec flamehaven flamehaven": command,
        }.items():
            assert theirs in script
            script = script.replace(theirs, here)
        said = shell(f"cd {tmp_path}\n{script}")
    assert '"status":"indexed"' in said
    assert "30 days" in said
    assert re.search(r"sk_live_\w+$", said.strip())


CHECKS = re.findall(r"^- \[ \] (.+)\n  (?:In .+: )?`(.+)` says `(.+)`$", GUIDE, re.MULTILINE)
REMOTE = [check for check in CHECKS if check[1].startswith(("curl", "openssl"))]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home folder whose curl takes search.example.com for nginx here, in front of a server in production."""
    folder = tmp_path_factory.mktemp("machine")
    needs("curl")
    with opened(folder / "data", "emulator:") as server, nginx(folder, server) as (client, plain):
        tls = client.base_url.port
        lines = [
            f"connect-to = search.example.com:443:127.0.0.1:{tls}",
            f"connect-to = search.example.com:80:127.0.0.1:{plain}",
            f"cacert = {folder / 'fullchain.pem'}",
        ]
        (folder / ".curlrc").write_text("\n".join(lines))
        (folder / "port").write_text(str(tls))
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize(("what", "command", "said"), REMOTE, ids=[check[0] for check in REMOTE])
def test_a_line_of_the_checklist_holds(machine: Path, what: str, command: str, said: str) -> None:
    port = (machine / "port").read_text()
    command = command.replace("-connect search.example.com:443", f"-connect 127.0.0.1:{port}")
    command = command.replace("-checkend 1209600", "-checkend 86400")  # the certificate of this test lasts two days
    key = (machine / "data/admin.key").read_text().strip()
    assert said in shell(command, HOME=str(machine), CURL_HOME=str(machine), KEY=key)


def test_the_checklist_has_what_a_test_expects_of_it() -> None:
    assert len(REMOTE) >= 6
    assert len(CHECKS) >= 12


def test_what_the_runbook_quotes_is_what_the_server_says() -> None:
    """Each text in the first column of the table; three dots stand for what differs."""
    source = "".join(
        path.read_text()
        for place in ("shared", "functions", "flamehaven", "file_search_emulator")
        for path in (ROOT / place).rglob("*.py")
    )
    said = re.sub(r'" ?\n\s+f?"', "", source)
    rows = re.findall(r"^\| (`.+?) \|", GUIDE, re.MULTILINE)
    assert len(rows) >= 10
    for row in rows:
        for text in re.findall(r"`([^`]+)`", row):
            for piece in re.sub(r"^(configuration|gemini|documents|state|ingest|events)(: |$)", "", text).split(
                " ... "
            ):
                assert piece in said, text


@pytest.mark.slow
def test_the_bill_of_materials_has_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    command = block("Packages", 1).replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    shell(command.replace("sbom.json", str(tmp_path / "sbom.json")))
    bill = json.loads((tmp_path / "sbom.json").read_text())
    assert bill["metadata"]["component"]["name"] == "flamehaven-filesearch"
    found = {
        (canonicalize_name(each["name"]), each["version"]): {
            one["content"] for reference in each["externalReferences"] for one in reference.get("hashes", [])
        }
        for each in bill["components"]
    }
    lock = re.sub(r"\\\n", " ", (ROOT / "requirements/container.txt").read_text())
    wanted = {
        (canonicalize_name(name), version): set(re.findall(r"sha256:([0-9a-f]{64})", rest))
        for name, version, rest in re.findall(r"^([\w.-]+)==(\S+)(.*)$", lock, re.MULTILINE)
    }
    assert len(wanted) > 50
    assert found == wanted
