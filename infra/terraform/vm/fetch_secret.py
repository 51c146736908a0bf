"""Writes the newest version of a secret into a file: fetch_secret.py SECRET FILE. It runs in the server's image."""

import base64
import os
import sys
from pathlib import Path

import google.auth
from google.auth.transport.requests import AuthorizedSession

SECRETS = os.environ.get("SECRET_MANAGER_ENDPOINT", "https://secretmanager.googleapis.com")


def main(secret: str, place: Path) -> None:
    """Replace the file at once, so that nobody reads half of it; one that is right is left alone."""
    credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    answer = AuthorizedSession(credentials).get(f"{SECRETS}/v1/{secret}/versions/latest:access", timeout=20)
    answer.raise_for_status()
    found = base64.b64decode(answer.json()["payload"]["data"])
    if place.exists() and place.read_bytes() == found:
        return
    new = place.with_name(f".{place.name}.new")
    new.touch(mode=0o600)
    new.write_bytes(found)
    new.replace(place)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
