"""A lease's holder that died on this machine is known to be gone; of any other nothing is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shared.holder import is_gone, this_process

ROOT = Path(__file__).parents[2]


def test_this_process_is_here() -> None:
    assert not is_gone(this_process())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_a_process_is_gone_once_it_ended() -> None:
    program = "from shared.holder import this_process; print(this_process(), flush=True); input()"
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


@pytest.mark.parametrize("holder", ["", "elsewhere/1/2", "elsewhere", f"{this_process().partition('/')[0]}/x/y"])
def test_nothing_is_known_of_holders_elsewhere(holder: str) -> None:
    assert not is_gone(holder)
