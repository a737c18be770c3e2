"""Locks and forked children."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from awaiting import PATIENCE
from loopback import Loopback, reply

_FORKED = """
import os, signal, sys, threading
from llmport_magic import configure, locks
from llmport_magic.llm.selection import connector_for
from llmport_magic.modules import loader
from llmport_magic.settings import resolve

configure(provider="local", base_url={url!r}, model="m-1")

def call(text):
    loader.register("made", "def one(): return 1", "made.py")
    return connector_for(resolve()).call_llm(text)

print(call("parent"), flush=True)
held, free = threading.Event(), threading.Event()

def hold():
    made = list(locks._made)
    for lock in made:
        lock.acquire()
    held.set()
    free.wait()
    for lock in made:
        lock.release()

holder = threading.Thread(target=hold)
holder.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm({patience})
    print(call("child"), len(locks._made) > 8, flush=True)
    os._exit(0)
ended = os.waitpid(child, 0)[1]
free.set()
holder.join()
print(ended, call("after"))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_forked_while_every_lock_is_held_calls(server: Loopback, tmp_path: Path) -> None:
    """What a thread holds at the moment of a fork does not hang the child (S4-06)."""
    server.always(lambda request: reply(request.json["messages"][0]["content"]))
    code = _FORKED.format(url=server.url, patience=int(PATIENCE))

    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )

    assert done.stdout.splitlines() == ["parent", "child True", "0 after"], done.stderr
