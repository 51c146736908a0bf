"""What infra/terraform counts in log lines is what the functions log: each filter, tried on lines of their own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from google.genai import errors
from starlette.requests import Request

from functions.ingest.reconcile import Outcome
from functions.ingest.sweep import Seen, see_to_all
from functions.ingest.worker import settle
from shared.errors import ServiceError
from shared.gemini.failures import classify
from shared.http import error_response
from shared.runtime import Runtime, open_runtime
from shared.settings import Settings
from tests.log_filters import counts, entry
from tests.terraform import MODULE, SMALLEST, terraform_in

KEY_INVALID = {"status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}


@pytest.fixture(scope="module")
def filters() -> dict[str, str]:
    """The filter of each metric."""
    with terraform_in(MODULE) as terraform:
        applied = terraform.applied(**SMALLEST)
    return {each.values["name"]: each.values["filter"] for each in applied if each.type == "google_logging_metric"}


@pytest_asyncio.fixture
async def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    """A deployment on folders and the embedded emulator."""
    monkeypatch.setenv("ENVIRONMENT", "development")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    runtime = await open_runtime(Settings())
    yield runtime
    await runtime.aclose()


def counted(filters: dict[str, str], caplog: pytest.LogCaptureFixture) -> set[str]:
    """The metrics that count some line that was logged."""
    lines = [
        {"severity": record.levelname, "logger": record.name, "message": record.getMessage()}
        for record in caplog.records
    ]
    return set(counts(filters, [entry("flamehaven-ingest", line) for line in lines]))


@pytest.mark.parametrize(
    ("error", "metrics"),
    [
        (classify(errors.ClientError(429, {"error": {"message": "Quota exceeded"}})), {"errors", "rate-limits"}),
        (classify(errors.ClientError(400, {"error": KEY_INVALID})), {"errors", "environment-failures"}),
        (classify(errors.ServerError(503, {"error": {}})), {"errors"}),
        (ZeroDivisionError(), {"errors"}),
        (ServiceError("RESOURCE_NOT_FOUND", "There is no store 'x'."), set()),
    ],
)
def test_what_a_function_answers_is_counted(
    error: Exception, metrics: set[str], filters: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    error_response(Request({"type": "http"}), error)
    assert counted(filters, caplog) == metrics


@pytest.mark.parametrize(
    ("content", "outcome", "metrics"),
    [(b"Parental leave is 16 weeks.", Outcome.INDEXED, set()), (b"", Outcome.FAILED, {"ingest-failures"})],
)
async def test_a_document_that_cannot_be_indexed_is_counted(
    content: bytes,
    outcome: Outcome,
    metrics: set[str],
    runtime: Runtime,
    filters: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    await runtime.documents.put("hr/leave: failed.md", content)
    assert await settle(runtime, "hr/leave: failed.md") is outcome
    assert counted(filters, caplog) == metrics


async def test_a_sweep_s_rate_is_counted_too(filters: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    async def refused(name: str, seen: Seen) -> str:
        raise classify(errors.ClientError(429, {"error": {"message": "Quota exceeded"}}))

    await see_to_all(refused, {"hr/leave.md": Seen()})
    assert counted(filters, caplog) == {"rate-limits"}
