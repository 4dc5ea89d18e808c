"""The page as a whole: header, sampling sidebar, models drawer, tabs, and how it is launched."""

import gc
import os
import threading
from pathlib import Path

import gradio as gr
from starlette.middleware import Middleware

from qeu.backends.keyring import Keyring
from qeu.backends.shelf import Shelf
from qeu.core.errors import QeuError
from qeu.core.settings import Settings
from qeu.services.link import from_query
from qeu.services.places import PublicQueue
from qeu.ui.api import add_api, require_mcp
from qeu.ui.compare_form import Updates
from qeu.ui.compare_tab import CompareTab, example_comparison, load_examples
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.dataset_import_form_panel import MOST_PUBLIC_BYTES
from qeu.ui.dataset_tab import DatasetTab
from qeu.ui.door import PublicDoor, password_check
from qeu.ui.evaluate_tab import EvaluateTab
from qeu.ui.listeners import hush_progress, settle_listeners
from qeu.ui.models_defaults import DefaultPair
from qeu.ui.models_drawer import ModelsDrawer, model_choices
from qeu.ui.models_header import ModelsHeader
from qeu.ui.models_hosted import HostedModels
from qeu.ui.models_settings import SettingsNotes
from qeu.ui.panels import notice_html
from qeu.ui.reasoning_tab import ReasoningTab
from qeu.ui.roles_tab import RolesTab
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.sentences import tell
from qeu.ui.sessions import language_of
from qeu.ui.strings import LANGUAGES, text, words
from qeu.ui.strip import Strip
from qeu.ui.sweep_tab import SweepTab
from qeu.ui.sweep_use import SweepUse
from qeu.ui.train_tab import TrainTab

ASSETS = Path(__file__).parent / "assets"


def build_app(settings: Settings) -> tuple[gr.Blocks, dict[str, object]]:
    """The page and the arguments it is launched with; loads no model and opens no database."""
    demo, launch, _ = make_page(settings)
    return demo, launch


def make_page(settings: Settings) -> tuple[gr.Blocks, dict[str, object], Context]:
    """The same, with what the page was built from."""
    shelf = Shelf(settings)
    if settings.public:
        shelf.queue = PublicQueue(settings.public_queue)
    context = Context(settings, shelf, Keyring.from_env(os.environ))
    say = Words(gr.I18n(**{code: dict(words(code)) for code in LANGUAGES}))
    # What visitors typed or generated is deleted from the page's temporary files after a day.
    with gr.Blocks(
        title="QEU Playground", fill_width=True, analytics_enabled=False, delete_cache=(3600, 86400)
    ) as demo:
        _build(demo, context, say)
    settle_listeners(demo)
    hush_progress(demo)
    scripts = sorted(ASSETS.glob("*.js"))
    launch = {
        "server_name": settings.host,
        # said either way: left out, gradio opens a link by itself where it finds a notebook
        "share": settings.share,
        "auth": password_check(settings.password) if settings.password else None,
        # said either way too: left out, a variable of gradio's own decides
        "mcp_server": settings.mcp,
        "i18n": say.i18n,
        "theme": _theme(),
        "css_paths": sorted(ASSETS.glob("*.css")),
        "head": "".join(f"<script>{path.read_text('utf-8')}</script>" for path in scripts),
        "footer_links": ["api", "gradio"],
        # Typed texts stay on this machine's own history, not in every browser's storage.
        "run_history": False,
        # on a public page visitors read our sentences, not what a library says of this machine
        "show_error": not settings.public,
        "enable_monitoring": False,
        "ssr_mode": False,
        # a visitor's upload is refused while it arrives, not after it has filled the disk
        "max_file_size": MOST_PUBLIC_BYTES if settings.public else None,
        "app_kwargs": {"middleware": [Middleware(PublicDoor)]} if settings.public else {},
        "quiet": True,
    }
    return demo, launch, context


def serve(settings: Settings) -> None:
    """Build the page and serve it until Ctrl-C; takes the next free port if ours is taken."""
    if settings.mcp:
        require_mcp(settings)
    demo, launch, context = make_page(settings)
    demo.queue(default_concurrency_limit=None, api_open=not settings.public)
    ports = range(settings.port, min(settings.port + 20, 65_536))
    for port in ports:
        try:
            _, address, link = demo.launch(server_port=port, prevent_thread_lock=True, **launch)
            break
        except OSError:
            continue
    else:
        raise QeuError(
            f"Ports {ports[0]} to {ports[-1]} are all taken. Set QEU_PORT to a free one."
        )
    gc.freeze()  # what stands now stays: later looks for garbage pass it by
    gc.enable()  # app.py starts without
    print(f"QEU Playground is at {link or address} (Ctrl-C ends it).", flush=True)
    if warning := access_warning(settings, link):
        print(warning, flush=True)
    try:
        context.start_jobs()
        threading.Event().wait()
    except KeyboardInterrupt:
        print("Ending; what was generated is in the history.", flush=True)
    finally:
        context.end_jobs()
        demo.close(verbose=False)


def access_warning(settings: Settings, link: str | None) -> str:
    """What an owner should know about who can reach the page; "" where there is nothing."""
    if settings.share and not link:
        return (
            "No share link could be made: this machine reaches no gradio.live, or lacks its "
            "helper program. The page is at the address above only."
        )
    here = settings.host in ("127.0.0.1", "localhost", "::1")
    if not (here or settings.public or settings.password):
        return (
            f"Everybody who reaches {settings.host} can use this machine, its files and its keys. "
            "Set QEU_PASSWORD, or QEU_PUBLIC=1."
        )
    return ""


def _build(demo: gr.Blocks, context: Context, say: Words) -> None:
    models = model_choices(context)
    with gr.Sidebar(label=say("sampling.title"), open=False, elem_id="sampling", width=300):
        gr.Markdown(say("sampling.intro"))
        live_cb = gr.Checkbox(
            False, label=say("sampling.live"), info=say("sampling.live.help"), elem_id="live"
        )
        sampling = SamplingForm(say, "common")
        exact_cb = gr.Checkbox(
            False, label=say("sampling.exact"), info=say("sampling.exact.help"), elem_id="exact"
        )
        is_own = not context.settings.public
        sweep_btn = gr.Button(say("sweep.these"), size="sm", elem_id="sweep-these", visible=is_own)
    with gr.Row(elem_id="header"):
        gr.HTML(_brand_html(), elem_id="brand")
        header = ModelsHeader(context)
        language_dd = gr.Dropdown(
            [(name, code) for code, name in LANGUAGES.items()],
            value="en",
            show_label=False,
            container=False,
            elem_id="language",
            min_width=120,
            scale=0,
        )
        sampling_btn = gr.Button(
            say("sampling.title"), size="sm", elem_id="sampling-btn", min_width=90, scale=0
        )
        models_btn = gr.Button(
            say("models.title"), size="sm", elem_id="models-btn", min_width=80, scale=0
        )
        theme_btn = gr.Button("◐", size="sm", elem_id="theme-btn", min_width=44, scale=0)
    strip = Strip(context)
    hosted = HostedModels(context)
    pair = DefaultPair(context, hosted)
    drawer = ModelsDrawer(context, say, hosted)
    with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
        with gr.Tab(say("tab.compare"), id="compare") as compare_tab:
            switches = {"live": live_cb, "exact": exact_cb}
            compare = CompareTab(context, say, sampling, switches, models, pair)
        with gr.Tab(say("tab.roles"), id="roles") as roles_tab:
            roles = RolesTab(context, say, sampling, exact_cb, models)
        with gr.Tab(say("dataset.tab"), id="dataset") as dataset_tab:
            dataset = DatasetTab(context, say)
        with gr.Tab(say("tab.reasoning"), id="reasoning") as reasoning_tab:
            reasoning = ReasoningTab(context, say, dataset.place)
        with gr.Tab(say("tab.train"), id="train") as train_tab:
            train = TrainTab(context, say, dataset.place)
        with (
            gr.Tab(say("tab.evaluate"), id="evaluate") as evaluate_tab,
            gr.Tabs(elem_id="evaluate-parts") as evaluate_parts,
        ):
            with gr.Tab(say("evaluate.title"), id="verdict"):
                evaluate = EvaluateTab(context, say)
            with gr.Tab(say("sweep.tab"), id="sweep") as sweep_tab:
                sweep = SweepTab(context, say, sampling, exact_cb, roles.roles)
    actions = compare.wire(roles.roles)
    # The first example stands in the form from the start: Run works before anything has loaded.
    actions.form.preset(example_comparison(load_examples()[0], DEFAULT_MODEL, pair.preset))
    roles.wire(roles_tab, compare.question)
    dataset.wire(dataset_tab, tabs, actions.form, roles.roles)
    reasoning.wire(reasoning_tab)
    train.wire(train_tab, tabs)
    evaluate.wire(evaluate_tab, tabs)
    menu = drawer.manage.work if drawer.manage else None
    evaluate.follow_adapters(train.runs.list, menu, tabs, evaluate_parts)
    use = SweepUse(actions.form, compare.view, tabs, evaluate_parts)
    sweep.wire(sweep_tab, evaluate_parts, evaluate_tab, tabs, use)
    if sweep.form:
        use.wire(sweep_btn, sweep.form, sweep.state)
    sides = [side.model_dd for side in compare.side_forms.values()]
    pickers = [*sides, *roles.model_dropdowns, *reasoning.model_dropdowns]
    pickers += [*evaluate.model_dropdowns, *sweep.model_dropdowns]
    drawer.wire(pickers, header.status, header.line, pair.after)
    drawer.follow_adapters(train.adapters)
    strip.wire(tabs)
    watched = {train.adapters: train.adapters_text, strip.line: strip.news}
    header.wire(demo, {**drawer.watched(), **watched})
    notes = SettingsNotes(say, hosted, sampling, exact_cb, compare.side_forms, roles.model_dd)
    notes.wire(compare_tab, roles_tab)
    add_api(context)

    sampling_btn.click(None, js="() => qeuToggleSidebar('sampling')", api_visibility="private")
    models_btn.click(None, js="() => qeuToggleSidebar('models')", api_visibility="private")
    theme_btn.click(None, js="() => qeuToggleTheme()", api_visibility="private")

    def on_language(_: str, request: gr.Request) -> Updates:
        return {
            **actions.on_language(request),
            **compare.exhibits.on_language(request),
            **roles.on_language(request),
            **dataset.on_language(request),
            **reasoning.on_language(request),
            **train.on_language(request),
            compare.view.notice: notice_html(text("page.hint", language_of(request))),
            strip.line: strip.html(request),
        }

    dynamic = {strip.line} | compare.view.outputs() | compare.exhibits.outputs()
    dynamic |= roles.outputs() | dataset.outputs() | reasoning.outputs() | train.outputs()
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    changed = language_dd.input(
        on_language,
        language_dd,
        dynamic,
        js="(code) => qeuSetLanguage(code)",
        trigger_mode="always_last",
        **quiet,
    )
    drawer.follow_language(changed)
    pair.follow_language(changed)
    evaluate.follow_language(changed)
    sweep.follow_language(changed)

    # A state among its outputs makes a browser tell that it changed, even where it is left alone:
    # each tab is filled when it is first looked at, and not by this.
    spoken = {tab.spoken for tab in (roles, dataset, reasoning, train)}

    def on_open(request: gr.Request) -> Updates:
        """First sight: the link's settings if there are any, all in the visitor's language."""
        language = language_of(request)
        updates: Updates = {language_dd: language, **on_language(language, request)}
        for state in spoken:  # there where somebody was quicker than this
            updates.pop(state, None)
        updates |= actions.list_history("", request)
        try:
            comparison = from_query(dict(request.query_params), DEFAULT_MODEL)
        except QeuError as error:
            sentence = tell(str(error), language)
            return updates | {compare.view.notice: notice_html(sentence, "error")}
        if comparison is None:
            return updates
        pair.keep_link(request)
        return updates | actions.form.fill(comparison)

    first = dynamic - spoken | actions.form.outputs() | {language_dd}
    demo.load(on_open, None, first, **quiet)

    # providers are asked in the background: the page is up and works before they answer
    pair.after(drawer.look_at_first(demo))
    demo.unload(context.end_visit)


def _brand_html() -> str:
    return '<b class="q-brand">QEU <span>Playground</span></b>'


def _theme() -> gr.themes.Base:
    """Quiet colours and the system's own fonts: nothing is fetched, offline pages look the same."""
    fonts = ["system-ui", "Noto Sans", "Noto Sans CJK JP", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue="teal",
        secondary_hue="slate",
        neutral_hue="slate",
        radius_size="sm",
        spacing_size="sm",
        font=fonts,
        font_mono=["ui-monospace", "Noto Sans Mono", "monospace"],
    )
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_label_text_weight="600",
        block_title_text_weight="600",
        block_title_text_size="*text_sm",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_300",
        block_info_text_size="*text_sm",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
    )
