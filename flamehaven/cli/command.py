"""What the commands share: their common options, a client to work with, and how failures are told."""

from __future__ import annotations

import asyncio
import functools
import os
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, ParamSpec, TypeVar

import typer
from typer.core import TyperGroup

from flamehaven.cli.output import complain

if TYPE_CHECKING:
    from flamehaven.client import Client

P = ParamSpec("P")
T = TypeVar("T")

Url = Annotated[
    str, typer.Option("--url", envvar="FLAMEHAVEN_URL", show_default=False, help="A server; without, this machine.")
]
Key = Annotated[
    str,
    typer.Option(
        "--key", envvar="FLAMEHAVEN_API_KEY", show_default=False, help="The server's key, or the path of its file."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


class ListByDefault(TyperGroup):
    """A group of commands of which `list` is meant where none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # a shell asks what can follow: every command of the group
            return super().parse_args(ctx, args)
        named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["list", *args])


def command(function: Callable[P, T]) -> Callable[P, T]:
    """Turn what a command raises into one line on standard error and an exit code: 2 for wrong settings, else 1."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (typer.Exit, typer.BadParameter, BrokenPipeError):
            raise
        except typer.Abort:  # Ctrl-C at a question
            raise typer.Exit(130) from None
        except Exception as error:
            _explain(error)

    return run


def with_client(url: str, key: str, work: Callable[[Client], Awaitable[T]], *, makes: bool = False) -> T:
    """What `work` returns when it is given a client of the server at `url`, or of this machine's.

    Only a command that `makes` something may make a data folder where there is none.
    """
    from flamehaven.client import connect

    async def run() -> T:
        async with connect(url, key, makes=makes) as client:
            client.on_wait = complain
            return await work(client)

    return asyncio.run(run())


def _explain(error: Exception) -> NoReturn:
    from flamehaven.client import RequestFailed, WrongSettings
    from shared.errors import ServiceError
    from shared.failures import DependencyFailure

    if isinstance(error, WrongSettings | ServiceError):
        complain(str(error))
        raise typer.Exit(2) from None
    if isinstance(error, UnicodeEncodeError):
        complain("An argument is not valid UTF-8.")
        raise typer.Exit(2) from None
    if isinstance(error, RequestFailed):
        complain(told(str(error), error.code, error.request_id))
    elif isinstance(error, DependencyFailure):
        complain(str(error))
    else:
        complain(f"This should not happen: {type(error).__name__}: {error}. LOG_LEVEL=debug shows where it did.")
        if os.environ.get("LOG_LEVEL", "").lower() == "debug":
            traceback.print_exception(error)
    raise typer.Exit(1) from None


def told(message: str, code: str, request_id: str | None) -> str:
    """A failure in one line."""
    return f"{message} ({code}, request {request_id})" if request_id else f"{message} ({code})"
