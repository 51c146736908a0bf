"""`flamehaven serve` and `flamehaven emulator`: the programs that run until they are stopped."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

_ALONE = Path("data/standalone-emulator")
"""Where the emulator keeps its data when it runs alone: not where a server's own index is (DATA_DIR/emulator)."""
NOT_STARTED = 3
"""The exit code of a server that cannot start: also uvicorn's and gunicorn's."""


def serve() -> None:
    """Start the server. All it needs to know is in the environment: see docs/settings.md."""
    from flamehaven import tracing, workers
    from shared.errors import ServiceError
    from shared.logs import configure_logging
    from shared.settings import settings

    try:
        found = settings()
        tracing.check()
    except ServiceError as error:
        typer.echo(f"flamehaven: {error.message}", err=True)
        raise typer.Exit(2) from None
    if problem := _data_dir_problem(found.data_dir):
        typer.echo(f"flamehaven: {problem}", err=True)
        raise typer.Exit(2)
    _check_address(found.host, found.port, "PORT")
    configure_logging(found)
    workers.serve(found)


def _check_address(host: str, port: int, option: str) -> None:
    """Make sure that a server can listen there, before it starts anything else. Raises Exit."""
    if problem := _address_problem(host, port, option):
        typer.echo(f"flamehaven: {problem}", err=True)
        raise typer.Exit(NOT_STARTED)


def _address_problem(host: str, port: int, option: str) -> str | None:
    """Why nothing can listen on an address, and what to do, or None where a server can; `option` sets the port."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"Cannot find the address {host!r} ({error.strerror}): choose another host."
    problems = [_problem_of(family, address) for family, _, _, _, address in addresses]
    if errno.EADDRINUSE in problems:
        return f"Port {port} on {host} is in use by another program: stop that one, or set another port with {option}."
    if None in problems:  # a name may have addresses that this machine lacks, such as one of IPv6
        return None
    return f"Cannot listen on port {port} of {host} ({os.strerror(problems[0] or 0)}): choose another address."


def _problem_of(family: int, address: tuple[Any, ...]) -> int | None:
    """The system's error number where nothing can listen on a socket's address."""
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        return error.errno
    return None


def _data_dir_problem(folder: Path) -> str | None:
    """Why the data folder cannot be used, with the command that mends it, or None where it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        owner = f"-o {os.getuid()} -g {os.getgid()}"
        return (
            f"DATA_DIR: got {str(folder)!r}, which user {os.getuid()} cannot write ({error.strerror}). Mend that with "
            f"`install -d {owner} FOLDER`; for a container, FOLDER is the one that is mounted."
        )
    return None


def emulator(
    port: Annotated[int, typer.Option(help="The port to listen on.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name, besides localhost, that clients reach it by; may be repeated.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help=f"The folder that keeps its stores and documents. [{_ALONE}; with --seed a new one]"),
    ] = None,
    seed: Annotated[
        Path | None, typer.Option(help="A file with the stores, documents and files to start from.")
    ] = None,
    faults: Annotated[Path | None, typer.Option(help="A file with rules for what shall go wrong.")] = None,
    indexing_delay: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds that every document stays PENDING at least.")
    ] = 0.0,
    storage_limit: Annotated[
        int, typer.Option(min=1, help="Bytes that all documents may have together.")
    ] = 1_000_000_000,
) -> None:
    """Start the Gemini File Search emulator alone.

    Any program that speaks to the Gemini API can use it.
    """
    from contextlib import ExitStack

    import uvicorn

    from file_search_emulator.app import create_app
    from file_search_emulator.database import OtherVersion
    from file_search_emulator.faults import RulesError, read_rules
    from file_search_emulator.local_only import LocalOnly
    from file_search_emulator.seed import SeedError
    from flamehaven.heads import LimitedHeads

    _check_address(host, port, "--port")
    with ExitStack() as stack:
        if data is None:
            data = Path(stack.enter_context(tempfile.TemporaryDirectory())) if seed else _ALONE
        app = create_app(data, indexing_delay=indexing_delay, storage_limit=storage_limit, seed=seed)
        try:
            if seed is not None:
                app.state.emulator.start_from_seed()
            if faults is not None:
                app.state.emulator.faults.set(read_rules(faults))
            app.state.emulator.open()
        except (SeedError, RulesError, OtherVersion) as error:
            typer.echo(f"flamehaven: {error}", err=True)
            raise typer.Exit(2) from None
        typer.echo(f"Gemini File Search emulator: GEMINI_BASE_URL=http://{host}:{port}")
        uvicorn.run(
            LocalOnly(app, {host, *(allow_host or ())}),
            host=host,
            port=port,
            http=LimitedHeads,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=10,
        )
