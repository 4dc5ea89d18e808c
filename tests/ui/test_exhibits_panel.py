"""Recorded runs under the Compare tab: listed, shown whole, and what is wrong with a file said."""

from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from qeu.services import exhibits as exhibits_service
from qeu.services.exhibits import read_exhibits
from qeu.ui import exhibits_panel
from qeu.ui.context import Words
from qeu.ui.exhibits_panel import ExhibitsPanel
from qeu.ui.strings import LANGUAGES, words


def visitor(language: str = "en") -> gr.Request:
    headers = {"accept-language": language}
    return SimpleNamespace(session_hash="a", cookies={}, headers=headers)  # type: ignore


@pytest.fixture
def panel() -> ExhibitsPanel:
    with gr.Blocks():
        return ExhibitsPanel(Words(gr.I18n(**{code: dict(words(code)) for code in LANGUAGES})))


def test_every_shipped_run_is_listed_and_its_origin_told(panel: ExhibitsPanel) -> None:
    shown = panel.on_language(visitor())
    choices = shown[panel.list_radio]["choices"]
    assert [exhibit_id for _, exhibit_id in choices] == [e.id for e in read_exhibits()]
    assert "smollm2-135m" in shown[panel.about]
    assert "内蔵モデル" in panel.on_language(visitor("ja"))[panel.about]


def test_choosing_one_shows_that_run_with_its_note(panel: ExhibitsPanel) -> None:
    asked: list = []

    def show(stored, line, request):
        asked.append((stored, line))
        return {}

    exhibit = read_exhibits()[1]
    with gr.Blocks() as demo:
        panel.list_radio.render()
        panel.wire(show, {gr.HTML()})
    handler = next(iter(demo.fns.values())).fn
    handler(exhibit.id, visitor())
    handler("no such id", visitor())
    [(stored, line)] = asked
    assert stored.results == exhibit.results
    assert exhibit.note in line
    assert exhibit.at[:10] in line


def test_a_broken_file_is_said_and_costs_nothing_else(
    panel: ExhibitsPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "exhibits.jsonl"
    broken.write_text("{}\n")
    monkeypatch.setattr(exhibits_panel, "read_exhibits", lambda: read_exhibits(broken))
    shown = panel.on_language(visitor())
    assert "Line 1" in shown[panel.about]
    assert exhibits_service.EXHIBITS_FILE.exists()
