"""The container image as an operator runs it: as user 1000, on a read-only root, with no capabilities."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests import image
from tests.servers import until

pytestmark = pytest.mark.slow
PRODUCTION = {"ENVIRONMENT": "production", "GEMINI_BASE_URL": "emulator:", "HOST": "127.0.0.1"}


@pytest.fixture(scope="module", autouse=True)
def _image(tmp_path_factory: pytest.TempPathFactory) -> None:
    image.build(tmp_path_factory.mktemp("image"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 1000, 1000)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)  # so that user 1000 can get there
    return folder


def test_it_serves_keeps_and_stops(data: Path) -> None:
    with image.running(data, PRODUCTION) as server:
        server.headers["Authorization"] = f"Bearer {(data / 'admin.key').read_text().strip()}"
        content = b"The boiler is serviced every April."
        put = server.put("/api/documents/house/boiler.md", content=content, headers={"Prefer": "wait=20"})
        assert put.json()["status"] == "indexed", put.text
    with image.running(data, {**PRODUCTION, "WORKERS": "2"}) as server:
        server.headers["Authorization"] = f"Bearer {(data / 'admin.key').read_text().strip()}"
        answer = server.get("/api/search", params={"q": "When is the boiler serviced?", "store": "house"}).json()
        assert "April" in answer["answer"]
    last = (data.parent / "container.log").read_text().splitlines()[-1]
    assert json.loads(last)["message"].startswith(("Finished server process", "Shutting down: Master"))
    assert {path.stat().st_uid for path in data.rglob("*")} == {1000}


def test_documents_can_be_mounted_by_themselves(data: Path, tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    (documents / "house").mkdir(parents=True)
    (documents / "house" / "key.md").write_text("The key is under the mat.")
    mounted = ("-v", f"{documents}:/data/documents:ro")
    with image.running(data, {**PRODUCTION, "DOCUMENTS_URL": "/data/documents"}, mounted) as server:
        server.headers["Authorization"] = f"Bearer {(data / 'admin.key').read_text().strip()}"
        question = {"q": "Where is the key?", "store": "house"}
        until(lambda: "mat" in server.get("/api/search", params=question).text)


def test_a_folder_that_it_cannot_write_is_said_with_the_command_that_mends_it(tmp_path: Path) -> None:
    folder = tmp_path / "roots"
    folder.mkdir()
    command = (*image.PODMAN, "run", "--rm", "--network", "host", *image.HARDENED, *image.LIMITS)
    settings = ("-e", "GEMINI_API_KEY=any", "-v", f"{folder}:/app/data", image.IMAGE)
    ran = subprocess.run(
        (*command, *settings), env={**os.environ, **image.STORAGE}, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 2
    assert "install -d -o 1000 -g 1000 FOLDER" in ran.stderr


def test_its_health_check_asks_the_server(data: Path) -> None:
    config = json.loads(image.run("buildah", "inspect", "--type", "image", image.IMAGE).stdout)["Docker"]["config"]
    assert (config["User"], config["Cmd"], config["Healthcheck"]["Test"][0]) == ("1000:1000", ["flamehaven-api"], "CMD")
    check = config["Healthcheck"]["Test"][1:]
    with image.running(data, PRODUCTION) as server:
        port = f"PORT={server.base_url.port}"
        name = f"flamehaven-test-{server.base_url.port}"
        image.run(*image.PODMAN, "exec", "-e", port, name, *check)
        missing = subprocess.run(
            (*image.PODMAN, "exec", "-e", "PORT=1", name, *check),
            env={**os.environ, **image.STORAGE},
            capture_output=True,
            timeout=60,
        )
        assert missing.returncode != 0
