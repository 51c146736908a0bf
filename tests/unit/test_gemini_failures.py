"""Every exception that google-genai has been seen to raise is one of the three kinds of failure."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from google.genai import errors

from shared.failures import DependencyFailure, Misconfigured, Permanent, Throttled, Transient
from shared.gemini.failures import classify, key_refused, not_there, unreadable


def answer(
    code: int, status: str = "", message: str = "", details: list[dict[str, Any]] | None = None
) -> errors.APIError:
    body = {"error": {"code": code, "status": status, "message": message, "details": details or []}}
    return (errors.ClientError if code < 500 else errors.ServerError)(code, body)


KEY_INVALID = answer(
    400, "INVALID_ARGUMENT", "API key not valid.", [{"@type": "google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answer(429, "RESOURCE_EXHAUSTED", "Quota exceeded"), Throttled),
        (answer(429, "RESOURCE_EXHAUSTED", "Corpus has reached the storage limit of 1000000000 bytes."), Misconfigured),
        (answer(408), Transient),
        (answer(500, "INTERNAL"), Transient),
        (answer(503, "UNAVAILABLE", ""), Transient),
        (KEY_INVALID, Misconfigured),
        (answer(401, "UNAUTHENTICATED"), Misconfigured),
        (answer(403, "PERMISSION_DENIED", "You do not have permission"), Misconfigured),
        (answer(404, "NOT_FOUND", "models/x is not found"), Misconfigured),
        (answer(400, "FAILED_PRECONDITION", "User location is not supported"), Misconfigured),
        (answer(400, "INVALID_ARGUMENT", "The file is broken"), Permanent),
        (answer(413), Permanent),
        (TimeoutError(), Transient),
        (httpx2.ReadTimeout("slow"), Transient),
        (httpx2.ConnectError("refused"), Transient),
        (httpx2.RemoteProtocolError("cut"), Transient),
        (ValueError("Failed to upload file: Upload status is not finalized."), Transient),
        (ValueError("Unknown mime type: Could not determine the mimetype for your file"), Permanent),
        (KeyError("Failed to upload file. Upload URL was not returned"), Transient),
        (json.JSONDecodeError("no", "<html>", 0), Transient),
        (UnicodeEncodeError("ascii", "é", 0, 1, "no"), Permanent),
        (RuntimeError("Cannot send a request, as the client has been closed."), Transient),
        (FileNotFoundError("gone"), Transient),
    ],
)
def test_each_error_has_its_kind(error: Exception, kind: type[DependencyFailure]) -> None:
    assert type(classify(error)) is kind


def test_what_is_classified_stays_as_it_is() -> None:
    failure = Transient("busy")
    assert classify(failure) is failure


def test_the_delay_that_google_asks_for_is_kept() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12.5s"}]
    failure = classify(answer(429, "RESOURCE_EXHAUSTED", "slow down", details))
    assert isinstance(failure, Transient)
    assert failure.retry_after == 12.5


def test_a_refused_key_is_told_from_a_bad_request() -> None:
    assert key_refused(KEY_INVALID)
    assert not key_refused(answer(400, "INVALID_ARGUMENT", "The filter is wrong"))


def test_what_is_not_there_is_told_from_what_is_forbidden() -> None:
    assert not_there(answer(404, "NOT_FOUND"))
    assert not_there(answer(403, "PERMISSION_DENIED", "... or it may not exist"))
    assert not_there(answer(400, "INVALID_ARGUMENT", "Documents does not exist"))
    assert not not_there(answer(403, "PERMISSION_DENIED", "Billing is off"))
    assert not not_there(httpx2.ReadTimeout("slow"))


def test_files_that_gemini_stumbles_over_are_recognised() -> None:
    assert unreadable(answer(400, "INVALID_ARGUMENT", "Failed to count tokens."))
    assert unreadable(answer(400, "INVALID_ARGUMENT", "Upload has already been terminated."))
    assert not unreadable(answer(400, "INVALID_ARGUMENT", "other"))
