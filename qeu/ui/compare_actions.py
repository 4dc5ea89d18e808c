"""What the Compare tab's controls do: run, stop, swap, cut, restore."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.roles import ROLES
from qeu.core.sampling import MAX_SEED
from qeu.core.text import one_line
from qeu.services.compare import SIDES, Comparison, start_comparison, store_comparison
from qeu.services.export import export_command, export_json, export_snippet
from qeu.services.fit import fit_comparison
from qeu.services.link import to_query
from qeu.services.runs import Live, Run, restore_live
from qeu.store.history import StoredComparison, get_comparison, search_comparisons
from qeu.ui.compare_form import CompareForm, Data, Updates
from qeu.ui.compare_view import CompareView, diff_html
from qeu.ui.context import Context
from qeu.ui.plans import plan_text, warning_text
from qeu.ui.sentences import tell
from qeu.ui.sessions import Session, language_of
from qeu.ui.streaming import stream_run
from qeu.ui.strings import text
from qeu.ui.visibility import OFF
from qeu.ui.votes_round import Round, booth_of

log = logging.getLogger(__name__)
PLACE = "compare"
SHIPPED_ROLES = {role_id: role.text for role_id, role in ROLES.items()}


class CompareActions:
    """Handlers over one form and one view."""

    def __init__(self, context: Context, form: CompareForm, view: CompareView) -> None:
        self.context, self.form, self.view = context, form, view

    def read(self, data: Data) -> Comparison:
        """The form as a comparison; raises QeuError for what cannot be used."""
        comparison = self.form.read(data, SHIPPED_ROLES)
        for side in (comparison.left, comparison.right):
            self.context.check_model(side.model)
        return comparison

    def on_run(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Run both sides and stream them; an older run of this page is stopped first."""
        session, language = self.context.sessions.of(request), language_of(request)
        try:
            comparison = self.read(data)
            run = start_comparison(self.context.engines(request), comparison)
        except QeuError as error:
            session.stop(PLACE)
            yield self.view.show_notice(tell(str(error), language), "error")
            return
        session.begin(PLACE, run)
        self.view.votes.begin(session, data, comparison)
        self.view.lens.begin(session, comparison.exact)
        notice = warning_text(comparison, language) or plan_text(run.plan, language)
        first = {
            **self.view.show_notice(notice),
            **self.show(session, language),
            self.view.cut_btn: gr.update(visible=OFF),
        }
        yield from stream_run(
            session,
            PLACE,
            run,
            first,
            lambda keys: self.show(session, language, whole=False, only=keys),
            {self.view.notice: gr.skip()},
        )
        if session.is_current(PLACE, run):
            yield self._finish(run, comparison, language, request)

    def _finish(
        self, run: Run, comparison: Comparison, language: str, request: gr.Request
    ) -> Updates:
        session, updates = self.context.sessions.of(request), {}
        too_long = any(live.tokens_over for live in run.live.values())
        updates[self.view.cut_btn] = gr.update(visible=too_long or OFF)
        visitor = self.context.visitor(request)
        try:
            stored = store_comparison(self.context.workspace, comparison, run, visitor)
        except QeuError as error:
            self.view.votes.give_up(session)
            updates |= self.show(session, language)
            return updates | self.view.show_notice(tell(str(error), language), "error")
        self.view.votes.finish(session, stored)
        updates |= self.show(session, language) | self.list_history("", request)
        return updates | self.take_away(stored, comparison, session)

    def show(
        self,
        session: Session,
        language: str,
        whole: bool = True,
        only: set[str] = frozenset(),
    ) -> Updates:
        """What the page shows of its texts, names covered during a blind vote."""
        votes, view = self.view.votes, self.view
        covered = votes.cover(view.sides, session, language, whole)
        if covered is None:
            covered = view.show_lives(session.shown.get(PLACE, {}), language, whole, only)
        elif whole:
            covered[view.diff] = diff_html({}, language)
        if not whole:
            return covered
        return covered | votes.show_bar(session, language) | view.lens.follow(session, language)

    def take_away(
        self, stored: StoredComparison, comparison: Comparison, session: Session
    ) -> Updates:
        """The run as code, command and file; the file, which names who wrote what, when shown."""
        updates: Updates = {
            self.view.snippet: export_snippet(comparison),
            self.view.command_box: export_command(comparison),
            self.view.json_btn: gr.update(interactive=False),
        }
        if not booth_of(session).covered:
            path = Path(tempfile.mkdtemp(prefix="qeu-")) / f"qeu-run-{stored.id}.json"
            path.write_text(export_json(stored), encoding="utf-8")
            updates[self.view.json_btn] = gr.update(value=str(path), interactive=True)
        return updates

    def on_live(self, data: Data, live: bool, request: gr.Request) -> Iterator[Updates]:
        """A slider was let go: run again, if live tuning is on and there is a question."""
        if live and str(data[self.form.question.instruction_box] or "").strip():
            yield from self.on_run(data, request)
        else:
            # a handler that yields nothing empties all that it might have filled
            yield {self.view.notice: gr.skip()}

    def on_regenerate(self, data: Data, request: gr.Request) -> Iterator[Updates]:
        """Run again with the next seed, on both sides."""
        updates: Updates = {}
        data = dict(data)
        for sampling in (self.form.sampling, *(s.sampling for s in self.form.sides.values())):
            seed_box = sampling.controls["seed"]
            data[seed_box] = (int(data[seed_box] or 0) + 1) % MAX_SEED
            updates[seed_box] = data[seed_box]
        yield updates
        yield from self.on_run(data, request)

    def on_stop(self, request: gr.Request, key: str | None = None) -> None:
        """Stop one side or both; the text so far stays."""
        self.context.sessions.of(request).stop(PLACE, key)

    def on_swap(self, data: Data, request: gr.Request) -> Updates:
        """Exchange the sides, settings and texts."""
        session, language = self.context.sessions.of(request), language_of(request)
        if (run := session.runs.get(PLACE)) and not run.finished:
            return self.view.show_notice(text("swap.busy", language), "error")
        if booth_of(session).covered:
            return self.view.show_notice(text("vote.swap", language), "error")
        try:
            comparison = self.read(data).swapped()
        except QeuError as error:
            return self.view.show_notice(tell(str(error), language), "error")
        # its letters would stand at the wrong texts now
        booth_of(session).round = None
        lives = session.shown.get(PLACE, {})
        swapped = {"left": lives.get("right"), "right": lives.get("left")}
        session.shown[PLACE] = {name: live for name, live in swapped.items() if live}
        return self.form.fill(comparison) | self.show(session, language)

    def on_link(self, data: Data, base: str, request: gr.Request) -> Updates:
        """The address that opens the page with these settings."""
        language = language_of(request)
        try:
            link = f"{base.split('?')[0]}?{to_query(self.read(data))}"
        except QeuError as error:
            return self.view.show_notice(tell(str(error), language), "error")
        return {self.view.link_box: link}

    def on_cut(self, data: Data, request: gr.Request) -> Updates:
        """Shorten the context until every side's prompt fits its model."""
        language = language_of(request)
        try:
            comparison = fit_comparison(self.context.engines(request), self.read(data))
        except QeuError as error:
            return self.view.show_notice(tell(str(error), language), "error")
        return {
            **self.form.fill(comparison),
            **self.view.show_notice(text("cut.done", language)),
            self.view.cut_btn: gr.update(visible=OFF),
        }

    def list_history(self, term: str, request: gr.Request) -> Updates:
        """The stored runs that contain a term."""
        language = language_of(request)
        found = search_comparisons(self.context.workspace, term, self.context.visitor(request))
        choices = [(_history_line(stored, language), stored.id) for stored in found]
        return {self.view.history_list: gr.update(choices=choices, value=None)}

    def on_restore(self, number: int, request: gr.Request) -> Updates:
        """Bring a stored run back: every setting, its seed, and its texts as they were."""
        language = language_of(request)
        try:
            stored = get_comparison(
                self.context.workspace, int(number), self.context.visitor(request)
            )
            line = text("history.restored", language, number=stored.id)
            return self.show_stored(stored, line, request)
        except QeuError as error:
            return self.view.show_notice(tell(str(error), language), "error")

    def show_stored(
        self,
        stored: StoredComparison,
        line: str,
        request: gr.Request,
        known: Round | None = None,
    ) -> Updates:
        """A run with all its settings in place of what the page shows, and a line that says so.

        `known` is the blind round that it was shown in before. Raises QeuError where its settings
        cannot be read.
        """
        comparison = Comparison.from_json(stored.settings)
        session, language = self.context.sessions.of(request), language_of(request)
        session.stop(PLACE)
        lives = restored_lives(stored, comparison)
        session.shown[PLACE] = lives
        session.runs.pop(PLACE, None)
        self.view.votes.restore(session, stored, comparison, known)
        self.view.lens.begin(session, comparison.exact)
        return {
            **self.form.fill(comparison),
            **self.show(session, language),
            **self.take_away(stored, comparison, session),
            **self.view.show_notice(line),
        }

    def on_language(self, request: gr.Request) -> Updates:
        """Show again, in the language just chosen, what the server had written in another."""
        session, language = self.context.sessions.of(request), language_of(request)
        shown = self.show(session, language) | self.view.votes.show_standings(request)
        return shown | self.view.show_translations(request)


def _history_line(stored: StoredComparison, language: str) -> str:
    sides = []
    for name in SIDES:
        side = stored.results.get(name)
        found: Mapping[str, object] = side if isinstance(side, Mapping) else {}
        reason = found.get("finish_reason") or "error"
        model = str(found.get("model", "?")).rsplit("/", 1)[-1]
        sides.append(f"{model}: {text(f'finish.{reason}', language)}")
    when = stored.at[:16].replace("T", " ")
    return f"#{stored.id} · {when} · {one_line(stored.question, 70)} · {' | '.join(sides)}"


def restored_lives(stored: StoredComparison, comparison: Comparison) -> dict[str, Live]:
    """A stored run's sides as they stood at its end."""
    return {
        ask.key: restore_live(ask, stored.results[ask.key])  # type: ignore[arg-type]
        for ask in comparison.asks()
        if isinstance(stored.results.get(ask.key), Mapping)
    }
