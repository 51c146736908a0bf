"""A lease's holder that died on this machine is known to be gone; of any other nothing is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared import holder
from shared.holder import holding, is_gone

ROOT = Path(__file__).parents[2]


def test_a_holder_of_this_process_is_gone_when_its_block_ends() -> None:
    with holding() as one, holding() as other:
        assert not is_gone(one)
        assert one != other
    assert is_gone(one)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_process_is_gone_once_it_ended() -> None:
    program = "from shared.holder import holding\nwith holding() as holder: print(holder, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        assert child.stdin
        holder = child.stdout.readline().strip()
        assert not is_gone(holder)
        child.stdin.close()
        child.wait(10)
        assert is_gone(holder)


@pytest.mark.parametrize("holder", ["", "elsewhere/1/2/3", "elsewhere", "{machine}/x/y/z", "{machine}/1"])
def test_nothing_is_known_of_holders_elsewhere(holder: str) -> None:
    with holding() as here:
        assert not is_gone(holder.format(machine=here.partition("/")[0]))


def test_where_there_is_no_proc_a_process_is_gone_once_its_id_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import sys, pathlib\nfrom shared import holder\nholder._PROC = pathlib.Path(sys.argv[1])\n"
        "with holder.holding() as name: print(name, flush=True); input()"
    )
    monkeypatch.setattr("shared.holder._PROC", tmp_path)
    caches = (holder._machine, holder._this_process)
    for cache in caches:
        cache.cache_clear()
    try:
        command = [sys.executable, "-c", program, str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout
            assert child.stdin
            name = child.stdout.readline().strip()
            assert not is_gone(name)
            child.stdin.close()
            child.wait(10)
            assert is_gone(name)
    finally:
        for cache in caches:
            cache.cache_clear()
