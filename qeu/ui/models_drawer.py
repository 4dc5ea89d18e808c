"""The Models drawer: what can be loaded, what is loaded, how much memory it holds."""

from collections.abc import Iterator, Sequence

import gradio as gr

from qeu.backends.adapter_files import list_adapters
from qeu.backends.catalog import find_model, list_models
from qeu.core.errors import QeuError
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.markup import escape
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text, words


def model_choices(context: Context) -> list[tuple[str, str]]:
    """Models of the catalogue that run here, and adapters of each, as picker entries."""
    choices = [(card.label, card.id) for card in list_models() if card.kind == "local"]
    labels = {card.id: card.label for card in list_models()}
    for adapter in list_adapters(context.settings.adapters):
        base = _base_id(adapter.base)
        choices.append((f"{labels.get(base, base)} @ {adapter.name}", f"{base}@{adapter.name}"))
    return choices


def _base_id(base: str) -> str:
    """The catalogue's id of a base that an adapter names by its Hub repository."""
    for card in list_models():
        if base in (card.id, card.hub_repo):
            return card.id
    return base


def drawer_html(context: Context, language: str) -> str:
    """Every known model with its size, licence and languages; loaded ones with their memory."""
    loaded = {}
    for item in context.shelf.loaded():
        loaded.setdefault(item.model_id, []).append(item)
    free = text("models.free", language, free=f"{context.shelf.free_bytes() / 1e9:.1f}")
    rows = [f'<p class="q-hint">{escape(free)}</p>']
    for card in list_models():
        held = loaded.pop(card.id, [])
        rows.append(_card_html(card.label, card, held, language))
    for name, held in loaded.items():
        rows.append(_card_html(name, find_model(name), held, language))
    return "".join(rows)


class ModelsDrawer:
    """A drawer on the right that any tab can open."""

    def __init__(self, context: Context, say: Words, models: Sequence[tuple[str, str]]) -> None:
        self.context = context
        with gr.Sidebar(
            label=say("models.title"), position="right", open=False, elem_id="models", width=340
        ) as self.sidebar:
            self.model_dd = gr.Dropdown(
                list(models),
                value=DEFAULT_MODEL,
                label=say("models.choose"),
                info=say("models.choose.help"),
                allow_custom_value=True,
                elem_id="models-choose",
            )
            with gr.Row(elem_classes="q-tight"):
                self.load_btn = gr.Button(
                    say("models.load"), min_width=80, elem_id="models-load", size="md"
                )
                self.unload_btn = gr.Button(
                    say("models.unload"), min_width=80, elem_id="models-unload", size="md"
                )
                self.refresh_btn = gr.Button("⟳", min_width=40, elem_id="models-refresh", size="md")
            self.notice = gr.HTML(notice_html(""), elem_id="models-notice")
            self.list = gr.HTML(elem_id="models-list")

    def wire(self, pickers: Sequence[gr.Dropdown]) -> None:
        """Connect the buttons; `pickers` are refreshed when adapters or models appear."""
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        outputs = [self.notice, self.list]
        self.load_btn.click(self.on_load, self.model_dd, outputs, concurrency_limit=None, **quiet)
        self.unload_btn.click(self.on_unload, self.model_dd, outputs, **quiet)
        self.sidebar.expand(self.on_list, None, self.list, **quiet)
        self.refresh_btn.click(self.on_refresh, None, [self.list, self.model_dd, *pickers], **quiet)
        self._pickers = len(pickers) + 1

    def on_list(self, request: gr.Request) -> str:
        """What is known and loaded now."""
        return drawer_html(self.context, language_of(request))

    def on_refresh(self, request: gr.Request) -> list[object]:
        """Look again at what is there; adapters trained meanwhile appear in every picker."""
        choices = gr.update(choices=model_choices(self.context))
        return [self.on_list(request), *[choices] * self._pickers]

    def on_load(self, model: str, request: gr.Request) -> Iterator[tuple[str, object]]:
        """Load a model and tell how far it is."""
        from qeu.services.loading import load_with_progress

        language = language_of(request)
        try:
            self.context.check_model(model)
            for step, share in load_with_progress(self.context.shelf, model):
                label = words(language).get(f"load.{step}", step)
                line = f"{label} {share:.0%}" if share else label
                yield notice_html(line), gr.skip()
        except QeuError as error:
            yield (
                notice_html(tell(str(error), language), "error"),
                drawer_html(self.context, language),
            )
            return
        ready = text("model.ready", language, model=model)
        yield notice_html(ready), drawer_html(self.context, language)

    def on_unload(self, model: str, request: gr.Request) -> tuple[str, str]:
        """Free a model's memory; refused while it computes."""
        language = language_of(request)
        try:
            self.context.shelf.unload(model.rsplit("@", 1)[0])
        except QeuError as error:
            return notice_html(tell(str(error), language), "error"), drawer_html(
                self.context, language
            )
        done = text("models.unloaded", language, model=model)
        return notice_html(done), drawer_html(self.context, language)


def _card_html(label: str, card: object, held: Sequence[object], language: str) -> str:
    facts = [
        f"{card.parameters / 1e9:.2f} B",  # type: ignore[attr-defined]
        card.licence,  # type: ignore[attr-defined]
        text("models.context", language, tokens=f"{card.context:,}"),  # type: ignore[attr-defined]
    ]
    for key, codes in (("models.reads", card.reads), ("models.writes", card.writes)):  # type: ignore
        if codes:
            names = [text(f"language.{code}", language) for code in codes]
            listed = text("list.comma", language).join(names)
            facts.append(text(key, language, languages=listed))
    state = "".join(
        f'<div class="q-held">● {escape(item.dtype)} · {escape(item.device)} · '
        f"{item.memory_bytes / 1e9:.2f} GB</div>"
        for item in held
    )
    css = " q-loaded" if held else ""
    return (
        f'<div class="q-model{css}"><b>{escape(tell(label, language))}</b>'
        f"<p>{escape(' · '.join(facts))}</p>{state}</div>"
    )
