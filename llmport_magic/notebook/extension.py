"""Loading and unloading: what the package adds to a running IPython shell."""

from __future__ import annotations

import sys
from typing import Any

from llmport_magic.errors import LLMPortError

_ATTRIBUTE = "_llmport_magics"


def load(shell: Any) -> None:
    """Add the magics, the raw input transform, completion and the comm target, once."""
    if sys.platform == "emscripten":
        raise LLMPortError(
            "llmport_magic needs threads and processes, which a kernel in the browser has not: "
            "use a kernel on a computer"
        )
    unload(shell)
    from llmport_magic.notebook import comm, completion
    from llmport_magic.notebook.cells import keep_raw
    from llmport_magic.notebook.magics import LLMPortMagics

    magics = LLMPortMagics(shell)
    shell.register_magics(magics)
    shell.input_transformer_manager.cleanup_transforms.insert(0, keep_raw)
    completion.install(shell)
    comm.install(shell)
    setattr(shell, _ATTRIBUTE, magics)


def unload(shell: Any) -> None:
    """Take everything away again that `load` added; modules stay imported."""
    if getattr(shell, _ATTRIBUTE, None) is None:
        return
    from llmport_magic.notebook import comm, completion
    from llmport_magic.notebook.cells import MAGICS, keep_raw

    transforms = shell.input_transformer_manager.cleanup_transforms
    transforms[:] = [transform for transform in transforms if transform is not keep_raw]
    for kind, name in (
        ("line", "llmport"),
        ("line", "gmn"),
        *(("cell", magic) for magic in MAGICS),
    ):
        shell.magics_manager.magics[kind].pop(name, None)
    shell.magics_manager.registry.pop("LLMPortMagics", None)
    completion.uninstall(shell)
    comm.uninstall(shell)
    delattr(shell, _ATTRIBUTE)
    if "llmport_magic.modules.loader" in sys.modules:
        from llmport_magic.modules import loader

        loader.uninstall()
    if "llmport_magic.session" in sys.modules:
        from llmport_magic.session import close_session

        close_session()
    if "llmport_magic.llm.registry" in sys.modules:
        from llmport_magic import bridge
        from llmport_magic.llm.registry import close_connectors

        bridge.run(close_connectors())
