"""What each exception of google-genai means for us.

Sources: google-genai 3.4.0's `errors`, `_api_client` and `_extra_utils`; the Gemini API's error codes;
google.rpc.RetryInfo.
"""

from __future__ import annotations

import re
from typing import Any

import httpx2
from google.genai import errors

from shared.failures import DependencyFailure, Misconfigured, Permanent, Throttled, Transient

KEY_REFUSED = "API_KEY_INVALID"
UNREADABLE = ("Failed to count tokens", "Upload has already been terminated")
"""Answers that Gemini gives now and then for small, sound files: worth one more try, then it is the file."""


def classify(error: Exception) -> DependencyFailure:
    """The kind of failure that an exception from a Gemini call is; one classified already comes back unchanged."""
    if isinstance(error, DependencyFailure):
        return error
    if isinstance(error, errors.APIError):
        return _classify_answer(error)
    if isinstance(error, (TimeoutError, httpx2.TimeoutException)):
        return Transient("Gemini did not answer in time.")
    if isinstance(error, httpx2.TransportError):
        return Transient(f"The connection to Gemini failed ({type(error).__name__}).")
    if isinstance(error, UnicodeEncodeError) or _unknown_type(error):
        return Permanent("UNSUPPORTED_FILE_TYPE", "Gemini's client does not know the type of this file.")
    return Transient(f"Gemini answered something unexpected ({type(error).__name__}).")


def key_refused(error: Exception) -> bool:
    """Whether Gemini refused the API key itself: it answers 400 for that, not 401."""
    return isinstance(error, errors.APIError) and (error.code == 401 or KEY_REFUSED in _everything(error))


def not_there(error: Exception) -> bool:
    """Whether the error says that the named resource does not exist, or not for this key."""
    if not isinstance(error, errors.APIError):
        return False
    return error.code == 404 or (error.code in (400, 403) and "not exist" in _everything(error))


def unreadable(error: Exception) -> bool:
    """Whether Gemini stumbled over the file in a way that a second try sometimes mends."""
    return isinstance(error, errors.APIError) and any(text in _everything(error) for text in UNREADABLE)


def _classify_answer(error: errors.APIError) -> DependencyFailure:
    code, said = error.code, _everything(error)
    if key_refused(error):
        return Misconfigured("Gemini refuses the API key: set GEMINI_API_KEY to a valid one.")
    if code == 429 and "storage limit" in said:
        return Misconfigured("The Gemini project's File Search storage is full.")
    if code == 429:
        return Throttled("Gemini takes no more at this rate (429).", retry_after=_retry_delay(error.details))
    if code == 408 or code >= 500:
        return Transient(f"Gemini is busy or failing ({code}).", retry_after=_retry_delay(error.details))
    if code in (401, 403, 404):
        return Misconfigured(f"Gemini refuses access or does not know what was asked for ({code} {error.status}).")
    if code == 413:
        return Permanent("FILE_SIZE_EXCEEDED", "Gemini finds this file too large.")
    if code == 400 and error.status == "FAILED_PRECONDITION":
        return Misconfigured(f"Gemini cannot do this now ({_message(error)}).")
    if code == 400:
        return Permanent("REFUSED_BY_GEMINI", f"Gemini refused this: {_message(error)}")
    return Transient(f"Gemini answered {code}.")


def _message(error: errors.APIError) -> str:
    return (error.message or error.status or "no reason given")[:300]


def _everything(error: errors.APIError) -> str:
    return f"{error.status} {error.message} {error.details}"


def _retry_delay(details: Any) -> float | None:
    """Seconds that google.rpc.RetryInfo asks to wait; it writes them as "12.5s"."""
    match = re.search(r"'retryDelay': '([0-9.]+)s'", str(details))
    return float(match[1]) if match else None


def _unknown_type(error: Exception) -> bool:
    return isinstance(error, ValueError) and "mime" in str(error).lower()
