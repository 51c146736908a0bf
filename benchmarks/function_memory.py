"""Memory of the function ingest while it sends large documents at once: `[DOCUMENTS] [MB]`, by default 8 of 50 MB.

On Cloud Run temporary files are memory too, so the two are added up. Terraform gives an instance 256 MiB, and for each
document that it sends at once its size and 16 MiB (infra/terraform/functions.tf).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from tests.clouds import fake_gcs
from tests.deployment import deployed, gemini
from tests.servers import free_port, running

MB = 1 << 20
EVERY = 0.02


class Sampler(threading.Thread):
    """Notes the most that a process's own memory and its temporary files took, and both together."""

    def __init__(self, pid: int, folder: Path) -> None:
        super().__init__(daemon=True)
        self._pid, self._folder, self._ended = pid, folder, threading.Event()
        self.idle = self.process = self.files = self.together = 0

    def run(self) -> None:
        while not self._ended.wait(EVERY):
            process, files = self._resident(), self._bytes()
            self.idle = self.idle or process
            self.process, self.files = max(self.process, process), max(self.files, files)
            self.together = max(self.together, process + files)

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _resident(self) -> int:
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

    def _bytes(self) -> int:
        total = 0
        for path in self._folder.glob("flamehaven-*"):
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue
        return total


def pdf(number: int, size: int) -> bytes:
    """A PDF of one page with a sentence, and so many bytes that nobody looks at."""
    text = f"BT /F1 12 Tf 20 700 Td (Cabinet {number} has the code {number}77.) Tj ET".encode()
    parts = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(text), text),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    parts.append(b"<</Length %d>>stream\n%s\nendstream" % (size, os.urandom(size)))
    body, places = b"%PDF-1.4\n", []
    for index, part in enumerate(parts, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (index, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(parts) + 1)
    return body + head + table + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(parts) + 1, len(body))


def main() -> int:
    """Print what it took."""
    count, size = (int(given) for given in (sys.argv[1:] + ["8", "50"][len(sys.argv) - 1 :])[:2])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        temporary = folder / "tmp"
        temporary.mkdir()
        with fake_gcs(folder) as gcs, gemini(folder) as model:
            documents = gcs.client.create_bucket("docs")
            gcs.client.create_bucket("state")
            for number in range(count):
                documents.blob(f"large/{number}.pdf").upload_from_string(pdf(number, size * MB - 2000), timeout=120)
            port = free_port()
            told = {
                **gcs.environment(),
                "DOCUMENTS_URL": "gs://docs",
                "STATE_URL": "gs://state",
                "GEMINI_BASE_URL": model.address,
                "GEMINI_API_KEY": "k",
                "DATA_DIR": str(folder / "data"),
                "MAX_FILE_SIZE_MB": str(size),
                "PARALLEL_UPLOADS": str(count),
                "TMPDIR": str(temporary),
                "PYTHONPATH": str(deployed(folder)),
                "ENVIRONMENT": "development",
            }
            command = [sys.executable, "-m", "functions_framework", "--source", "functions/ingest/main.py"]
            command += ["--target", "ingest", "--host", "127.0.0.1", "--port", str(port)]
            url = f"http://127.0.0.1:{port}"
            workspace = folder / "workspace"
            with running(
                command, environment=told, url=f"{url}/robots.txt", log=folder / "log", cwd=workspace
            ) as process:
                workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                sampler = Sampler(int(workers[0]) if workers else process.pid, temporary)
                sampler.start()
                started = time.monotonic()
                with ThreadPoolExecutor(count) as pool:
                    outcomes = list(pool.map(lambda number: send(url, f"large/{number}.pdf"), range(count)))
                seconds = time.monotonic() - started
                sampler.end()
    given = max(512, 256 * -(-(256 + count * (size + 16)) // 256))
    print(f"{count} documents of {size} MB at once: {sorted(set(outcomes))} in {seconds:.0f} s")
    print(f"the process: {sampler.idle / MB:.0f} MiB before, {sampler.process / MB:.0f} MiB at most")
    print(f"its temporary files: {sampler.files / MB:.0f} MiB at most")
    print(f"both together: {sampler.together / MB:.0f} MiB at most, of the {given} MiB that Terraform gives")
    return 0 if sampler.together / MB < given else 1


def send(url: str, name: str) -> str:
    """Post the event of an object; what came of it."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": name,
        "ce-source": "//storage.googleapis.com/projects/_/buckets/docs",
        "ce-type": "google.cloud.storage.object.v1.finalized",
        "ce-subject": f"objects/{name}",
        "content-type": "application/json",
    }
    event = json.dumps({"bucket": "docs", "name": name, "generation": "1"})
    return str(httpx2.post(url, headers=headers, content=event, timeout=600).json().get("outcome"))


if __name__ == "__main__":
    raise SystemExit(main())
