"""The table of models: what a typed name means, and what each model is fit for."""

from pathlib import Path

import pytest

from qeu.backends.catalog import (
    LANGUAGES,
    TASKS,
    find_layout,
    find_model,
    fitness_warning,
    list_models,
    split_ref,
)
from qeu.core.errors import QeuError
from qeu.core.prompts import LAYOUTS


def test_the_embedded_model_comes_first_and_knows_english_only() -> None:
    first = list_models()[0]
    assert (first.id, first.embedded, first.reads, first.writes) == (
        "smollm2-135m", True, ("en",), ("en",),
    )  # fmt: skip


def test_cards_are_consistent() -> None:
    cards = list_models()
    assert len({card.id for card in cards}) == len(cards) >= 5
    for card in cards:
        assert card.layout in LAYOUTS
        assert {*card.reads, *card.writes} <= set(LANGUAGES)
        assert set(card.fit_for) <= set(TASKS)
        assert card.context
        assert card.licence != "unknown"
        assert 0 < card.needs_bytes <= card.memory_bytes <= 2 * card.parameters


def test_a_four_bit_default_needs_a_third_of_the_memory_and_fits_a_t4() -> None:
    assert (
        find_model("llama-3-8b").needs_bytes < 6_000_000_000 < find_model("llama-3-8b").memory_bytes
    )
    assert find_model("llama-3-8b-4bit").needs_bytes == find_model("llama-3-8b-4bit").memory_bytes
    assert find_model("smollm2-135m").needs_bytes == 269_030_016


def test_a_hub_id_of_the_table_gives_its_card() -> None:
    assert find_model("microsoft/phi-2") is find_model("phi-2")


def test_the_embedded_models_hub_id_means_the_hubs_own_weights() -> None:
    card = find_model("HuggingFaceTB/SmolLM2-135M-Instruct")
    assert not card.embedded
    assert card.hub_repo == card.id
    assert card.reads == ("en",)


def test_a_layout_is_found_without_looking_at_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda path: pytest.fail("looked at the disk"))
    assert find_layout("/etc") == find_layout("owner/name") == "chat"
    assert find_layout("phi-2") == find_layout("microsoft/Phi-2") == "bonsai-v2"


@pytest.mark.parametrize(
    ("name", "kind", "repo"),
    [
        ("groq/llama-3.1-8b-instant", "groq", ""),
        ("groq/openai/gpt-oss-20b", "groq", ""),
        ("server/my-model", "server", ""),
        ("Qwen/Qwen3-0.6B", "local", "Qwen/Qwen3-0.6B"),
    ],
)
def test_a_typed_name_gets_a_card_of_its_own(name: str, kind: str, repo: str) -> None:
    card = find_model(f" {name} ")
    assert (card.id, card.kind, card.hub_repo, card.tested) == (name, kind, repo, False)


def test_an_existing_folder_or_gguf_file_is_a_model(tmp_path: Path) -> None:
    file = tmp_path / "small.gguf"
    file.write_bytes(b"GGUF")
    assert find_model(str(tmp_path)).path == str(tmp_path)
    assert find_model(str(file)).path == str(file)


def test_a_public_page_never_looks_at_paths(tmp_path: Path) -> None:
    for name in (str(tmp_path), "./qeu", "../main", "~"):
        with pytest.raises(QeuError, match="Unknown model") as caught:
            find_model(name, local_paths=False)
        assert "folder" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", "smollm", "a/b/c", "../x", "/no/such/folder", "x" * 5000, "a\0b", "groq/", "o/m.gguf"],
)
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(QeuError) as caught:
        find_model(name)
    assert "phi-2" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_near_miss_is_pointed_out() -> None:
    with pytest.raises(QeuError, match="Did you mean smollm2-135m"):
        find_model("smollm-135m")


def test_a_reference_splits_at_the_last_at() -> None:
    assert split_ref("phi-2@poems") == ("phi-2", "poems")
    assert split_ref("/home/me@work/model@a") == ("/home/me@work/model", "a")
    assert split_ref("phi-2") == ("phi-2", None)


@pytest.mark.parametrize("ref", ["", "@", "phi-2@", "@poems"])
def test_half_a_reference_is_refused(ref: str) -> None:
    with pytest.raises(QeuError, match="MODEL@ADAPTER"):
        split_ref(ref)


def test_a_language_that_a_model_cannot_read_or_write_is_told_with_a_way_out() -> None:
    phi = find_model("phi-2")
    assert fitness_warning(phi, language="ja") is None
    unread = fitness_warning(phi, language="zh")
    assert unread
    assert (unread.code, unread.facts["language"]) == ("cannot_read", "zh")
    assert "llama-3-8b" in unread.instead
    unwritten = fitness_warning(phi, language="ja", answer_language="ja")
    assert unwritten
    assert unwritten.code == "cannot_write"
    assert unwritten.instead == ("qwen2.5-7b", "qwen2.5-1.5b")


def test_a_task_that_a_model_is_not_fit_for_is_told_first() -> None:
    unfit = fitness_warning(find_model("smollm2-135m"), task="judge", language="ja")
    assert unfit
    assert (unfit.code, unfit.facts["task"]) == ("cannot_do", "judge")
    assert unfit.instead
    for name in unfit.instead:
        assert fitness_warning(find_model(name), task="judge") is None


def test_nothing_is_claimed_of_untested_models_or_unknown_languages() -> None:
    assert fitness_warning(find_model("some/model"), task="judge", language="zh") is None
    assert fitness_warning(find_model("smollm2-135m"), task="answer", language="und") is None
