"""`flamehaven serve` and `flamehaven emulator`: the programs that run until they are stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve() -> None:
    """Start the server. All it needs to know is in the environment: see docs/settings.md."""
    import uvicorn

    from shared.errors import ServiceError
    from shared.logs import configure_logging
    from shared.settings import settings

    try:
        found = settings()
    except ServiceError as error:
        typer.echo(f"flamehaven: {error.message}", err=True)
        raise typer.Exit(2) from None
    try:
        found.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"DATA_DIR: got {str(found.data_dir)!r}; it takes a folder that can be written ({error.strerror})."
        typer.echo(f"flamehaven: {problem}", err=True)
        raise typer.Exit(2) from None
    configure_logging(found)
    uvicorn.run(
        "flamehaven.app:create_app",
        factory=True,
        host=found.host,
        port=found.port,
        workers=found.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def emulator(
    port: Annotated[int, typer.Option(help="The port to listen on.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    data: Annotated[Path, typer.Option(help="The folder that keeps its stores and documents.")] = Path("data/emulator"),
) -> None:
    """Start the Gemini File Search emulator alone.

    Any program that speaks to the Gemini API can use it.
    """
    import uvicorn

    from file_search_emulator.app import create_app

    typer.echo(f"Gemini File Search emulator: GEMINI_BASE_URL=http://{host}:{port}")
    uvicorn.run(create_app(data), host=host, port=port, log_level="warning", server_header=False)
