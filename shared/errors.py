"""Errors that reach a caller, in one shape.

    {"error": CODE, "message": "...", "status_code": 404, "details": {...}, "request_id": "...", "timestamp": "..."}

`error` is stable and safe to branch on; `message` says what to do next; `details` is only there when it adds something.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

STATUS_OF_CODE = {
    "BAD_REQUEST": 400,
    "EMPTY_FILE": 400,
    "EMPTY_SEARCH_QUERY": 400,
    "INVALID_EVENT": 400,
    "INVALID_FILENAME": 400,
    "INVALID_METADATA": 400,
    "INVALID_METADATA_FILTER": 400,
    "TOO_MANY_STORES": 400,
    "UNSUPPORTED_FILE_TYPE": 400,
    "UPLOAD_REFUSED": 400,
    "INVALID_API_KEY": 401,
    "PERMISSION_DENIED": 403,
    "FILE_NOT_FOUND": 404,
    "RESOURCE_NOT_FOUND": 404,
    "STORE_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "REQUEST_TIMEOUT": 408,
    "RESOURCE_CONFLICT": 409,
    "STORE_NOT_READY": 409,
    "FILE_SIZE_EXCEEDED": 413,
    "STORE_QUOTA_EXCEEDED": 413,
    "UNSUPPORTED_ENCODING": 415,
    "VALIDATION_ERROR": 422,
    "BUDGET_EXCEEDED": 429,
    "HEADERS_TOO_LARGE": 431,
    "RATE_LIMIT_EXCEEDED": 429,
    "CONFIGURATION_ERROR": 500,
    "INTERNAL_ERROR": 500,
    "EXTERNAL_API_ERROR": 502,
    "SERVICE_UNAVAILABLE": 503,
    "SEARCH_TIMEOUT": 504,
}


class ServiceError(Exception):
    """What went wrong with a request, in words for its sender."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = STATUS_OF_CODE[code]
        self.message = message
        self.details = details
        self.headers = headers or {}

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON body that every route answers with for this error."""
        body = {
            "error": self.code,
            "message": self.message,
            "status_code": self.status,
            "request_id": request_id,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        return {**body, "details": self.details} if self.details else body
