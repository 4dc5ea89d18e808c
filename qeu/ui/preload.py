"""Loads the default model in the background once somebody has come, and tells how far it is."""

import threading

from qeu.backends.shelf import Shelf
from qeu.core.errors import QeuError
from qeu.ui.markup import escape
from qeu.ui.models_pickers import short_label
from qeu.ui.models_view import header_html
from qeu.ui.sentences import tell
from qeu.ui.strings import words


class Preload:
    """One background load; safe to start from every visit, it runs once until it succeeds."""

    def __init__(self, shelf: Shelf, model: str) -> None:
        self._shelf, self._model = shelf, model
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._news = threading.Condition()
        self._step, self._share, self._error = "start", 0.0, ""

    def start(self) -> None:
        """Begin if nobody has, or again after a failure."""
        with self._lock:
            if self._thread is None or (self._error and not self._thread.is_alive()):
                self._error = ""
                self._thread = threading.Thread(target=self._load, name="qeu-preload", daemon=True)
                self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """Until something changes, at most this long."""
        with self._news:
            self._news.wait(timeout_s)

    @property
    def finished(self) -> bool:
        """Whether there is nothing to wait for: it is loaded, or has failed."""
        return bool(self._error) or self._step == "ready"

    def html(self, language: str) -> str:
        """How far the load is, or why it failed, for the page's header."""
        if self._error:
            line, css = escape(tell(self._error, language)), "error"
        elif self._step == "ready" or self._thread is None:
            return header_html((), language)
        else:
            step = words(language).get(f"load.{self._step}", self._step)
            share = f" {self._share:.0%}" if self._share else ""
            line, css = escape(f"{short_label(self._model)}: {step}{share}"), "busy"
        return f'<span class="q-dot q-{css}"></span>{line}'

    def _load(self) -> None:
        try:
            self._shelf.load(self._model, progress=self._tell)
            self._step = "ready"
        except QeuError as error:
            self._error = str(error)
        except Exception as error:
            self._error = f"{type(error).__name__}: {error}"
            raise
        finally:
            with self._news:
                self._news.notify_all()

    def _tell(self, progress: object) -> None:
        done, total = getattr(progress, "done", 0), getattr(progress, "total", 0)
        self._step = str(getattr(progress, "step", "load"))
        self._share = done / total if total else 0.0
        with self._news:
            self._news.notify_all()
