"""Names the images of compose.yaml and Dockerfile by digest, or renews their digests: `python3 scripts/pin_images.py`.

A tag can be moved to another image; a digest is that of one. It asks the registries through `docker buildx imagetools`,
and needs to reach them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("compose.yaml", "Dockerfile")
IMAGE = re.compile(
    r"(?P<before>^(?:FROM|\s*image:) )(?P<image>[\w./-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?", re.MULTILINE
)
OWN = "flamehaven-filesearch:"


def digest_of(image: str) -> str:
    """The digest of an image's manifest for all its platforms. Raises SystemExit where docker cannot tell it."""
    command = ("docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}")
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)  # noqa: S603 - images are those of our own files
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(f"{image}: docker cannot tell its digest. {getattr(error, 'stderr', '') or error}".strip())
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest := ran.stdout.strip()):
        sys.exit(f"{image}: docker says {digest!r}, which is no digest.")
    return digest


def pin(text: str) -> str:
    """The text with the digest of today behind each image but our own."""
    digests = {found["image"]: "" for found in IMAGE.finditer(text) if not found["image"].startswith(OWN)}
    digests = {image: f"@{digest_of(image)}" for image in digests}
    return IMAGE.sub(lambda found: f"{found['before']}{found['image']}{digests.get(found['image'], '')}", text)


if __name__ == "__main__":
    pinned = {ROOT / name: pin((ROOT / name).read_text()) for name in FILES}
    for path, text in pinned.items():
        path.write_text(text)
