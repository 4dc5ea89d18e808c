"""Import files by drag and drop, or a data set of the Hub, with a report row by row."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio as gr

from qeu.core.errors import QeuError
from qeu.services.data_import import import_file, import_hub
from qeu.store.datasets import check_name, count_records, list_datasets
from qeu.store.hub_datasets import read_hub
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import Context
from qeu.ui.dataset_import_form_panel import HUB, ImportForm, hub_candidate
from qeu.ui.dataset_import_report_panel import Imported, imported_html
from qeu.ui.dataset_mapping_panel import correction, look_at
from qeu.ui.dataset_work_panel import MANY, QUIET, Work
from qeu.ui.panels import notice_html
from qeu.ui.sessions import language_of
from qeu.ui.strings import text
from qeu.ui.visibility import OFF

MOST_PUBLIC_RECORDS = 50_000


class ImportPanel(ImportForm):
    """Files in, a report out; the columns can be corrected before."""

    def wire(self) -> None:
        """Connect the controls."""
        super().wire()
        self.look_btn.click(
            self.on_look,
            {self.hub_box, self.split_box},
            {self.hub_state, self.line, self.stop_btn},
            **MANY,
        )
        inputs = self.seen | {self.licence_box, self.update_cb, self.hub_box, self.split_box}
        outputs = {self.rejected_file, self.stop_btn, self.place.changed, self.place.name_dd,
                   self.place.filter_state, self.dataset_dd}  # fmt: skip
        self.import_btn.click(
            self.on_import, inputs | self.shared(), self.outputs() | outputs, **MANY
        )
        self.place.changed.change(self.on_place, None, {self.dataset_dd}, **QUIET)

    def on_place(self, request: gr.Request) -> Updates:
        """The data sets that there are, to import into."""
        names = [dataset.name for dataset in list_datasets(self.context.records(request))]
        return {self.dataset_dd: gr.update(choices=names)}

    def on_look(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Read the first rows of a data set of the Hub."""
        language = language_of(request)
        name, split = str(data[self.hub_box] or "").strip(), str(data[self.split_box] or "train")
        if self.context.settings.public or not name:
            key = "data.import.no_hub" if self.context.settings.public else "data.import.hub_empty"
            yield {self.line: notice_html(text(key, language), "error")}
            return

        def do(work: Work) -> dict[str, object]:
            rows = [dict(raw) for _, raw in islice(read_hub(name, split), 5)]  # type: ignore[call-overload]
            clipped = [{str(k): _clip(value) for k, value in row.items()} for row in rows]
            return {"name": name, "split": split, "rows": clipped}

        def show(result: object, spoken: str) -> Updates:
            return {self.line: notice_html("")}

        yield from self.run(request, do, show, lambda result: {self.hub_state: result})

    def on_import(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Import all files into the data set; a file that cannot be read spares the others."""
        try:
            do = self._make_import(data, request)
        except QeuError as error:
            yield self.refuse(error, request)
            return
        # gone once the page has its own copy
        with TemporaryDirectory(prefix="qeu-") as folder:

            def after(result: object) -> Updates:
                assert isinstance(result, Imported)
                return self._after(result, data, request, Path(folder))

            yield {self.rejected_file: gr.update(visible=OFF, value=None), self.report: ""}
            yield from self.run(request, do, self._shown, after, writes=True)

    def _make_import(self, data: Data, request: gr.Request) -> Callable[[Work], Imported]:
        language, workspace = language_of(request), self.context.records(request)
        paths = self.paths(data)
        hub = str(data[self.hub_box] or "").strip()
        if self.context.settings.public and hub:
            raise QeuError(text("data.import.no_hub", language))
        if not paths and not hub:
            raise QeuError(text("data.import.nothing", language))
        self.check_size(paths, request)
        name = check_name(str(data[self.dataset_dd] or ""))
        mappings = dict(data[self.mapping.mappings] or {})  # type: ignore[call-overload]
        split = str(data[self.split_box] or "train").strip()
        room = make_room(self.context, workspace, language)

        def do(work: Work) -> Imported:
            result = Imported(name)

            def progress(rows: int) -> None:
                before = sum(r.imported + r.unchanged + r.updated for r in result.reports)
                work.tell(before + rows)
                room(before + rows)

            def bring(name_shown: str, do_one: Callable[[], object]) -> None:
                try:
                    result.reports.append(do_one())  # type: ignore[arg-type]
                except QeuError as error:
                    # files before this one are in: their report is shown, and the stop in it
                    if work.stopping.is_set() and not result.reports:
                        raise
                    result.failures.append((name_shown, str(error)))

            def bring_file(path: Path) -> object:
                options = self.options(data, correction(look_at(path), mappings))
                stop = work.stopping
                return import_file(workspace, path, name, options, progress, stop, path.name)

            def bring_hub() -> object:
                seen = hub_candidate(data[self.hub_state])
                same = seen is not None and seen.name == f"{HUB}{hub}"
                columns = correction(seen, mappings) if seen and same else {}
                options = self.options(data, columns)
                return import_hub(workspace, hub, name, split, options, progress, work.stopping)

            for path in paths:
                if not work.stopping.is_set():
                    bring(path.name, lambda path=path: bring_file(path))  # type: ignore[misc]
            if hub and not work.stopping.is_set():
                bring(f"{HUB}{hub}", bring_hub)
            return result

        return do

    def _after(self, result: Imported, data: Data, request: gr.Request, folder: Path) -> Updates:
        """Show the data set that was imported into; offer the bad rows as a file."""
        updates: Updates = {}
        bad = "".join(report.bad_rows_jsonl() for report in result.reports)
        if bad:
            path = folder / "rejected.jsonl"
            path.write_text(bad, encoding="utf-8")
            updates[self.rejected_file] = gr.update(value=str(path), visible=True)
        if any(r.imported or r.updated or r.unchanged for r in result.reports):
            names = [d.name for d in list_datasets(self.context.records(request))]
            known = next((n for n in names if n.casefold() == result.dataset.casefold()), None)
            updates[self.place.name_dd] = gr.update(choices=names, value=known)
            updates[self.dataset_dd] = gr.update(choices=names, value=known)
            if data[self.place.name_dd] != known:
                updates[self.place.filter_state] = {}
            updates |= self.place.raise_changed(data)
        return updates

    def _shown(self, result: object, language: str) -> Updates:
        assert isinstance(result, Imported)
        return {self.line: notice_html(""), self.report: imported_html(result, language)}


def make_room(context: Context, workspace: Workspace, language: str) -> Callable[[int], None]:
    """A check of the rows so far: on a public page a visit holds only so many records."""
    if not context.settings.public:
        return lambda rows: None
    held = sum(count_records(workspace, dataset) for dataset in list_datasets(workspace))

    def check(rows: int) -> None:
        if held + rows > MOST_PUBLIC_RECORDS:
            most = f"{MOST_PUBLIC_RECORDS:,}"
            raise QeuError(text("data.import.too_many_records", language, most=most))

    return check


def _clip(value: object) -> object:
    """A value as the page's state can hold it."""
    if isinstance(value, str):
        return value[:2000]
    return value if isinstance(value, int | float | bool | None) else str(value)[:2000]
