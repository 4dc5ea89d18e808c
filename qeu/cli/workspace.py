"""Open the workspace that a command works on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qeu.core.settings import Settings

if TYPE_CHECKING:
    from qeu.store.workspace import Workspace


@contextmanager
def open_workspace(make: bool = False) -> "Iterator[Workspace]":
    """The workspace of QEU_HOME; looking (`make` False) at one that is not there makes none."""
    # here and not above: the help of every command waits for what stands above
    from qeu.store.workspace import Workspace

    path = Settings.from_env(os.environ).home / "qeu.db"
    workspace = Workspace(path if make or path.exists() else None)
    try:
        yield workspace
    finally:
        workspace.close()
