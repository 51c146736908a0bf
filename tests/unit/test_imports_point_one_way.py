"""Who may import whom, and what a function may load before it is called."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("functions.check", "functions.health", "functions.ingest", "functions.rotate", "functions.search")
EMULATOR = "file_search_emulator"
MAY_IMPORT = {
    "shared": set[str](),
    EMULATOR: set[str](),
    "functions": set[str](),
    **{function: {"shared"} for function in FUNCTIONS},
    "flamehaven": {"functions", "shared", EMULATOR, *FUNCTIONS},
}
PACKAGES = {part.partition(".")[0] for part in MAY_IMPORT}
HEAVY = ("google.genai", "google.cloud.storage", "numpy", "pydantic", EMULATOR, "flamehaven", "fastapi", "typer")


def part_of(module: str) -> str:
    """The row of the layout that a dotted module belongs to: a package, or one function."""
    package, _, rest = module.partition(".")
    return ".".join([package, rest.partition(".")[0]]) if package == "functions" and rest else package


def imports(tree: ast.AST, lazy: bool = False) -> Iterator[tuple[int, str, bool]]:
    """Each import below `tree`: its line, what it imports, and whether a function does it when called."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names = [alias.name for alias in node.names] if module == "functions" else []
            yield from ((node.lineno, f"{module}.{name}", lazy) for name in names)
            if not names:
                yield node.lineno, module, lazy
        else:
            yield from imports(node, lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def wrong_imports(root: Path) -> list[str]:
    """Each import below `root` that points the wrong way, as `file:line: who imports what`."""
    wrong, emulator_in_shared = [], []
    for path in sorted(file for package in PACKAGES for file in (root / package).rglob("*.py")):
        here = path.relative_to(root)
        owner = part_of(".".join(here.with_suffix("").parts).removesuffix(".__init__"))
        allowed = MAY_IMPORT.get(owner, set()) | {owner}
        for line, module, lazy in imports(ast.parse(path.read_text())):
            found = f"{here}:{line}: {owner} imports {module}"
            if owner == "shared" and lazy and part_of(module) == EMULATOR:
                emulator_in_shared.append(found)
            elif module.startswith(".") or (module.partition(".")[0] in PACKAGES and part_of(module) not in allowed):
                wrong.append(found)
    return wrong + emulator_in_shared[1:]


def loaded_by(module: str, root: Path) -> set[str]:
    """Which heavy packages a fresh interpreter has loaded once it has imported `module` from `root`."""
    program = f"import importlib, json, sys; importlib.import_module({module!r}); print(json.dumps(list(sys.modules)))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout)) & set(HEAVY)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_layout_is_all_there() -> None:
    missing = [part for part in MAY_IMPORT if not any((ROOT / part.replace(".", "/")).glob("*.py"))]
    assert missing == []


def test_imports_point_one_way() -> None:
    assert wrong_imports(ROOT) == []


@pytest.mark.parametrize(
    "good",
    [
        {"functions/search/main.py": "from shared.http import endpoint\nfrom functions.search import models"},
        {"shared/a.py": "import json\nfrom shared import b\ndef f():\n    from file_search_emulator.app import create"},
        {"flamehaven/a.py": "from functions.search.main import search\nimport file_search_emulator.app, shared.a"},
    ],
)
def test_imports_along_the_layout_are_allowed(tmp_path: Path, good: dict[str, str]) -> None:
    assert wrong_imports(write(tmp_path, good)) == []


LAZY_EMULATOR = "async def f():\n    from file_search_emulator.app import create"


@pytest.mark.parametrize(
    "bad",
    [
        {"shared/a.py": "from functions.search import models"},
        {"shared/a.py": "import flamehaven.app"},
        {"shared/a.py": "from file_search_emulator.app import create"},
        {"shared/a.py": "class A:\n    import file_search_emulator"},
        {"shared/a.py": LAZY_EMULATOR, "shared/deep/b.py": LAZY_EMULATOR},
        {"shared/a.py": "def f():\n    import flamehaven"},
        {"shared/a.py": "from .b import c"},
        {"functions/ingest/a.py": "from functions.search.models import Source"},
        {"functions/ingest/a.py": "from functions import search"},
        {"functions/ingest/a.py": "import functions.health.main as main"},
        {"functions/ingest/a.py": "if True:\n    try:\n        import flamehaven\n    except ImportError: ..."},
        {"functions/search/a.py": LAZY_EMULATOR},
        {"functions/other/a.py": "import shared.http"},
        {"file_search_emulator/a.py": "from shared.logs import request_id"},
    ],
)
def test_an_import_against_the_layout_is_found(tmp_path: Path, bad: dict[str, str]) -> None:
    assert len(wrong_imports(write(tmp_path, bad))) == 1


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_loads_nothing_heavy_at_import(function: str) -> None:
    assert loaded_by(f"{function}.main", ROOT) == set()


def test_something_heavy_at_import_is_found(tmp_path: Path) -> None:
    write(tmp_path, {"functions/__init__.py": "", "functions/slow/main.py": "import numpy, typer"})
    assert loaded_by("functions.slow.main", tmp_path) == {"numpy", "typer"}
