"""The `flamehaven` command. Each command imports what it needs only when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Flamehaven FileSearch.")


@app.command()
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


@app.command()
def emulator(
    port: Annotated[int, typer.Option(help="The port to listen on.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    data: Annotated[Path, typer.Option(help="The folder that keeps its stores and documents.")] = Path("data/emulator"),
) -> None:
    """Start the Gemini File Search emulator alone, for any program that speaks to the Gemini API."""
    import uvicorn

    from file_search_emulator.app import create_app

    typer.echo(f"Gemini File Search emulator: GEMINI_BASE_URL=http://{host}:{port}")
    uvicorn.run(create_app(data), host=host, port=port, log_level="warning", server_header=False)


def main() -> None:
    """Run the `flamehaven` command."""
    app()


def serve_main() -> None:
    """Run the `flamehaven-api` command: `flamehaven serve` under the original's name."""
    sys.argv[1:1] = ["serve"]
    app(prog_name="flamehaven-api")


if __name__ == "__main__":
    main()
