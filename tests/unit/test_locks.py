"""The locks under requirements/ pin, by hash, what pyproject.toml asks for, and name no package index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
LOCKS = ("functions", "container", "rotation", "tracing", "dev", "build", "installer")


def asked_for(extra: str | None = None) -> list[Requirement]:
    """The dependencies in pyproject.toml: those of the base and, where given, of one extra."""
    found: list[Requirement] = []
    for text in PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            found += [each for other in sorted(requirement.extras) for each in asked_for(other)]
        else:
            found.append(requirement)
    return found + asked_for() if extra else found


def requirements(lock: str) -> list[tuple[Requirement, list[str]]]:
    """Each requirement of a lock, with the options that follow it. A line that is no requirement is an error."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "requirements" / f"{lock}.txt").read_text(), flags=re.MULTILINE)
    entries = [line.split() for line in text.replace("\\\n", " ").splitlines()]
    split = [next((i for i, word in enumerate(words) if word.startswith("--")), len(words)) for words in entries]
    return [(Requirement(" ".join(words[:at])), words[at:]) for words, at in zip(entries, split, strict=True)]


def locked(lock: str) -> dict[str, str]:
    return {canonicalize_name(requirement.name): str(requirement.specifier) for requirement, _ in requirements(lock)}


def test_there_is_one_lock_for_each_extra() -> None:
    assert {path.stem for path in (ROOT / "requirements").glob("*.txt")} == set(LOCKS)
    assert set(LOCKS) == {*PROJECT["optional-dependencies"], "build", "installer"}


@pytest.mark.parametrize("extra", [None, *PROJECT["optional-dependencies"]])
def test_dependencies_are_ranges_that_other_projects_can_meet(extra: str | None) -> None:
    for requirement in asked_for(extra):
        assert sorted(each.operator for each in requirement.specifier) == ["<", ">="], requirement
        (upper,) = (each.version for each in requirement.specifier if each.operator == "<")
        assert re.fullmatch(r"\d+", upper), f"{requirement}: the upper bound is the next major version"


@pytest.mark.parametrize("extra", PROJECT["optional-dependencies"])
def test_a_lock_has_what_its_extra_asks_for(extra: str) -> None:
    pinned = locked(extra)
    environment = {**default_environment(), "platform_machine": "x86_64", "python_version": "3.11"}
    for requirement in asked_for(extra):
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        version = pinned.get(canonicalize_name(requirement.name), "").removeprefix("==")
        assert version, f"{requirement} is not locked: run scripts/lock"
        assert version in requirement.specifier, f"{requirement} is locked as {version}: run scripts/lock"


def test_the_build_lock_has_what_the_build_needs() -> None:
    for requirement in map(Requirement, PYPROJECT["build-system"]["requires"]):
        assert locked("build")[requirement.name].removeprefix("==") in requirement.specifier


def test_every_environment_runs_the_same_versions() -> None:
    everything = locked("dev")
    assert locked("functions").items() <= locked("container").items() <= everything.items()
    for lock in ("rotation", "tracing", "installer"):
        assert locked(lock).items() <= everything.items(), lock
    assert all(everything.get(name, version) == version for name, version in locked("build").items())


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_place(lock: str) -> None:
    for requirement, options in requirements(lock):
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert options, f"{requirement} has no hash"
        assert all(HASH.fullmatch(option) for option in options), options
    assert not re.search(r"://|file:|@ ", (ROOT / "requirements" / f"{lock}.txt").read_text())


@pytest.mark.parametrize("lock", LOCKS)
def test_a_package_with_extras_is_also_pinned_without_them_and_with_each(lock: str) -> None:
    """Else pip before 23.3 looks for the newest version of the other spelling, and fails for want of its hash."""
    entries = [
        (requirement.name, frozenset(requirement.extras), tuple(options)) for requirement, options in requirements(lock)
    ]
    for name, extras, hashes in entries:
        for spelling in (frozenset[str](), *(frozenset({extra}) for extra in extras)):
            assert (name, spelling, hashes) in entries, (
                f"{name}{sorted(spelling)} is missing from {lock}: run scripts/lock"
            )
