"""What infra/terraform counts in log lines is what the functions log: each filter, tried on lines of their own."""

from __future__ import annotations

import logging
import re
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
from tests.terraform import MODULE, terraform_in

KEY_INVALID = {"status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}
SEVERITIES = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@pytest.fixture(scope="module")
def filters() -> dict[str, str]:
    """The filter of each metric."""
    with terraform_in(MODULE) as terraform:
        applied = terraform.applied(project="acme-search", function_source="./README.md")
    return {each.values["name"]: each.values["filter"] for each in applied if each.type == "google_logging_metric"}


@pytest_asyncio.fixture
async def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Runtime]:
    """A deployment on folders and the embedded emulator."""
    monkeypatch.setenv("ENVIRONMENT", "development")
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    runtime = await open_runtime(Settings())
    yield runtime
    await runtime.aclose()


def entry(record: logging.LogRecord) -> dict[str, str]:
    """What Cloud Logging makes of a line of the function ingest."""
    return {
        "resource.type": "cloud_run_revision",
        "resource.labels.service_name": "flamehaven-ingest",
        "severity": record.levelname,
        "jsonPayload.logger": record.name,
        "jsonPayload.message": record.getMessage(),
    }


def holds(filter_: str, fields: dict[str, str]) -> bool:
    """Whether a filter takes an entry: the part of the logging query language that the filters use."""
    for term in filter_.split(" AND "):
        found = re.fullmatch(r'([\w.]+)(=~|>=|=)(?:"(.*)"|(\w+))', term)
        assert found, f"{term} is in no form that this test knows"
        value, wanted = fields[found[1]], found[3] if found[3] is not None else found[4]
        if found[2] == "=~" and not re.search(wanted, value):
            return False
        if found[2] == "=" and value != wanted:
            return False
        if found[2] == ">=" and SEVERITIES.index(value) < SEVERITIES.index(wanted):
            return False
    return True


def counted(filters: dict[str, str], caplog: pytest.LogCaptureFixture) -> set[str]:
    """The metrics that count some line that was logged."""
    lines = [entry(record) for record in caplog.records]
    return {
        name.removeprefix("flamehaven/") for name, each in filters.items() if any(holds(each, line) for line in lines)
    }


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
