"""The locks under requirements/ say what pyproject.toml says, by hash, and nothing about where packages come from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def pinned(extra: str | None = None) -> dict[str, str]:
    """What pyproject.toml asks for, by name, with the version it pins: the base and, where given, one extra."""
    found: dict[str, str] = {}
    for text in PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            found |= {name: version for other in requirement.extras for name, version in pinned(other).items()}
        else:
            found[canonicalize_name(requirement.name)] = str(requirement.specifier)
    return found | pinned() if extra else found


def requirements(lock: str) -> list[tuple[Requirement, list[str]]]:
    """Each requirement of a lock, with the options that follow it; a line that is no requirement is an error."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "requirements" / f"{lock}.txt").read_text(), flags=re.MULTILINE)
    entries = [line.split() for line in text.replace("\\\n", " ").splitlines()]
    split = [next((i for i, word in enumerate(words) if word.startswith("--")), len(words)) for words in entries]
    return [(Requirement(" ".join(words[:at])), words[at:]) for words, at in zip(entries, split, strict=True)]


def locked(lock: str) -> dict[str, str]:
    return {canonicalize_name(requirement.name): str(requirement.specifier) for requirement, _ in requirements(lock)}


LOCKS = ("functions", "container", "rotation", "tracing", "dev", "build")


def test_there_is_one_lock_for_each_extra() -> None:
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == set(LOCKS)
    assert set(LOCKS) == {*PROJECT["optional-dependencies"], "build"}


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_a_lock_has_what_its_extra_pins(extra: str) -> None:
    wanted = pinned(extra)
    assert all(re.fullmatch(r"==[\w.]+", version) for version in wanted.values()), "pin each dependency with =="
    assert wanted.items() <= locked(extra).items(), "pyproject.toml has changed: run scripts/lock"


def test_the_build_lock_has_what_the_build_needs() -> None:
    wanted = {
        requirement.name: str(requirement.specifier)
        for requirement in map(Requirement, PYPROJECT["build-system"]["requires"])
    }
    assert wanted.items() <= locked("build").items()


def test_every_environment_runs_the_same_versions() -> None:
    assert locked("functions").items() <= locked("container").items() <= locked("dev").items()
    assert {name: version for name, version in locked("build").items() if name in locked("dev")}.items() <= locked(
        "dev"
    ).items()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_place(lock: str) -> None:
    for requirement, options in requirements(lock):
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert options, f"{requirement} has no hash"
        assert all(HASH.fullmatch(option) for option in options), options
    assert not re.search(r"://|file:|@ ", (ROOT / "requirements" / f"{lock}.txt").read_text())
