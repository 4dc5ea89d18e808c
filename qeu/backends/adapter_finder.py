"""Find the adapter that a person named: by its name here, by a folder's path, or by a Hub id."""

import re
import threading
import time
from pathlib import Path

from qeu.backends.adapter_files import (
    CONFIG,
    AdapterFolder,
    find_adapter,
    is_inside,
    list_adapters,
    open_adapter,
)
from qeu.backends.compute_queue import StopSign
from qeu.core.errors import QeuError

# A Hub id that was asked about is not asked about again for every text of a long run.
_ASK_AGAIN_S = 600.0
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


class AdapterFinder:
    """Adapters of one folder, typed paths and Hub ids. Safe from any thread.

    Names in the folder win over everything else of the same spelling. Without `local_paths`, as
    on a public page, no other folder is ever looked at.
    """

    def __init__(
        self, folder: Path, *, local_paths: bool = True, hub_cache: Path | None = None
    ) -> None:
        self.folder, self._local_paths, self._hub_cache = folder, local_paths, hub_cache
        self._asked: dict[str, tuple[float, AdapterFolder]] = {}  # by Hub id, when and what
        self._guard = threading.Lock()

    def find(self, name: str, stop: StopSign | None = None, *, fetch: bool = True) -> AdapterFolder:
        """The adapter; one of the Hub is fetched if need be, unless `fetch` is off.

        Raises QeuError saying what is there instead, FetchStopped on `stop`.
        """
        name = name.strip()
        if is_inside(self.folder, name):
            return find_adapter(self.folder, name)
        if self._local_paths and (path := _as_folder(name)):
            return open_adapter(path, name)
        if _is_hub_id(name):
            return self._ask_hub(name, stop) if fetch else self._look_in_cache(name)
        if self._local_paths:
            return find_adapter(self.folder, name)  # raises, with the names that there are
        # a folder's path is nobody's business on a public page
        names = ", ".join(a.name for a in list_adapters(self.folder)) or "none"
        raise QeuError(f"There is no adapter {name[:200]!r}. Choose one of these: {names}.")

    def _ask_hub(self, repo: str, stop: StopSign | None) -> AdapterFolder:
        from qeu.backends.adapter_hub import fetch_adapter

        with self._guard:
            asked_at, known = self._asked.get(repo, (0.0, None))
        if known is not None and time.monotonic() - asked_at < _ASK_AGAIN_S and _is_there(known):
            return known
        found = fetch_adapter(repo, stop, hub_cache=self._hub_cache)
        with self._guard:
            self._asked[repo] = (time.monotonic(), found)
        return found

    def _look_in_cache(self, repo: str) -> AdapterFolder:
        from qeu.backends.adapter_hub import find_cached

        if found := find_cached(repo, self._hub_cache):
            return found
        raise QeuError(f"Adapter {repo} has not been fetched from the Hub yet. Run it once.")


def _is_there(adapter: AdapterFolder) -> bool:
    return (adapter.path / CONFIG).is_file()


def _is_hub_id(name: str) -> bool:
    return _HUB_ID.fullmatch(name) is not None and ".." not in name


def _as_folder(name: str) -> Path | None:
    """The folder of a typed path, however it is written; None where there is none."""
    try:
        path = Path(name).expanduser() if name else None
        # a Hub id may be spelled like a folder that happens to be here: that one has no adapter
        plain = _is_hub_id(name)
        if path is None or not path.is_dir() or (plain and not (path / CONFIG).is_file()):
            return None
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, no such user
        return None
    return path
