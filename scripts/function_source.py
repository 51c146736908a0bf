"""Writes the zips that functions are deployed from: `python3 scripts/function_source.py [FOLDER]`, by default dist/.

Each holds functions/, shared/ and hashed requirements, and nothing else: `functions.zip` those of ingest, sweep, search
and health, `rotation.zip` those of rotate. The same sources give the same bytes on
every machine, so that Terraform deploys only what has changed: names are sorted, times fixed, and nothing compressed,
which zlib does differently from version to version.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ZIPS = ("functions", "rotation")
"""Each is called after its requirements."""
PACKAGES = ("functions", "shared")
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can name."""


def sources(requirements: str, root: Path) -> dict[str, Path]:
    """What goes into a zip below `root`: each file by its name there."""
    found = {str(path.relative_to(root)): path for package in PACKAGES for path in (root / package).rglob("*.py")}
    return {"requirements.txt": root / "requirements" / f"{requirements}.txt", **found}


def write(requirements: str, folder: Path, root: Path = ROOT) -> Path:
    """Write a zip into a folder; its place."""
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{requirements}.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as archive:
        for name, path in sorted(sources(requirements, root).items()):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3  # Unix, wherever this runs
            archive.writestr(entry, path.read_bytes())
    return place


if __name__ == "__main__":
    for zipped in ZIPS:
        written = write(zipped, Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist")
        print(f"{written}: {written.stat().st_size:,} bytes")
