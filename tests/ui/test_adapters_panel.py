"""The drawer's work with adapters, without a browser: menu, zip, push, deletion, merge."""

import json
import re
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from qeu.backends.keyring import Keyring
from qeu.backends.shelf import LoadedModel
from qeu.core.record import Record
from qeu.core.run_status import RunStatus
from qeu.core.settings import Settings
from qeu.store.owner import my_owner
from qeu.store.run_folders import RunFolder
from qeu.ui.adapters_panel import STEPS
from qeu.ui.context import Context, Words
from qeu.ui.models_drawer import ModelsDrawer
from qeu.ui.models_hosted import HostedModels
from qeu.ui.strings import LANGUAGES, text, words
from tests.backends.test_adapter_files import make
from tests.ui.test_models_drawer import GB, SmallShelf, ask

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
CONTRACT = Path(__file__).parent.parent / "contract" / "run.json"


class Page:
    """A drawer over a folder with the adapter poems, and what a press of a button answers."""

    def __init__(self, tmp_path: Path, **settings) -> None:
        self.adapters = tmp_path / "adapters"
        path = make(self.adapters, "poems", base=HUB_ID)
        run = json.loads(CONTRACT.read_text("utf-8")) | {"name": "poems"}
        (path / "run.json").write_text(json.dumps(run))
        record = {"record": Record(instruction="a text of somebody").to_json()}
        (path / "train.jsonl").write_text(json.dumps(record) + "\n")
        where = {"home": tmp_path / "home", "adapters": self.adapters, "cache": tmp_path / "cache"}
        self.context = Context(Settings(device="cpu", **where, **settings), SmallShelf(16 * GB))
        self.context.keyring = Keyring()
        say = Words(gr.I18n(en={"x": "x"}))
        with gr.Blocks() as self.demo:
            self.picker = gr.Dropdown([])
            self.drawer = ModelsDrawer(self.context, say, HostedModels(self.context))
            status = gr.HTML()
            self.drawer.wire([self.picker], status, lambda request: "", lambda event: None)

    def press(self, asked: str, language: str = "en", name: str = "poems", **typed) -> list[dict]:
        event = SimpleNamespace(ask=f"{asked}\n{name}", typed=typed)
        return list(self.drawer.manage.on_ask(event, ask(language)))

    def said(self, asked: str, language: str = "en", name: str = "poems", **typed) -> str:
        return self.press(asked, language, name, **typed)[-1][self.drawer.manage.work]

    def offered(self, request) -> list[str]:
        return [ref for _, ref in self.drawer.show_choices(request)[self.picker]["choices"]]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


def asks(html: str) -> set[str]:
    return set(re.findall(r'data-ask="(\w+)\n', html))


def test_every_adapter_has_a_button_and_its_menu_offers_all(page: Page) -> None:
    assert asks(page.drawer.show("smollm2-135m", ask())[page.drawer.adapters]) == {"open"}
    html = page.said("open")
    assert asks(html) == {"evaluate", "zip", "merge", "plan", "ask_delete", "close"}
    assert f'value="{page.context.settings.home / "merged" / "poems"}"' in html
    assert page.said("close") == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_form_is_whole_in_every_language(page: Page, language: str) -> None:
    forms = [page.said("open", language), page.said("ask_delete", language)]
    forms.append(page.said("plan", language, repo="somebody/poems"))
    for html in forms:
        assert "{" not in html
        assert "poems" in html
    if language != "en":
        assert text("adapters.merge", "en") not in forms[0]
    assert all(key in words(language) for key in STEPS.values())


def test_the_zip_is_handed_over_under_its_size(page: Page, tmp_path: Path) -> None:
    event = SimpleNamespace(ask="zip\npoems", typed={})
    kept = tmp_path / "kept.zip"
    for update in page.drawer.manage.on_ask(event, ask()):
        # the page copies it before the next answer: then the folder is gone
        shown = update[page.drawer.manage.download_btn]
        shutil.copy(shown["value"], kept)
    assert (shown["visible"], shown["label"]) == (True, "Download the zip file (0.0 MB)")
    assert not Path(shown["value"]).exists()
    assert "poems/adapter_config.json" in zipfile.ZipFile(kept).namelist()
    assert "poems/train.jsonl" not in zipfile.ZipFile(kept).namelist()


def test_a_push_shows_files_and_licences_before_it_can_be_sent(page: Page) -> None:
    assert "was not looked at" in page.said("push")
    html = page.said("plan", repo="somebody/poems")
    assert asks(html) == {"push", "open", "close"}
    for told in ("somebody/poems, private", "adapter_model.safetensors", "apache-2.0", "MIT (400)"):
        assert told in html
    assert "may forbid training" in html
    assert "readable for everybody:" in page.said("plan", repo="a/b", public=True)
    # the tests' environment forbids the network
    assert "HF_HUB_OFFLINE=1 forbids" in page.said("push")
    assert "was not looked at" in page.said("push")  # one look, one push
    assert "Write it as OWNER/NAME" in page.said("plan", repo="no repository")


def test_a_deletion_is_confirmed_and_reaches_every_picker(page: Page) -> None:
    assert "smollm2-135m@poems" in page.offered(ask())
    html = page.said("ask_delete")
    assert "Delete poems for good" in html
    assert "curves, texts and checkpoints (0)" in html
    assert asks(html) == {"delete", "open", "close"}
    assert (page.adapters / "poems").exists()
    update = page.press("delete")[-1]
    assert "poems is deleted" in update[page.drawer.manage.work]
    assert "data-ask" not in update[page.drawer.adapters]
    refs = [ref for _, ref in update[page.picker]["choices"]]
    assert "smollm2-135m@poems" not in refs
    assert "There is no adapter" in page.said("delete")


def test_an_adapter_in_use_or_in_training_stays(page: Page) -> None:
    busy = LoadedModel("smollm2-135m", "bfloat16", "cpu", 1, ("poems",), True)
    page.context.shelf.held = [busy]
    for asked in ("ask_delete", "delete"):
        assert "smollm2-135m is computing with it" in page.said(asked)
    page.context.shelf.held = []
    RunFolder(page.adapters / "poems").write_status(RunStatus("running", owner=my_owner()))
    assert "is running. Stop it first" in page.said("delete")
    assert (page.adapters / "poems").exists()


def test_a_merge_that_cannot_be_is_told_in_the_menu(page: Page, tmp_path: Path) -> None:
    assert "Name a folder" in page.said("merge", folder="  ")
    html = page.said("merge", folder=str(tmp_path))
    assert "is there already" in html
    assert "merge" in asks(html)


def test_names_are_only_text(page: Page) -> None:
    html = page.said("open", name='<img src=x onerror="h()">')
    assert "<img" not in html
    make(page.adapters, "a<b>", base=HUB_ID)
    assert "<b>a<b></b>" not in page.said("open", name="a<b>")


def test_a_public_page_has_none_of_it_and_refuses_what_is_sent(tmp_path: Path) -> None:
    from qeu.ui.adapters_panel import AdaptersPanel

    public = Page(tmp_path, public=True)
    assert public.drawer.manage is None
    assert "data-ask" not in public.drawer.show("smollm2-135m", ask())[public.drawer.adapters]
    with gr.Blocks():
        panel = AdaptersPanel(public.context, Words(gr.I18n(en={"x": "x"})))
    for asked in ("zip", "merge", "plan", "delete"):
        event = SimpleNamespace(ask=f"{asked}\npoems", typed={"folder": "x", "repo": "a/b"})
        (update,) = panel.on_ask(event, ask())
        assert "Visitors of a public page do not" in update[panel.work]
    assert (public.adapters / "poems").exists()
