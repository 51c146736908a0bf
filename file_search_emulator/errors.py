"""Refusals in the API's own terms."""

from __future__ import annotations


class ApiError(Exception):
    """A request that is refused: an HTTP code, a google.rpc status and a sentence for its sender."""

    def __init__(self, code: int, status: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message

    def body(self) -> dict[str, object]:
        """The answer's JSON, in the shape of google.rpc.Status as the API sends it."""
        return {"error": {"code": self.code, "message": self.message, "status": self.status}}


def invalid_argument(message: str) -> ApiError:
    """The request itself is wrong, and will be wrong again."""
    return ApiError(400, "INVALID_ARGUMENT", message)


def failed_precondition(message: str) -> ApiError:
    """The request is sound, but not in the state that things are in."""
    return ApiError(400, "FAILED_PRECONDITION", message)


def store_denied(name: str) -> ApiError:
    """A store that does not exist: the API does not tell that from one that is someone else's."""
    return ApiError(
        403,
        "PERMISSION_DENIED",
        f"You do not have permission to access the FileSearchStore {name} or it may not exist.",
    )


def media_denied(name: str) -> ApiError:
    """Bytes that are not a picture's, or are not there."""
    return ApiError(
        403, "PERMISSION_DENIED", f"You do not have permission to access the media {name[:200]} or it may not exist."
    )


def not_found(message: str) -> ApiError:
    """Nothing of that name in a store that exists."""
    return ApiError(404, "NOT_FOUND", message)
