"""The list of training runs and the view of the chosen ones: folders are read, never waited for."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.adapter_delete import delete_adapter
from qeu.services.train_resume import resume_run
from qeu.services.train_stop import stop_in_background
from qeu.store.run_folders import find_run, list_runs
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context, Words
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.train_compare_view import compare_html
from qeu.ui.train_live_view import curves_html, head_html, log_html, samples_html
from qeu.ui.train_order_panel import ACT_JS
from qeu.ui.train_reader import RunReader, RunView, read_run
from qeu.ui.train_runs_view import ASKED, OPEN_RUNS, runs_html

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
MANY = {"concurrency_limit": None, "trigger_mode": "multiple", **QUIET}
# How often the page looks while a run is open and this tab is on the screen.
TICK_S = 1.0
# Colours for more than these are not told apart.
MOST_BESIDE = 6
_WEIGHTS = "adapter_model.safetensors"
_TOLD = {
    "keep": "train.told.keep",
    "discard_sure": "train.told.discard",
    "resume": "train.told.resume",
    "delete_sure": "train.told.delete",
}


class RunList:
    """The list, the live view under it, and what can be done to a run.

    Handlers read folders only; what takes long is done by the run's own process or a thread.
    """

    def __init__(self, context: Context, say: Words) -> None:
        self.context, self.say = context, say
        self.reader = RunReader()
        # which runs are looked at, which step of their samples, what was asked: written by clicks
        self.looked_at = gr.State({})
        # what stands on the screen: written by every answer
        self.seen = gr.State({})
        self.line = gr.HTML(notice_html(""), elem_id="train-runs-line", padding=False)
        self.list = gr.HTML(elem_id="train-runs", padding=False, js_on_load=ACT_JS)
        self.timer = gr.Timer(TICK_S, active=False)

    def build_live(self) -> None:
        """The view of the chosen runs."""
        say = self.say
        self.head = gr.HTML(elem_id="train-live", padding=False)
        with gr.Row(elem_classes="q-tight q-live-bar"):
            self.smoothing = gr.Slider(
                0, 0.99, value=0.6, step=0.01, label=say("train.smoothing"),
                elem_id="train-smoothing", min_width=180, scale=2,
            )  # fmt: skip
            self.log_cb = gr.Checkbox(
                False, label=say("train.log_scale"), elem_id="train-log-scale", min_width=140
            )
        self.curves = gr.HTML(elem_id="train-curves", padding=False)
        self.samples = gr.HTML(
            elem_id="train-samples", elem_classes="q-report", padding=False, js_on_load=ACT_JS
        )
        self.compare = gr.HTML(elem_id="train-compare", elem_classes="q-report", padding=False)
        # a log tells of the machine that wrote it
        local = not self.context.settings.public
        with gr.Accordion(say("train.log"), open=False, visible=local, elem_id="train-log"):
            self.log = gr.HTML(elem_id="train-log-text", padding=False)

    def wire(self) -> None:
        """Connect clicks, the clock, and how the curves are drawn."""
        inputs, outputs = self.inputs(), self.outputs()
        for part in (self.list, self.samples):
            part.select(self.on_act, inputs, outputs | {self.looked_at}, **MANY)
        self.timer.tick(self.on_tick, inputs, outputs, concurrency_limit=None, **QUIET)
        gr.on(
            [self.smoothing.change, self.log_cb.input],
            self.on_tick, inputs, outputs, trigger_mode="always_last", **QUIET,
        )  # fmt: skip

    def inputs(self) -> set[object]:
        """What every handler reads."""
        return {self.looked_at, self.seen, self.smoothing, self.log_cb}

    def outputs(self) -> set[object]:
        """What every handler may update, but what was clicked."""
        return {
            self.seen, self.line, self.list, self.timer, self.head, self.curves, self.samples,
            self.compare, self.log,
        }  # fmt: skip

    def on_tick(self, data: Data, request: gr.Request) -> Updates:
        """Look again."""
        return self.show(data, request)

    def on_act(self, data: Data, event: gr.EventData, request: gr.Request) -> Updates:
        """One click in the list, or a step of the samples."""
        act = event._data if isinstance(event._data, dict) else {}
        do, value, language = str(act.get("do")), str(act.get("value") or ""), language_of(request)
        looked_at, told, kind = dict(_dict(data[self.looked_at])), "", "info"
        looked_at.pop("asked", None)
        chosen = [str(name) for name in looked_at.get("chosen") or ()]
        try:
            if do == "more":
                looked_at["everything"] = True
            elif do == "step":
                looked_at["step"] = int(value)
            elif do == "choose":
                looked_at |= {"chosen": [value], "step": None}
            elif do == "beside":
                looked_at["chosen"] = _toggled(chosen or self._latest(), value)
            elif do in ASKED:
                looked_at["asked"] = f"{do} {value}"
            elif do not in ("never_mind", "refill", "evaluate"):  # forms hear of the latter two
                self.do(do, value)
                told = text(_TOLD[do], language, name=value)
        except QeuError as error:
            told, kind = tell(str(error), language), "error"
        except (ValueError, KeyError):
            told, kind = text("dataset.not_understood", language), "error"
        shown = self.show({**data, self.looked_at: looked_at}, request)
        return shown | {self.looked_at: looked_at, self.line: notice_html(told, kind)}

    def do(self, deed: str, name: str) -> None:
        """What a button of a run asks for; QeuError where it cannot be done."""
        settings = self.context.settings
        if settings.public:
            raise QeuError(
                "A public page trains nothing. Start the program on a machine of your own."
            )
        if deed in ("keep", "discard_sure"):
            stop_in_background(find_run(settings.adapters, name), deed.removesuffix("_sure"))
        elif deed == "resume":
            resume_run(settings.adapters, name, settings)
        elif deed == "delete_sure":
            run, loaded = find_run(settings.adapters, name), self.context.shelf.loaded()
            delete_adapter(settings.adapters, run.name, confirmed=True, loaded=loaded)
        else:
            raise KeyError(deed)

    def look_at(self, data: Data, names: Sequence[str], request: gr.Request) -> Updates:
        """Look at these runs, which have just been started."""
        looked_at = {"chosen": list(names)[:MOST_BESIDE], "step": None}
        return self.show({**data, self.looked_at: looked_at}, request) | {self.looked_at: looked_at}

    def show(self, data: Data, request: gr.Request) -> Updates:
        """Everything as the folders have it; what has not changed is not sent again."""
        language, looked_at = language_of(request), _dict(data[self.looked_at])
        runs = self._runs()
        wanted = [str(name) for name in looked_at.get("chosen") or ()]
        chosen = [run for name in wanted for run in runs if run.name == name] or runs[:1]
        names = [run.name for run in chosen]
        shown = [
            run
            for at, run in enumerate(runs)
            if at < OPEN_RUNS or run in chosen or run.status.is_open or looked_at.get("everything")
        ]
        curves = {run.name: self.reader.curves(run.folder) for run in shown}
        smoothing, log = float(data[self.smoothing] or 0), bool(data[self.log_cb])  # type: ignore[arg-type]
        step = looked_at.get("step")
        first = chosen[0] if chosen else None
        parts: dict[object, str] = {
            self.list: runs_html(
                shown, curves, names, str(looked_at.get("asked") or ""), len(runs) - len(shown),
                language, may_change=not self.context.settings.public,
            ),
            self.head: head_html(chosen, language),
            self.curves: curves_html(chosen, curves, smoothing, log, language),
            self.samples: samples_html(
                first, self.reader.samples(first.folder) if first else [],
                step if isinstance(step, int) else None, language,
            ),
            self.compare: compare_html(chosen, curves, language),
            self.log: log_html(chosen, language) if not self.context.settings.public else "",
        }  # fmt: skip
        marks = {str(at): _mark(html) for at, html in enumerate(parts.values())}
        seen = _dict(data[self.seen])
        updates: Updates = {
            part: html
            for (at, mark), (part, html) in zip(marks.items(), parts.items(), strict=True)
            if seen.get(at) != mark
        }
        running = any(run.status.is_open for run in runs)
        return updates | {self.seen: marks, self.timer: gr.Timer(TICK_S, active=running)}

    def _runs(self) -> list[RunView]:
        """All runs, the one that was ordered last first."""
        found = [read_run(folder) for folder in list_runs(self.context.settings.adapters)]
        return sorted(found, key=lambda run: (run.ordered, run.name), reverse=True)

    def _latest(self) -> list[str]:
        return [run.name for run in self._runs()[:1]]


def adapters_mark(folder: Path) -> str:
    """Says in short which adapters there are; changes when one comes, goes or is trained anew."""
    found = [*folder.glob(f"[!.]*/{_WEIGHTS}"), *folder.glob(f"[!.]*/checkpoint-*/{_WEIGHTS}")]
    return _mark(" ".join(sorted(f"{path} {_written(path)}" for path in found)))


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:  # deleted at this moment
        return 0


def _mark(shown: str) -> str:
    return sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _dict(value: object) -> dict[str, object]:
    return dict(value or {})  # type: ignore[call-overload]


def _toggled(chosen: list[str], name: str) -> list[str]:
    """A click takes a run in, or out where another one stays."""
    if name in chosen:
        return [one for one in chosen if one != name] or chosen
    return [*chosen, name][-MOST_BESIDE:]
