"""Log lines: one JSON object each on standard output, or plain text in development."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import TYPE_CHECKING

from shared.traces import current

if TYPE_CHECKING:
    from shared.settings import Settings

SERVICE = "flamehaven-filesearch"
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being served, for every line that its work logs."""


def product_version() -> str:
    """The version that is running; `unknown` where only the sources are there, as in a deployed function."""
    try:
        return version(SERVICE)
    except PackageNotFoundError:
        return "unknown"


def configure_logging(settings: Settings) -> None:
    """Send every logger's lines to standard output in this product's form."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_add_request_id)
    handler.addFilter(partial(_add_trace, settings.google_cloud_project))
    if settings.environment == "development":
        handler.setFormatter(_PlainFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    else:
        handler.setFormatter(_json_formatter(settings))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for chatty in ("httpx2", "httpcore2", "google_genai", "watchfiles", "pdfminer"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.root.level))
    _enable_every_logger()
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught


def _enable_every_logger() -> None:
    """Enable the loggers that functions_framework.aio disabled.

    With LOG_EXECUTION_ID=true, which Cloud Functions sets, it calls logging.config.dictConfig after it has imported
    the function. That disables every logger that exists by then, and so silences them.
    """
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.disabled = False


class _PlainFormatter(logging.Formatter):
    """One line for each message, whatever names of files are in it, followed by who sent the request."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        sender = [said for name in ("caller", "address") if (said := getattr(record, name, None))]
        line = super().formatMessage(record)
        return (f"{line} ({', '.join(sender)})" if sender else line).translate(_ESCAPES)


_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        logging.getLogger(__name__).critical("The process ends", exc_info=(kind, error, traceback))
    else:
        sys.__excepthook__(kind, error, traceback)


def _add_request_id(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    record.severity = record.levelname  # Cloud Logging's name for it
    return True


def _add_trace(project: str, record: logging.LogRecord) -> bool:
    """Name the trace, where there is a project as Cloud Logging wants it ("Structured logging", special fields)."""
    if trace := current():
        if project:
            record.__dict__["logging.googleapis.com/trace"] = f"projects/{project}/traces/{trace.trace_id}"
            record.__dict__["logging.googleapis.com/spanId"] = trace.span_id or ""
            record.__dict__["logging.googleapis.com/trace_sampled"] = trace.sampled
        else:
            record.trace_id, record.span_id = trace.trace_id, trace.span_id
    return True


def _json_formatter(settings: Settings) -> logging.Formatter:
    from pythonjsonlogger.json import JsonFormatter

    return JsonFormatter(
        "%(timestamp)s %(levelname)s %(severity)s %(name)s %(message)s %(request_id)s",
        rename_fields={"levelname": "level", "name": "logger"},
        static_fields={
            "service": SERVICE,
            "version": product_version(),
            "environment": settings.environment,
        },
        timestamp=True,
    )
