"""Make the data folder that an older version leaves behind when it is killed; later versions must open it.

    git worktree add --detach ../older daf3b6e     # and set up its .venv
    .venv/bin/python -m tests.data_folders.make ../older tests/data_folders/daf3b6e.tar.xz

It runs the server of that checkout, talks to it over HTTP, and kills it while a document is half done. Beside the
folder the archive holds `keys.json`, the secret parts of the API keys by their owners.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from tests.documents import pdf
from tests.servers import free_port

DOCUMENTS = {
    "readme.md": b"The office is open from 7:30 to 19:00.",
    "hr/leave.md": b"# Leave\n\nParental leave is 26 weeks at full pay.\n",
    "hr/leave.md.metadata.json": b'{"team": "hr", "two words": "x"}',
    "hr/handbook.pdf": pdf(["Welcome to the company.", "A hotel may cost up to 140 euros a night."]),
    "it/gr\u00f6\u00dfe.txt": "Das gr\u00f6\u00dfte Postfach hat 50 Gigabyte.".encode(),
    "it/broken.pdf": b"%PDF-1.4 and no more",
    "old/gone.md": b"The fax machine is in room 12.",
}
"""What is put into the folder; old/gone.md is deleted again."""
LONG = "".join(f"Line {number} speaks of nothing but garden furniture and its care.\n" for number in range(6000))
HALF_DONE = ("it/roof.txt", f"The roof was renewed in 2021.\n\n{LONG}".encode())
ADMIN, REVOKED = "Admin", "Bob"
KEYS: dict[str, dict[str, object]] = {ADMIN: {"scopes": ["admin"]}, "Ann": {"stores": ["hr"]}, REVOKED: {}}
WITHIN = 60.0  # seconds


def until(condition: Callable[[], object], every: float = 0.1) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"It did not happen within {WITHIN:.0f} s.")
        time.sleep(every)


def fill(client: httpx2.Client, data: Path) -> dict[str, str]:
    """Bring the folder into its state; returns the secret parts of the keys."""
    for name, content in DOCUMENTS.items():
        client.put(f"/api/documents/{name}", content=content).raise_for_status()
    until(lambda: "pending" not in client.get("/api/documents").raise_for_status().text)
    client.delete("/api/documents/old/gone.md").raise_for_status()
    until(lambda: any('"deleted"' in path.read_text() for path in (data / "state/records").iterdir()))
    keys: dict[str, str] = {}
    for name, more in KEYS.items():
        made = client.post("/api/admin/keys", json={"name": name, **more}).raise_for_status().json()
        keys[name] = made["key"].removeprefix("sk_live_")
        if name == ADMIN:
            client.headers["Authorization"] = f"Bearer {made['key']}"
        if name == REVOKED:
            client.delete(f"/api/admin/keys/{made['id']}").raise_for_status()
    return keys


def is_half_done(data: Path) -> bool:
    """Whether the upload is noted and the lease is held."""
    for path in (data / "state/records").iterdir():
        record = json.loads(path.read_bytes())
        if record["object"] == HALF_DONE[0]:
            return bool(record.get("uploads")) and bool(record.get("lease"))
    return False


def pack(data: Path, keys: dict[str, str], archive: Path) -> None:
    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if member.name == "data/server.log":
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(archive, "w:xz", preset=9) as tar:
        tar.add(data, "data", filter=anonymous)
        member = tarfile.TarInfo("keys.json")
        content = json.dumps(keys).encode()
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def main(checkout: Path, archive: Path) -> None:
    """Make the archive with the program in a checkout that has a .venv."""
    with tempfile.TemporaryDirectory() as folder:
        data, port = Path(folder) / "data", free_port()
        data.mkdir()
        settings = {
            "ENVIRONMENT": "development",
            "DATA_DIR": str(data),
            "PORT": str(port),
            "NOTIFY_URL": "http://127.0.0.1:9/",  # nobody is there: the notices wait
            "UPLOAD_RATE_LIMIT": "",
            "PATH": os.environ["PATH"],
        }
        command = [str(checkout / ".venv/bin/python"), "-m", "flamehaven.cli", "serve"]
        with (data / "server.log").open("wb") as log:
            server = subprocess.Popen(command, cwd=checkout, env=settings, stdout=log, stderr=log)
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                until(lambda: b"startup complete" in (data / "server.log").read_bytes())
                keys = fill(client, data)
                client.put(f"/api/documents/{HALF_DONE[0]}", content=HALF_DONE[1]).raise_for_status()
                until(lambda: is_half_done(data), every=0.002)
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()
        pack(data, keys, archive)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]))
