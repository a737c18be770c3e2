"""The program that runs an embedded model, in a process of its own.

Loading a model holds the interpreter for seconds, and a crash of native code ends its process:
neither may happen to the user's kernel. This file is run by its path and imports nothing of the
package. It reads its orders from the first line of standard input, answers with one line, serves
until standard input ends or its parent is gone, and listens on the loopback only.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

# A cancelled request is noticed between two batches: small ones free the model sooner.
_BATCH = 64
_PARENT_POLL_SECONDS = 1.0


def main() -> None:
    """Load the model, say where it listens, and serve."""
    orders = json.loads(sys.stdin.readline())
    try:
        server = _serve(orders)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must be told
        _say({"error": f"{type(error).__name__}: {error}"})
        return
    _say({"address": server.listening_address})
    threading.Thread(target=_wait_for_parent, args=(os.getppid(),), daemon=True).start()
    sys.stdin.read()
    # Without the interpreter's farewell: it would wait for an answer that nobody reads.
    os._exit(0)


def _serve(orders: dict[str, Any]) -> Any:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = orders["path"]
    parameters.model_alias = {orders["name"]}
    parameters.n_ctx = orders["context"]
    parameters.n_batch = parameters.n_ubatch = _BATCH
    parameters.n_parallel = orders["slots"]
    parameters.kv_unified = parameters.n_parallel > 1
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads = orders["threads"]
        # Threads that wait must not spin: the user's own code needs the cores.
        threads.poll = 0
    parameters.api_keys = [orders["key"]]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.cors_origins = ""
    parameters.ui = False
    parameters.endpoint_slots = False
    parameters.cache_ram_mib = 0
    parameters.fit_params = False
    parameters.warmup = False
    parameters.verbosity = -1
    return xllamacpp.Server(parameters)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _wait_for_parent(parent: int) -> None:
    """End with the parent also where a fork of it still holds our standard input open."""
    while os.getppid() == parent:
        time.sleep(_PARENT_POLL_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
