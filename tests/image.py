"""The container image, built and run for real by buildah and podman, which need no daemon."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from tests.servers import ROOT, Server, free_port

BASE = "docker.io/library/python:3.12-slim"
IMAGE = "localhost/flamehaven-filesearch:test"
STORAGE = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
PODMAN = ("podman", "--runtime", "runc", "--cgroup-manager=cgroupfs")
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--security-opt", "no-new-privileges")
LIMITS = ("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096")  # inside a sandbox none may be raised
USERLAND = [
    "base-files",
    "base-passwd",
    "bash",
    "ca-certificates",
    "coreutils",
    "dash",
    "debianutils",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libacl1",
    "libattr1",
    "libaudit1",
    "libblkid1",
    "libbz2-1.0",
    "libc-bin",
    "libc6",
    "libcap-ng0",
    "libcrypt1",
    "libdb5.3",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "libgdbm6",
    "libgmp10",
    "liblzma5",
    "libmd0",
    "libmount1",
    "libncursesw6",
    "libpam-modules",
    "libpam-runtime",
    "libpam0g",
    "libpcre2-8-0",
    "libreadline8",
    "libselinux1",
    "libsemanage2",
    "libsepol2",
    "libsmartcols1",
    "libsqlite3-0",
    "libssl3",
    "libstdc++6",
    "libsystemd0",
    "libtinfo6",
    "libudev1",
    "libuuid1",
    "libzstd1",
    "login",
    "mawk",
    "openssl",
    "passwd",
    "perl-base",
    "sed",
    "tar",
    "tzdata",
    "util-linux",
    "zlib1g",
]
"""The Debian packages of this machine that a stand-in for the base image is made of where no registry answers."""


def run(*command: str, seconds: float = 600, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output is in what comes back, and in the failure of one that fails."""
    done = subprocess.run(
        command, env={**os.environ, **STORAGE, **more}, cwd=ROOT, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def build(folder: Path) -> None:
    """Build the image from the Dockerfile; skips, loudly, where the tools are missing."""
    missing = [tool for tool in ("buildah", "podman", "runc") if shutil.which(tool) is None]
    if missing or os.getuid() != 0 or platform.system() != "Linux":
        pytest.skip(f"NOT CHECKED: the image; this takes root and {', '.join(missing) or 'Linux'}")
    pulling = ("timeout", "300", "buildah", "pull", "--retry", "1", BASE)
    if subprocess.run(pulling, env={**os.environ, **STORAGE}, capture_output=True).returncode:
        make_base(folder / "base")
    mounted = [path for path in ("/etc/pip.conf", "/etc/ssl/certs") if Path(path).exists()]
    volumes = [word for path in mounted for word in ("-v", f"{path}:{path}:ro")]
    options = ("--layers", "--pull-never", "--format", "docker", "--network", "host", *volumes)
    run("buildah", "bud", *options, "-t", IMAGE, ".", seconds=900)


def make_base(root: Path) -> None:
    """Make a stand-in for the base image of this machine's Debian and the Python that runs the tests.

    It tries our Dockerfile, and not the image that is published under that name.
    """
    root.mkdir()
    listed = run("dpkg", "-L", *USERLAND).stdout.splitlines()
    unwanted = tuple(f"/usr/share/{name}" for name in ("doc", "man", "locale", "info", "lintian"))
    files = {Path(line) for line in listed if line.startswith("/") and not line.startswith(unwanted)}
    moved = {Path("/usr", *file.parts[1:]) if file.parts[1:2] in MERGED else file for file in files}
    kept = sorted(str(file)[1:] for file in moved if file.is_symlink() or file.is_file())
    kept += [*("bin", "sbin", "lib", "lib64"), "etc/ssl/certs", "etc/ca-certificates.conf", "etc/nsswitch.conf"]
    names = root.parent / "files"
    names.write_text("\n".join(name for name in kept if os.path.lexists(f"/{name}")))
    run("sh", "-c", f"tar -C / -cf - --files-from={names} | tar -C {root} -xf -")
    shutil.copytree(sys.base_prefix, root / "usr/local", symlinks=True, dirs_exist_ok=True, ignore=NOT_NEEDED)
    for name in ("proc", "sys", "dev", "tmp", "run", "root", "home", "var/tmp", "var/lib"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("passwd", "group"):
        shutil.copy(f"/usr/share/base-passwd/{name}.master", root / "etc" / name)
    run("chroot", str(root), "/sbin/ldconfig")
    container = run("buildah", "from", "scratch").stdout.strip()
    run("buildah", "add", "-q", container, str(root), "/")
    path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    run("buildah", "config", "--env", f"PATH={path}", "--env", "LANG=C.UTF-8", container)
    run("buildah", "commit", "-q", "--rm", container, BASE)


MERGED = (("bin",), ("sbin",), ("lib",), ("lib64",))
NOT_NEEDED = shutil.ignore_patterns("__pycache__", "test", "tests", "*.a", "man")


@contextmanager
def running(
    data: Path, settings: Mapping[str, str], options: Sequence[str] = (), command: Sequence[str] = ()
) -> Iterator[Server]:
    """The image as docs/deploy-container.md has it run, hardened, with `data` mounted; `command` is another program."""
    port = int(settings.get("PORT", 0)) or free_port()
    base = f"http://127.0.0.1:{port}"
    words = [word for name, value in {"PORT": str(port), **settings}.items() for word in ("-e", f"{name}={value}")]
    name = f"flamehaven-test-{port}"
    podman = (*PODMAN, "run", "--rm", "--name", name, "--no-healthcheck", "--network", "host", *HARDENED, *LIMITS)
    log = data.parent / "container.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            (*podman, "-v", f"{data}:/app/data", *options, *words, IMAGE, *command),
            env={**os.environ, **STORAGE},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        with Server(process, base_url=base, timeout=30) as client:
            wait(client, process, log)
            yield client
    finally:
        run(*PODMAN, "stop", "-t", "20", "--ignore", name)
        process.wait(30)


def wait(client: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server in the container answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx2.TransportError):
            client.get("/health/live")
            return
        time.sleep(0.2)
    raise AssertionError(f"The container did not start:\n{log.read_text()[-3000:]}")
