"""The server keeps what its OpenAPI document promises, whatever it is sent (schemathesis tries)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.search.models import SearchAnswer
from tests.servers import Server, flamehaven

EXCLUDED = [
    "positive_data_acceptance",  # no schema says which names, types and filters can be
    "unsupported_method",  # PUT .../retry puts a document called "retry",
    "allow_header_conformance",  # and so .../retry takes more methods than its own
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with flamehaven(tmp_path, MAX_FILE_SIZE_MB="1", FLAMEHAVEN_ADMIN_KEY=ADMIN_KEY) as client:
        client.headers["Authorization"] = f"Bearer {ADMIN_KEY}"
        client.put("/api/documents/0/0.md", content="The zeroth document.", headers={"Prefer": "wait=20"})
        yield client


ADMIN_KEY = "the-admin-key-of-this-test"
EVERY_PHASE = "examples,coverage,fuzzing,stateful"


@pytest.mark.parametrize(
    ("phases", "examples"), [("coverage", 1), pytest.param(EVERY_PHASE, 150, marks=pytest.mark.slow)]
)
def test_no_request_breaks_the_server_or_its_schema(server: Server, tmp_path: Path, phases: str, examples: int) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.base_url}/openapi.json"),
        *("--max-examples", str(examples), "--phases", phases, "--continue-on-failure"),
        *("-H", f"Authorization: Bearer {ADMIN_KEY}"),
        *("--exclude-checks", ",".join(EXCLUDED), "--suppress-health-check", "all", "--seed", "1", "--no-color"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "22 selected / 22 total" in done.stdout
    assert server.get("/health").status_code == 200


def test_the_document_describes_every_route(server: Server) -> None:
    document = server.get("/openapi.json").json()
    search = document["paths"]["/api/search"]
    assert {parameter["name"] for parameter in search["get"]["parameters"]} >= {"q", "store", "stores", "stream"}
    schema = search["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/SearchRequest"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if path not in ("/", "/health/live"):
                answers = [answer["content"] for answer in operation["responses"].values()]
                texts = [content for content in answers if "application/json" not in content]
                assert len(texts) == (path == "/prometheus"), (method, path)
                described = [content["application/json"]["schema"] for content in answers if content not in texts]
                assert all("$ref" in schema for schema in described), (method, path)
            named = {parameter["name"] for parameter in operation.get("parameters", [])}
            assert named >= {part.strip("{}") for part in path.split("/") if part.startswith("{")}, (method, path)
    text = str(document)
    for name in document["components"]["schemas"]:
        assert f"#/components/schemas/{name}" in text or name in ("Text", "Retracted"), name


def test_every_route_is_in_a_group_and_what_it_needs_has_an_example(server: Server) -> None:
    document = server.get("/openapi.json").json()
    groups = [group["name"] for group in document["tags"]]
    schemas = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert len(operation["tags"]) == 1, (method, path)
            assert operation["tags"][0] in groups, (method, path)
            for parameter in operation.get("parameters", []):
                if parameter.get("required"):
                    assert parameter.get("example") or parameter["schema"].get("examples"), (path, parameter["name"])
    for name in ("SearchRequest", "StoreRequest", "KeyRequest"):
        needed = [schemas[name]["properties"][field] for field in schemas[name]["required"]]
        assert all(field["examples"] for field in needed), name
    assert SearchAnswer.model_validate(schemas["SearchAnswer"]["examples"][0]).grounded
    assert schemas["ErrorBody"]["examples"]
