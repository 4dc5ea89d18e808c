"""The one who writes a run's status while it is at work, and hears the wish to end."""

import time
from dataclasses import replace

from qeu.core.run_status import RunStatus
from qeu.store.run_folders import RunFolder

# A wish is looked for at most so often: a text that is written asks after every token.
_LOOK_S = 0.2


class RunReport:
    """The status of a run, changed by this process only. Is a StopSign of the wish to end.

    Of several processes that train one run only the first one `writes`, and hears the wish.
    """

    def __init__(self, folder: RunFolder, status: RunStatus, writes: bool = True) -> None:
        self.folder, self.status, self.writes = folder, status, writes
        self._wish, self._looked = "", -_LOOK_S
        self.tell()

    def tell(self, **changes: object) -> None:
        """Change some fields and write the whole status."""
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]
        if self.writes:
            self.folder.write_status(self.status)

    def phase(self, name: str) -> None:
        """What it is busy with, within its state."""
        self.tell(phase=name)

    @property
    def wish(self) -> str:
        """ "keep", "discard", or "" where nobody wants it to end; once wished it stays so."""
        if self.writes and not self._wish and time.monotonic() - self._looked >= _LOOK_S:
            self._wish, self._looked = self.folder.wanted_stop(), time.monotonic()
        return self._wish

    def is_set(self) -> bool:
        """Whether somebody wants it to end."""
        return bool(self.wish)
