"""No web page reaches the emulator that runs alone: not from its own origin, and not by DNS rebinding."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from file_search_emulator.app import create_app
from file_search_emulator.local_only import LocalOnly
from tests.servers import FLAMEHAVEN, free_port, running

HERE = "localhost:9000"


async def status(tmp_path: Path, headers: list[tuple[str, str]], *names: str) -> int:
    """What a reset is answered, sent with these headers."""
    app = create_app(tmp_path)
    transport = httpx2.ASGITransport(app=LocalOnly(app, names))
    async with httpx2.AsyncClient(transport=transport, base_url="http://unused") as client:
        request = client.build_request("POST", "/emulator/reset", headers=headers)
        if all(name != "Host" for name, _ in headers):
            del request.headers["host"]
        answer = await client.send(request)
    await app.state.emulator.close()
    return answer.status_code


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": HERE},
        {"Host": "LOCALHOST"},
        {"Host": "127.0.0.1:9000"},
        {"Host": "[::1]:9000"},
        {"Host": "emulator:9000"},
        {"Host": HERE, "Origin": f"http://{HERE}", "Sec-Fetch-Site": "same-origin"},
        {"Host": HERE, "Sec-Fetch-Site": "none"},
    ],
)
async def test_programs_and_its_own_pages_are_served(tmp_path: Path, headers: dict[str, str]) -> None:
    assert await status(tmp_path, list(headers.items()), "Emulator") == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Host", "")],
        [("Host", "attacker.example")],
        [("Host", "localhost.attacker.example")],
        [("Host", "attacker.example@localhost.evil:9000")],
        [("Host", "[::1")],
        [("Host", "10.0.0.7:9000")],
        [("Host", HERE), ("Host", "attacker.example")],
        [("Host", HERE), ("Origin", "null")],
        [("Host", HERE), ("Origin", "https://attacker.example")],
        [("Host", HERE), ("Origin", "http://localhost:3000")],
        [("Host", HERE), ("Sec-Fetch-Site", "cross-site")],
        [("Host", HERE), ("Sec-Fetch-Site", "same-site")],
    ],
)
async def test_pages_of_other_origins_and_names_are_refused(tmp_path: Path, headers: list[tuple[str, str]]) -> None:
    assert await status(tmp_path, headers) == 403


def test_the_program_refuses_them_and_leaves_the_server_s_own_index_alone(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [*FLAMEHAVEN, "emulator", "--port", str(port), "--allow-host", "emulator"]
    with running(command, environment={}, url=url, log=tmp_path / "log", cwd=tmp_path):
        made = httpx2.post(f"{url}/v1/fileSearchStores", headers={"x-goog-api-key": "any"}, json={})
        refused = httpx2.post(f"{url}/emulator/reset", headers={"Origin": "https://attacker.example"})
        rebound = httpx2.get(f"{url}/emulator/state", headers={"Host": "attacker.example"})
        state = httpx2.get(f"{url}/emulator/state", headers={"Host": f"emulator:{port}"})
    assert (made.status_code, refused.status_code, rebound.status_code) == (200, 403, 403)
    assert refused.json()["error"]["status"] == "PERMISSION_DENIED"
    assert len(state.json()["stores"]) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["standalone-emulator"]
