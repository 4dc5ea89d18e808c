"""Keys and addresses of hosted models: taken, kept with one visitor's page, forgotten.

A key goes from its box to the server's memory and from there to its provider, nowhere else: its box
is emptied by the answer, and nothing that the page is sent holds it.
"""

from collections.abc import Callable, Iterator

import gradio as gr
from gradio.events import Dependency

from qeu.backends.keyring import Keyring
from qeu.backends.providers import PROVIDERS
from qeu.core.errors import QeuError
from qeu.services.public_limits import refuse_addresses, refuse_keys
from qeu.ui.compare_form import Updates
from qeu.ui.context import Context, Words
from qeu.ui.markup import escape
from qeu.ui.models_hosted import HostedModels, ProviderState
from qeu.ui.models_pickers import provider_label
from qeu.ui.panels import notice_html
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import text

QUIET = {"show_progress": "hidden", "api_visibility": "private"}
# A click on a button within server-written HTML, with what the button asks for.
ASK_JS = (
    "element.addEventListener('click', (event) => {"
    " const button = event.target.closest('[data-ask]');"
    " if (button) trigger('submit', { ask: button.dataset.ask }); });"
)


class KeysPanel:
    """The boxes, and a line for every provider. A public page has no boxes."""

    def __init__(self, context: Context, say: Words, hosted: HostedModels) -> None:
        self.context, self.hosted = context, hosted
        self.public = context.settings.public
        self.states = gr.HTML(elem_id="keys-states", js_on_load=ASK_JS)
        self.notice = gr.HTML(notice_html(""), elem_id="keys-notice")
        if self.public:
            gr.Markdown(say("models.hosted.public"), elem_classes="q-intro")
            return
        with gr.Row(elem_classes="q-tight q-add"):
            self.groq_box = gr.Textbox(
                "",
                label=say("models.groq_key"),
                placeholder="gsk_…",
                type="password",
                elem_id="groq-key",
                min_width=160,
                scale=4,
            )
            self.groq_btn = gr.Button(
                say("models.add"), elem_id="groq-add", size="md", min_width=64, scale=1
            )
        self.address_box = gr.Textbox(
            "",
            label=say("models.server.address"),
            placeholder="http://localhost:8000/v1",
            elem_id="server-address",
        )
        with gr.Row(elem_classes="q-tight"):
            self.name_box = gr.Textbox(
                "",
                label=say("models.server.name"),
                elem_id="server-name",
                min_width=80,
                scale=2,
            )
            self.key_box = gr.Textbox(
                "",
                label=say("models.server.key"),
                type="password",
                elem_id="server-key",
                min_width=80,
                scale=2,
            )
        self.server_btn = gr.Button(say("models.add"), elem_id="server-add", size="md")
        gr.Markdown(say("models.hosted.private"), elem_classes="q-intro")

    def wire(
        self,
        pickers: set[object],
        show_choices: Callable[[gr.Request], Updates],
        after: Callable[[Dependency], None],
    ) -> None:
        """Connect the boxes; `show_choices` fills the `pickers`, `after` is told of each event."""
        self.show_choices = show_choices
        shown = {self.states, self.notice, *pickers}
        after(self.states.submit(self.on_forget, None, shown, **QUIET))
        if self.public:
            return
        server = [self.address_box, self.name_box, self.key_box]
        boxes = {self.groq_box, *server}
        after(
            gr.on(
                [self.groq_btn.click, self.groq_box.submit],
                self.on_groq,
                self.groq_box,
                shown | boxes,
                **QUIET,
            )
        )
        after(
            gr.on(
                [self.server_btn.click, self.address_box.submit, self.key_box.submit],
                self.on_server,
                server,
                shown | boxes,
                **QUIET,
            )
        )

    def on_groq(self, key: str, request: gr.Request) -> Iterator[Updates]:
        """Take a Groq key and list what it offers."""
        if self.public:
            refuse_keys()
        emptied: Updates = {self.groq_box: ""}
        if not (key or "").strip():
            said = text("models.no_key", language_of(request))
            yield {self.notice: notice_html(said, "warning")}
            return
        yield from self._add(
            "groq", lambda ring: ring.with_key("groq", key.strip()), emptied, request
        )

    def on_server(
        self, address: str, name: str, key: str, request: gr.Request
    ) -> Iterator[Updates]:
        """Take a server's address, and list what it offers."""
        if self.public:
            refuse_addresses()
        name = (name or "").strip()
        provider = f"server:{name}" if name else "server"

        def add(ring: Keyring) -> Keyring:
            # without(): a key that was given for another address must not go to this one
            found = ring.without(provider).with_server(address or "", name)
            return found.with_key(provider, key or "")

        emptied: Updates = {self.address_box: "", self.name_box: "", self.key_box: ""}
        yield from self._add(provider, add, emptied, request)

    def _add(
        self,
        provider: str,
        change: Callable[[Keyring], Keyring],
        emptied: Updates,
        request: gr.Request,
    ) -> Iterator[Updates]:
        language, session = language_of(request), self.context.sessions.of(request)
        try:
            session.keyring = change(self.context.keyring_of(request))
        except QeuError as error:
            # a wrong address may be mended, a key is typed again
            secrets = {self.groq_box: "", self.key_box: ""}
            yield {**secrets, self.notice: notice_html(tell(str(error), language), "error")}
            return
        yield {**emptied, self.notice: notice_html(""), self.states: self.states_html(request)}
        self.hosted.look(request, refresh=True)
        found = self.hosted.of(provider, request)
        said = notice_html("")
        if found and found.refs:
            label, count = provider_label(provider), len(found.refs)
            said = notice_html(text("models.added", language, provider=label, count=count))
        yield {
            self.notice: said,
            self.states: self.states_html(request),
            **self.show_choices(request),
        }

    def on_forget(self, event: gr.EventData, request: gr.Request) -> Updates:
        """Forget a provider's key and address; its models leave the pickers."""
        provider, language = str(event.ask), language_of(request)
        try:
            if self.public:
                refuse_keys()
        except QeuError as error:
            return {self.notice: notice_html(tell(str(error), language), "error")}
        self.hosted.forget(provider, request)
        said = text("models.forgotten", language, provider=provider_label(provider))
        return {
            self.notice: notice_html(said),
            self.states: self.states_html(request),
            **self.show_choices(request),
        }

    def states_html(self, request: gr.Request) -> str:
        """A line for every provider: whether it answers, how many models, what is left."""
        language = language_of(request)
        states = self.hosted.states(request)
        if not states:
            key = "models.hosted.not_offered" if self.public else "models.hosted.none"
            return f'<p class="q-hint">{escape(text(key, language))}</p>'
        return "".join(self._state_html(state, request) for state in states)

    def _state_html(self, state: ProviderState | str, request: gr.Request) -> str:
        language = language_of(request)
        provider = state if isinstance(state, str) else state.provider
        css, facts = "busy", [text("models.state.asking", language)]
        if isinstance(state, ProviderState) and state.error:
            css, facts = "error", [tell(state.error, language)]
        elif isinstance(state, ProviderState):
            css = "stop"
            facts = [text("models.state.models", language, count=len(state.refs))]
            facts += self._left(provider, request)
        if provider != "groq" and not self.public:
            facts.append(self.context.keyring_of(request).address(provider) or "")
        button = ""
        if not self.public:
            title = escape(text("models.forget", language))
            asked = escape(provider)
            button = f'<button type="button" class="q-mini" data-ask="{asked}">{title}</button>'
        name = provider_label(provider)
        if isinstance(state, ProviderState) and state.kind and provider != "groq":
            name = f"{name} · {PROVIDERS[state.kind].label}"
        return (
            f'<div class="q-model q-provider"><div class="q-head"><b>'
            f'<span class="q-dot q-{css}"></span>{escape(name)}</b>{button}</div>'
            f"<p>{escape(' · '.join(facts))}</p></div>"
        )

    def _left(self, provider: str, request: gr.Request) -> list[str]:
        """What is left of the provider's limits, once an answer has told."""
        language = language_of(request)
        ring = self.context.keyring_of(request)
        left = self.context.pool.limits_left(provider, ring)
        words = {"requests": "models.state.requests", "tokens": "models.state.tokens"}
        return [
            text(word, language, left=f"{left[of][0]:,}", limit=f"{left[of][1]:,}")
            for of, word in words.items()
            if of in left
        ]
