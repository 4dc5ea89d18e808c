"""What can be done with a trained adapter, in the drawer: zip file, merge, Hub, deletion.

All of it is one piece of HTML written by the server, and a button for the finished file; a public
page has none of it.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr

from qeu.backends.adapter_files import AdapterFolder, find_adapter
from qeu.core.errors import QeuError
from qeu.services.adapter_delete import delete_adapter, plan_deletion
from qeu.services.adapter_export import export_adapter, folder_name
from qeu.services.adapter_merge import Merged, merge_adapter
from qeu.services.adapter_push import PushPlan, plan_push, push_adapter
from qeu.ui.adapters_view import delete_html, menu_html, plan_html, stop_html
from qeu.ui.compare_form import Updates
from qeu.ui.context import Context, Words
from qeu.ui.dataset_work_panel import PATIENCE_S, TICK_S, Work, bar_html
from qeu.ui.models_pickers import short_label
from qeu.ui.panels import failure_html, notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

PLACE = "adapters"
MANY = {
    "concurrency_limit": None,
    "trigger_mode": "multiple",
    "show_progress": "hidden",
    "api_visibility": "private",
}
# A click on a button within server-written HTML, with what it asks for and all that was typed.
ASK_JS = (
    "element.addEventListener('click', (event) => {"
    " const button = event.target.closest('[data-ask]'); if (!button) return;"
    " const typed = {};"
    " for (const box of element.querySelectorAll('[data-name]'))"
    "  typed[box.dataset.name] = box.type === 'checkbox' ? box.checked : box.value;"
    " if (button.dataset.ask.startsWith('evaluate\\n')) qeuToggleSidebar('models');"
    " trigger('submit', { ask: button.dataset.ask, typed }); });"
)
Typed = Mapping[str, object]
# The words for the steps of a merge; those of a download are the Models drawer's.
STEPS: Mapping[str, str] = {
    "read": "adapters.step.read",
    "merge": "adapters.step.merge",
    "save": "adapters.step.save",
}


class AdaptersPanel:
    """The chosen adapter's menu above the list; `refresh` writes list and pickers anew."""

    def __init__(self, context: Context, say: Words) -> None:
        self.context = context
        self.work = gr.HTML(elem_id="adapters-work", js_on_load=ASK_JS)
        self.download_btn = gr.DownloadButton(
            say("adapters.download"), visible=False, size="md", elem_id="adapters-download"
        )

    def wire(
        self, listed: gr.HTML, shown: set[object], refresh: Callable[[gr.Request], Updates]
    ) -> None:
        """Connect the menu and the `listed` adapters, whose buttons open it."""
        self.refresh = refresh
        outputs = {self.work, self.download_btn, *shown}
        for html in (listed, self.work):
            html.submit(self.on_ask, None, outputs, **MANY)

    def on_ask(self, event: gr.EventData, request: gr.Request) -> Iterator[Updates]:
        """Do what the pressed button asks for, with what was typed beside it."""
        asked, _, name = str(event.ask).partition("\n")
        typed = event.typed if isinstance(event.typed, dict) else {}
        try:
            if self.context.settings.public:
                raise QeuError(
                    "Visitors of a public page do not export, merge or delete its adapters. "
                    "Run the playground on your own machine for that."
                )
            yield from self._answer(asked, name, typed, request)
        except QeuError as error:
            said = notice_html(tell(str(error), language_of(request)), "error")
            yield {self.work: self._menu(name, request, said)}

    def _answer(
        self, asked: str, name: str, typed: Typed, request: gr.Request
    ) -> Iterator[Updates]:
        told = (name, typed, request)
        if asked == "open":
            yield from self._open(*told)
        elif asked == "zip":
            yield from self._zip(*told)
        elif asked == "merge":
            yield from self._merge(*told)
        elif asked == "plan":
            yield from self._plan(*told)
        elif asked == "push":
            yield from self._push(*told)
        elif asked == "ask_delete":
            yield from self._ask_delete(*told)
        elif asked == "delete":
            yield from self._delete(*told)
        elif asked == "stop":
            self.context.sessions.of(request).stop(PLACE)
            yield {self.work: gr.skip()}
        else:  # closed, or turned away from: what is evaluated is the Evaluate tab's
            yield self._closed()

    def _open(self, name: str, typed: Typed, request: gr.Request) -> Iterator[Updates]:
        yield self._closed() | {self.work: self._menu(name, request)}

    def _zip(self, name: str, typed: Typed, request: gr.Request) -> Iterator[Updates]:
        adapter = self._find(name)
        # gone once the page has its own copy
        with TemporaryDirectory(prefix="qeu-") as folder:
            made = export_adapter(adapter, Path(folder) / f"{folder_name(adapter)}.zip")
            size = f"{made.bytes / 1e6:.1f}"
            label = text("adapters.download_named", language_of(request), size=size)
            shown = gr.update(value=made.file, visible=True, label=label)
            yield {self.download_btn: shown, self.work: self._menu(name, request)}

    def _merge(self, name: str, typed: Typed, request: gr.Request) -> Iterator[Updates]:
        adapter, target = self._find(name), str(typed.get("folder") or "").strip()
        if not target:
            raise QeuError("Name a folder for the merged model.")

        def do(work: Work) -> Merged:
            return merge_adapter(
                adapter,
                Path(target),
                self.context.settings.cache_dir,
                progress=lambda p: work.note(p.done, p.total, STEPS.get(p.step, f"load.{p.step}")),
                stop=work.stopping,
            )

        def said(made: object) -> str:
            assert isinstance(made, Merged)
            facts = {
                "base": short_label(made.base),
                "name": made.adapter,
                "folder": made.path,
                "size": f"{made.bytes / 1e9:.2f}",
                "layout": made.layout,
            }
            key = "adapters.merged" if made.layout else "adapters.merged.plain"
            return text(key, language_of(request), **facts)

        yield from self._work(name, do, said, request)

    def _plan(self, name: str, typed: Typed, request: gr.Request) -> Iterator[Updates]:
        repo, public = str(typed.get("repo") or ""), bool(typed.get("public"))
        plan = plan_push(self.context.workspace, self._find(name), repo, private=not public)
        self.context.sessions.of(request).kept[PLACE] = plan
        yield {self.work: plan_html(name, plan, language_of(request))}

    def _push(self, name: str, typed: Typed, request: gr.Request) -> Iterator[Updates]:
        plan = self.context.sessions.of(request).kept.pop(PLACE, None)
        if not isinstance(plan, PushPlan) or plan.adapter != name:
            raise QeuError("What would be sent was not looked at. Look at it first.")
        adapter = self._find(name)

        def said(address: object) -> str:
            return text("adapters.pushed", language_of(request), address=address)

        yield from self._work(
            name, lambda work: push_adapter(adapter, plan, confirmed=True), said, request
        )

    def _ask_delete(self, name: str, typed: Typed, request: gr.Request) -> Iterator[Updates]:
        folder, loaded = self.context.settings.adapters, self.context.shelf.loaded()
        gone = plan_deletion(folder, name, loaded)
        yield {self.work: delete_html(name, gone, language_of(request))}

    def _delete(self, name: str, typed: Typed, request: gr.Request) -> Iterator[Updates]:
        folder, loaded = self.context.settings.adapters, self.context.shelf.loaded()
        delete_adapter(folder, name, confirmed=True, loaded=loaded)
        said = text("adapters.deleted", language_of(request), name=name)
        yield self._closed() | {self.work: notice_html(said)} | self.refresh(request)

    def _find(self, name: str) -> AdapterFolder:
        return find_adapter(self.context.settings.adapters, name)

    def _menu(self, name: str, request: gr.Request, said: str = "") -> str:
        """The adapter's menu; where it is gone meanwhile only what is said."""
        try:
            adapter = self._find(name)
        except QeuError:
            return said
        merged = self.context.settings.home / "merged" / folder_name(adapter)
        return menu_html(name, str(merged), said, language_of(request))

    def _closed(self) -> Updates:
        return {self.work: "", self.download_btn: gr.update(value=None, visible=False)}

    def _work(
        self,
        name: str,
        do: Callable[[Work], object],
        said: Callable[[object], str],
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Do it on a thread with a bar and a stop button; one thing at a time in a page."""
        session, language = self.context.sessions.of(request), language_of(request)
        before = session.runs.get(PLACE)
        if isinstance(before, Work) and not before.finished:
            raise QeuError("Something is being done with an adapter already. Stop it, or wait.")
        work = Work(do, writes=False)
        session.begin(PLACE, work)  # type: ignore[arg-type]
        try:
            work.wait(PATIENCE_S)
            while not work.wait(TICK_S):
                yield {self.work: bar_html(work, language) + stop_html(name, language)}
        finally:
            work.stop()  # reached by a closed page too
        if isinstance(work.error, QeuError):
            raise work.error
        if work.error is not None:
            told = failure_html(work.error, language)
        else:
            told = notice_html(said(work.result))
        yield {self.work: self._menu(name, request, told)}
