"""The Models drawer without a browser: what it says of memory, precisions, adapters and keys."""

import re
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from qeu.backends.adapter_files import AdapterFolder, BrokenAdapter
from qeu.backends.adapter_run import TrainedAs
from qeu.backends.keyring import Keyring
from qeu.backends.precision import PRECISIONS
from qeu.backends.shelf import LoadedModel, Shelf
from qeu.core.errors import QeuError
from qeu.core.settings import Settings
from qeu.services.compare import SIDES, Comparison, SideSettings, start_comparison
from qeu.services.defaults import Machine, choose_defaults
from qeu.ui.compare_form import SideForm
from qeu.ui.context import Context, Words
from qeu.ui.models_defaults import DefaultPair, line_html
from qeu.ui.models_drawer import ModelsDrawer, model_choices
from qeu.ui.models_hosted import HostedModels
from qeu.ui.models_pickers import hosted_label, short_label
from qeu.ui.models_settings import SettingsNotes
from qeu.ui.models_view import (
    PRECISION_WORDS,
    adapters_html,
    estimate_html,
    header_html,
    memory_html,
    precision_of,
)
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.strings import LANGUAGES
from tests.wire_server import WireServer

KEY = "gsk_made_up_for_this_test_0123456789"
TEACHER = "groq/llama-3.3-70b-versatile"
GB = 10**9
HELD = LoadedModel(
    "smollm2-135m", "bfloat16", "cpu", 540_000_000, ("poems",), False, "bfloat16", 0.0
)


class SmallShelf(Shelf):
    """A real shelf on a machine whose free memory the test says."""

    def __init__(self, free: int, loaded: tuple[LoadedModel, ...] = (), **settings) -> None:
        super().__init__(Settings(device="cpu", **settings))
        self.free, self.held = free, list(loaded)

    def free_bytes(self) -> int:
        return self.free

    def loaded(self) -> list[LoadedModel]:
        return self.held


def ask(language: str = "en", visitor: str = "one") -> SimpleNamespace:
    """A request as gradio hands it to handlers."""
    return SimpleNamespace(
        session_hash=visitor, cookies={"qeu_lang": language}, headers={}, query_params={}
    )


class Page:
    """The parts of a page that the drawer works with."""

    def __init__(self, tmp_path: Path, keyring: Keyring | None = None, **settings) -> None:
        self.settings = Settings(
            home=tmp_path, adapters=tmp_path / "adapters", device="cpu", **settings
        )
        self.context = Context(self.settings, SmallShelf(16 * GB), keyring or Keyring())
        self.say = Words(gr.I18n(en={"x": "x"}))
        self.hosted = HostedModels(self.context)
        with gr.Blocks() as self.demo:
            self.common = SamplingForm(self.say, "common")
            self.exact_cb = gr.Checkbox()
            self.sides = {name: SideForm(self.say, name, []) for name in SIDES}
            self.roles_dd, self.line = gr.Dropdown([]), gr.HTML()
            self.drawer = ModelsDrawer(self.context, self.say, self.hosted)
            self.pair = DefaultPair(self.context, self.hosted)
            self.pair.wire(self.sides, self.line)
            pickers = [side.model_dd for side in self.sides.values()]
            status = gr.HTML()
            self.drawer.wire(pickers, status, lambda request: "status", lambda event: None)
        self.keys = self.drawer.keys
        self.notes = SettingsNotes(
            self.say, self.hosted, self.common, self.exact_cb, self.sides, self.roles_dd
        )

    def choices(self, request) -> list[str]:
        """What this visitor's left picker offers, by reference."""
        update = self.drawer.show_choices(request)[self.sides["left"].model_dd]
        return [ref for _, ref in update["choices"]]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


@pytest.fixture(scope="module")
def groq():
    with WireServer("groq", key=KEY, models=[TEACHER[5:], "whisper-large-v3"]) as server:
        yield server


def groq_ring(server: WireServer) -> Keyring:
    return Keyring(addresses={"groq": server.address})


def last(updates) -> dict:
    return list(updates)[-1]


class TestHeader:
    def test_names_model_precision_and_size(self) -> None:
        html = header_html([HELD], "en")
        assert "SmolLM2 135M · bf16 · 0.54 GB" in html
        assert "q-stop" in html

    def test_counts_several_and_names_them_in_the_tooltip(self) -> None:
        phi = LoadedModel("phi-2", "bfloat16", "cuda", 1_900_000_000, (), True, "nf4", None)
        html = header_html([HELD, phi], "en")
        assert "2 models · 2.4 GB" in html
        assert "Phi-2 · nf4 · 1.9 GB" in html
        assert "q-busy" in html

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_says_that_nothing_is_loaded(self, language: str) -> None:
        assert "q-stop" not in header_html([], language)


class TestMemory:
    def test_shows_held_free_adapters_and_a_button_to_unload(self) -> None:
        html = memory_html([HELD], 9 * GB, "en")
        assert "0.54 GB held, 9.0 GB free" in html
        assert "poems" in html
        assert "idle for" in html
        assert 'data-ask="smollm2-135m' in html

    def test_visitors_of_a_public_page_get_no_button(self) -> None:
        assert "data-ask" not in memory_html([HELD], GB, "en", may_unload=False)

    def test_names_are_only_text(self) -> None:
        bad = LoadedModel('<img src=x onerror="h()">', "bfloat16", "cpu", 1, ("<b>",), False)
        html = memory_html([bad], GB, "en")
        assert "<img" not in html
        assert "<b></p>" not in html
        assert 'onerror="' not in html


class TestEstimate:
    def test_every_precision_has_a_size_and_the_chosen_one_is_marked(self) -> None:
        html = estimate_html(SmallShelf(40 * GB), "phi-2", "en")
        assert html.count("q-size ") == len(PRECISIONS)
        assert html.count("q-chosen") == 1
        assert "q-fail" not in html
        assert "40.0 GB free" in html
        assert "Automatic → " in html

    def test_what_does_not_fit_comes_with_the_precision_that_does(self) -> None:
        shelf = SmallShelf(3 * GB)
        html = estimate_html(shelf, "phi-2", "en")
        assert "only 3.0 GB is free" in html
        assert "It would fit in 4 bits (NF4)" in html

    def test_where_nothing_fits_what_is_loaded_is_named(self) -> None:
        html = estimate_html(SmallShelf(GB, (HELD,)), "llama-3-8b", "en")
        assert "Unload SmolLM2 135M" in html
        assert "q-pass" not in html

    def test_where_nothing_fits_and_nothing_is_loaded_the_way_out_is_a_smaller_model(self) -> None:
        assert "smaller model" in estimate_html(SmallShelf(GB), "llama-3-8b", "en")

    def test_weights_stored_in_4_bits_offer_nothing_else(self) -> None:
        html = estimate_html(SmallShelf(40 * GB), "llama-3-8b-4bit", "en")
        assert html.count("q-size ") == 1

    def test_a_hub_id_of_unknown_size_says_so(self) -> None:
        html = estimate_html(SmallShelf(GB), "owner/name", "en")
        assert "known once its files are here" in html

    def test_an_unknown_name_is_told_with_its_sentence(self) -> None:
        assert "Unknown model" in estimate_html(SmallShelf(GB), "nothing such", "en")

    def test_a_chosen_precision_shows_in_the_picker_and_in_the_line(self) -> None:
        shelf = SmallShelf(40 * GB)
        assert precision_of(shelf, "phi-2") == "auto"
        shelf.choose_precision("phi-2", "int8")
        assert precision_of(shelf, "phi-2") == "int8"
        assert "in 8 bits" in estimate_html(shelf, "phi-2", "en")

    def test_every_precision_of_the_engine_has_a_word(self) -> None:
        assert set(PRECISION_WORDS) == {"auto", *PRECISIONS}


class TestAdapters:
    FOUND = AdapterFolder(
        "poems",
        Path("adapters/poems"),
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        16,
        run=TrainedAs(layout="bonsai-v2", target="both"),
    )

    def test_each_has_base_layout_and_what_it_writes(self) -> None:
        html = adapters_html([self.FOUND], [], Path("adapters"), "en")
        for fact in ("poems", "for SmolLM2 135M", "layout bonsai-v2", "Reasoning, then answer"):
            assert fact in html

    def test_a_broken_one_is_listed_with_its_reason_but_not_to_visitors(self) -> None:
        broken = BrokenAdapter("half", Path("x"), "Adapter 'half' cannot be loaded: <b>.")
        html = adapters_html([], [broken], Path("adapters"), "en")
        assert "cannot be loaded: &lt;b&gt;." in html
        assert "half" not in adapters_html([self.FOUND], [broken], None, "en")

    def test_the_folder_is_named_only_to_its_owner(self) -> None:
        assert "/secret/place" in adapters_html([], [], Path("/secret/place"), "en")
        assert "/" not in adapters_html([], [], None, "en").replace("</p>", "")


class TestNames:
    @pytest.mark.parametrize(
        ("ref", "expected"),
        [
            ("smollm2-135m", "SmolLM2 135M"),
            ("smollm2-135m@poems", "SmolLM2 135M @ poems"),
            ("llama-3-8b-4bit", "Llama-3 8B"),
            ("owner/name", "owner/name"),
            ("/home/me/models/mine", "mine"),
            ("groq/openai/gpt-oss-20b", "☁ openai/gpt-oss-20b · Groq"),
        ],
    )
    def test_a_reference_in_few_words(self, ref: str, expected: str) -> None:
        assert short_label(ref) == expected

    def test_a_server_is_told_by_the_name_it_was_given(self) -> None:
        assert hosted_label("server:lab/org/model") == "☁ org/model · lab"
        assert hosted_label("server/model") == "☁ model · server"
        assert hosted_label("server//models/small.gguf") == "☁ small.gguf · server"

    def test_the_embedded_model_is_named_in_the_pages_language(self, page: Page) -> None:
        assert {ref: name for name, ref in model_choices(page.context, "ja")}["smollm2-135m"] == (
            "SmolLM2 135M Instruct（内蔵）"
        )


class TestKeys:
    def test_a_key_is_taken_its_box_emptied_and_its_models_listed(self, tmp_path, groq) -> None:
        page, request = Page(tmp_path, groq_ring(groq)), ask()
        updates = list(page.keys.on_groq(f" {KEY} ", request))
        assert updates[0][page.keys.groq_box] == ""
        assert all(KEY not in str(update) for update in updates)
        assert TEACHER in page.choices(request)
        assert not any("whisper" in ref for ref in page.choices(request))
        assert "models: 1" in updates[-1][page.keys.states]

    def test_a_key_is_its_visitors_alone(self, tmp_path, groq) -> None:
        page = Page(tmp_path, groq_ring(groq))
        last(page.keys.on_groq(KEY, ask(visitor="one")))
        assert page.hosted.teacher(ask(visitor="one")) == TEACHER
        assert page.hosted.refs(ask(visitor="two")) == []
        assert page.context.keyring_of(ask(visitor="two")).key("groq") is None
        assert page.context.keyring.key("groq") is None

    def test_what_one_key_offered_is_not_offered_under_the_next(self, tmp_path, groq) -> None:
        page, request = Page(tmp_path, groq_ring(groq)), ask()
        last(page.keys.on_groq(KEY, request))
        session = page.context.sessions.of(request)
        session.keyring = session.keyring.with_key("groq", "gsk_another_one")
        assert page.hosted.refs(request) == []
        assert "asking" in page.keys.states_html(request)

    def test_a_forgotten_key_is_gone_with_its_models(self, tmp_path, groq) -> None:
        page, request = Page(tmp_path, groq_ring(groq)), ask()
        last(page.keys.on_groq(KEY, request))
        updates = page.keys.on_forget(SimpleNamespace(ask="groq"), request)
        assert page.context.keyring_of(request).key("groq") is None
        assert TEACHER not in page.choices(request)
        assert "No provider yet" in updates[page.keys.states]
        # Groq's address is a setting of the machine, not a secret of the visitor
        assert page.context.keyring_of(request).address("groq") == groq.address

    def test_a_refused_key_is_told_where_the_provider_stands(self, tmp_path, groq) -> None:
        page = Page(tmp_path, groq_ring(groq))
        wrong = "gsk_wrong_as_can_be"
        update = last(page.keys.on_groq(wrong, ask()))
        assert "q-error" in update[page.keys.states]
        assert wrong not in str(update)

    @pytest.mark.parametrize("key", ["two words", "schlüssel", "a\nb"])
    def test_what_is_no_key_is_not_kept_and_leaves_the_box(self, page: Page, key: str) -> None:
        update = last(page.keys.on_groq(key, ask()))
        assert update[page.keys.groq_box] == ""
        assert key not in str(update)
        assert page.context.keyring_of(ask()).key("groq") is None

    def test_what_is_left_of_the_limits_is_told_once_an_answer_has_said_so(
        self, tmp_path, groq
    ) -> None:
        page, request = Page(tmp_path, groq_ring(groq)), ask()
        last(page.keys.on_groq(KEY, request))
        assert "left" not in page.keys.states_html(request)
        sides = [SideSettings(TEACHER), SideSettings(TEACHER)]
        run = start_comparison(page.context.engines(request), Comparison(*sides, "Who are you?"))
        run.wait()
        html = page.keys.states_html(request)
        assert re.search(r"14,3\d\d of 14,400 requests left", html), html
        assert "of 18,000 tokens left" in html

    def test_an_empty_box_asks_for_a_key(self, page: Page) -> None:
        assert "Paste a key" in last(page.keys.on_groq("  ", ask()))[page.keys.notice]

    def test_a_named_server_is_asked_with_its_own_key_and_says_its_kind(self, tmp_path) -> None:
        with WireServer("vllm", key="server-key-1") as server:
            page, request = Page(tmp_path), ask()
            update = last(
                page.keys.on_server(f"{server.address}/v1", "lab", "server-key-1", request)
            )
            assert "lab · vLLM" in update[page.keys.states]
            assert server.address in update[page.keys.states]
            assert "server-key-1" not in str(update)
            assert "server:lab/meta-llama/Llama-3.1-8B-Instruct" in page.choices(request)

    def test_a_key_of_the_environment_never_goes_to_an_address_that_was_typed(
        self, tmp_path
    ) -> None:
        with WireServer("openai") as server:
            ring = Keyring(keys={"server": "owners-key-1"}, addresses={"server": "http://own:1"})
            page = Page(tmp_path, ring)
            last(page.keys.on_server(server.address, "", "", ask()))
            assert server.seen
            assert all("owners-key-1" not in str(seen.headers) for seen in server.seen)

    def test_a_wrong_address_stays_to_be_mended_and_the_key_does_not(self, page: Page) -> None:
        update = last(page.keys.on_server("ftp://x", "", "secret-key-1", ask()))
        assert "not the address of a server" in update[page.keys.notice]
        assert update[page.keys.key_box] == ""
        assert page.keys.address_box not in update

    def test_a_server_that_does_not_answer_is_kept_with_the_reason(self, page: Page) -> None:
        update = last(page.keys.on_server("http://127.0.0.1:9/v1", "lab", "", ask()))
        assert "q-error" in update[page.keys.states]
        assert 'data-ask="server:lab"' in update[page.keys.states]


class TestPublicPage:
    def test_has_no_boxes_and_refuses_what_is_sent_all_the_same(self, tmp_path) -> None:
        page = Page(tmp_path, public=True)
        types = [block for block in page.demo.blocks.values() if isinstance(block, gr.Textbox)]
        assert not [box for box in types if box.type == "password"]
        with pytest.raises(QeuError, match="public page"):
            last(page.keys.on_groq(KEY, ask()))
        with pytest.raises(QeuError, match="public page"):
            last(page.keys.on_server("http://10.0.0.1", "", "", ask()))
        update = page.keys.on_forget(SimpleNamespace(ask="groq"), ask())
        assert list(update) == [page.keys.notice]
        assert "public page" in update[page.keys.notice]

    def test_offers_the_owners_models_only_where_a_budget_is_set(self, tmp_path, groq) -> None:
        ring = groq_ring(groq).with_key("groq", KEY)
        shut = Page(tmp_path, ring, public=True)
        shut.drawer.on_first(ask())
        assert TEACHER not in shut.choices(ask())
        assert "offers no hosted models" in shut.keys.states_html(ask())
        offered = Page(tmp_path, ring, public=True, public_budget=1_000_000)
        offered.drawer.on_first(ask())
        assert TEACHER in offered.choices(ask())
        assert "data-ask" not in offered.keys.states_html(ask())

    def test_visitors_neither_unload_nor_choose_a_precision(self, tmp_path) -> None:
        page = Page(tmp_path, public=True)
        event = SimpleNamespace(ask="smollm2-135m\n")
        for update in (
            page.drawer.on_unload("smollm2-135m", event, ask()),
            page.drawer.on_precision("phi-2", "int8", ask()),
        ):
            assert "Visitors do not change" in update[page.drawer.notice]
        assert precision_of(page.context.shelf, "phi-2") == "auto"


class TestIgnoredSettings:
    def state(self, updates: dict, control) -> tuple[bool, str]:
        update = updates[control]
        return update["interactive"], update["info"].key

    def test_one_side_is_noted_both_are_disabled(self, page: Page) -> None:
        top_k, mine = page.common.controls["top_k"], page.sides["right"].sampling.controls["top_k"]
        other = page.sides["left"].sampling.controls["top_k"]
        one = page.notes.on_sides("smollm2-135m", TEACHER, ask())
        assert self.state(one, top_k) == (True, "sampling.ignored.right")
        assert self.state(one, mine) == (False, "sampling.ignored")
        assert self.state(one, other) == (True, "sampling.top_k.help")
        both = page.notes.on_sides(TEACHER, TEACHER, ask())
        assert self.state(both, top_k) == (False, "sampling.ignored.both")

    def test_what_every_provider_takes_stays_enabled(self, page: Page) -> None:
        found = page.notes.on_sides(TEACHER, TEACHER, ask())
        for name in ("temperature", "top_p", "max_new_tokens", "seed", "greedy"):
            assert found[page.common.controls[name]]["interactive"], name
        for name in ("top_k", "min_p", "repetition_penalty"):
            assert not found[page.common.controls[name]]["interactive"], name

    def test_all_are_given_back_when_local_models_are_chosen(self, page: Page) -> None:
        found = page.notes.on_sides("smollm2-135m", None, ask())
        controls = [*page.common.components(), *page.sides["right"].sampling.components()]
        assert all(found[control]["interactive"] for control in controls)
        assert found[page.exact_cb]["interactive"]

    def test_exact_is_out_with_a_hosted_side(self, page: Page) -> None:
        found = page.notes.on_sides("smollm2-135m", TEACHER, ask())[page.exact_cb]
        assert (found["interactive"], found["value"]) == (False, False)
        assert found["info"].key == "sampling.exact.hosted"

    def test_a_server_that_takes_more_keeps_more(self, tmp_path) -> None:
        with WireServer("vllm") as server:
            page, request = Page(tmp_path), ask()
            ref = "server:lab/some"
            assert "top_k" in page.hosted.ignored(ref, request)  # nobody has asked it yet
            last(page.keys.on_server(server.address, "lab", "", request))
            assert page.hosted.ignored(ref, request) == frozenset()


class TestPairOnThePage:
    def apply(self, page: Page, left="smollm2-135m", right="smollm2-135m", request=None) -> dict:
        return page.pair.on_apply(left, right, "answer", "answer", request or ask())

    def with_key(self, tmp_path, groq) -> Page:
        page = Page(tmp_path, groq_ring(groq))
        last(page.keys.on_groq(KEY, ask()))
        page.pair.on_find(ask())
        return page

    def test_an_untouched_page_gets_the_teacher_on_the_right(self, tmp_path, groq) -> None:
        page = self.with_key(tmp_path, groq)
        found = self.apply(page)
        assert found[page.sides["right"].model_dd] == TEACHER
        assert found[page.sides["left"].model_dd] == "smollm2-135m"
        assert "strongest teacher" in found[page.line]

    def test_a_choice_of_the_visitor_stands(self, tmp_path, groq) -> None:
        page = self.with_key(tmp_path, groq)
        found = self.apply(page, right="phi-2")
        assert page.sides["right"].model_dd not in found
        assert found[page.line] == ""

    def test_a_run_and_a_link_stand(self, tmp_path, groq) -> None:
        page = self.with_key(tmp_path, groq)
        page.pair.keep_link(ask())
        assert page.sides["right"].model_dd not in self.apply(page)
        page = self.with_key(tmp_path, groq)
        page.context.sessions.of(ask()).runs["compare"] = object()
        assert page.sides["right"].model_dd not in self.apply(page)

    def test_a_forgotten_key_takes_its_teacher_from_an_untouched_page(self, tmp_path, groq) -> None:
        page = self.with_key(tmp_path, groq)
        self.apply(page)
        page.keys.on_forget(SimpleNamespace(ask="groq"), ask())
        page.pair.on_find(ask())
        found = self.apply(page, right=TEACHER)
        assert found[page.sides["right"].model_dd] == "smollm2-135m"

    @pytest.mark.parametrize("language", LANGUAGES)
    def test_every_reason_is_one_line_in_every_language(self, language: str) -> None:
        here = {"phi-2": 0, "llama-3-8b": 0}
        for machine in (
            Machine(),
            Machine(True, GB, here),
            Machine(True, 40 * GB, {}),
            Machine(True, 40 * GB, here),
            Machine(True, 40 * GB, {"phi-2": GB, "llama-3-8b": GB}),
        ):
            for teacher in ("", TEACHER):
                html = line_html(choose_defaults(machine, teacher), language)
                assert "{" not in html
                assert html.count("<p") == 1
