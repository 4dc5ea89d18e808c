"""What visitors of a public page may ask for, held where every run passes."""

import json
import threading
from dataclasses import replace

import pytest

from qeu.backends.base import Row
from qeu.backends.engines import Engines
from qeu.backends.keyring import Keyring
from qeu.core.errors import QeuError
from qeu.core.prompts import Message, Prompt, Segment
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.services.limited_engines import LimitedEngines, LimitedModel, most_tokens, spent_tokens
from qeu.services.places import Places, PublicQueue
from qeu.services.public_limits import MOST_CHARACTERS, PublicLimits, refuse_addresses, refuse_keys
from tests.fake_shelf import FakeShelf, ScriptedBackend


def chat(*turns):
    """A prompt of these texts."""
    messages = tuple(Message("user", (Segment("instruction", text),)) for text in turns)
    return Prompt("chat", "answer", messages=messages)


PROMPT = chat("Why is the sky blue?")
LONG = Sampling(max_new_tokens=2_000)


class FakePool:
    """Hosted models by name."""

    def __init__(self, *models):
        self.models = {model.name: model for model in models}

    def open(self, card, keyring):
        return self.models[card.id]


def limits(tmp_path, *providers, **settings):
    return PublicLimits(
        Settings(home=tmp_path, adapters=tmp_path / "adapters", public=True, **settings), providers
    )


def engines(rules, *models):
    local = [model for model in models if "/" not in model.name]
    hosted = [model for model in models if "/" in model.name]
    return LimitedEngines(Engines(FakeShelf(*local), FakePool(*hosted), Keyring()), rules)


def add_adapter(tmp_path, name):
    folder = tmp_path / "adapters" / name
    folder.mkdir(parents=True)
    config = {"peft_type": "LORA", "r": 1, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tensor = {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}
    header = json.dumps({"base_model.model.q_proj.lora_A.weight": tensor}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(4)
    (folder / "adapter_model.safetensors").write_bytes(weights)


@pytest.mark.parametrize(
    "ref",
    [
        "owner/name",
        "microsoft/phi-2",
        "/etc",
        "../../etc",
        "~/models",
        "model.gguf",
        "groq/llama",
        "server/x",
        "server:lab/x",
        "http://169.254.169.254/latest",
        "smollm2-135m@/etc",
        "smollm2-135m@../poems",
        "smollm2-135m@owner/adapter",
        "smollm2-135m@poems/../poems",
        "smollm2-135m@POEMS",
    ],
)
def test_only_the_table_and_the_names_of_adapters_are_offered(tmp_path, ref):
    add_adapter(tmp_path, "poems")
    rules = limits(tmp_path)
    rules.check_model("smollm2-135m@poems")
    rules.check_model("phi-2")
    with pytest.raises(QeuError, match="not offered here"):
        rules.check_model(ref)
    with pytest.raises(QeuError, match="not offered here"):
        engines(rules).estimate_bytes(ref)
    with pytest.raises(QeuError, match="not offered here"):
        engines(rules).load(ref)


def test_a_folder_without_adapters_offers_none(tmp_path):
    with pytest.raises(QeuError, match="No adapter is offered here"):
        limits(tmp_path).check_model("smollm2-135m@poems")


def test_a_name_is_told_on_one_line_and_cut(tmp_path):
    with pytest.raises(QeuError) as refused:
        limits(tmp_path).check_model("x\n" * 5_000)
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


def test_hosted_models_need_a_budget_and_a_provider_of_the_owners(tmp_path):
    with pytest.raises(QeuError, match="not offered"):
        limits(tmp_path, "groq").check_model("groq/llama")
    rules = limits(tmp_path, "groq", public_budget=10_000)
    rules.check_model("groq/llama")
    rules.check_model("groq/openai/gpt-oss-20b")
    for name in (
        "server:lab/llama",
        "groq/../x",
        "groq/http://x",
        "groq/a//b",
        "groq/<b>",
        "groq/",
    ):
        with pytest.raises(QeuError, match="groq/NAME"):
            rules.check_model(name)
    rules.budget.reserve(10_000)
    with pytest.raises(QeuError, match="used up"):
        rules.check_model("groq/llama")


def test_new_tokens_are_capped_with_a_notice_and_never_raised(tmp_path):
    rules = limits(tmp_path, public_tokens=100)
    assert rules.cap(LONG).max_new_tokens == 100
    assert rules.cap(LONG) == replace(LONG, max_new_tokens=100)
    assert "100 new tokens" in rules.notice(LONG)
    short = Sampling(max_new_tokens=100)
    assert rules.cap(short) is short
    assert rules.notice(short) == ""


def test_the_receipt_says_what_was_asked_what_was_sent_and_why(tmp_path):
    model = ScriptedBackend("smollm2-135m", ["a "] * 20)
    limited = engines(limits(tmp_path, public_tokens=5), model).load("smollm2-135m")
    free, capped = limited.generate(
        [Row(PROMPT, Sampling(max_new_tokens=4)), Row(PROMPT, Sampling(max_new_tokens=9))]
    )
    tokens = {
        which: next(p for p in done.receipt.parameters if p.name == "max_new_tokens")
        for which, done in (("free", free), ("capped", capped))
    }
    assert (tokens["free"].asked, tokens["free"].sent, tokens["free"].why) == (4, 4, "")
    assert (tokens["capped"].asked, tokens["capped"].sent) == (9, 5)
    assert "5 new tokens" in tokens["capped"].why
    assert len(capped.text.split()) == 5


def test_a_prompt_too_long_is_refused_before_the_model_sees_it(tmp_path):
    model = ScriptedBackend("smollm2-135m", ["a"])
    seen = []
    model.refuses = seen.append
    limited = engines(limits(tmp_path), model).load("smollm2-135m")
    half = "x" * (MOST_CHARACTERS // 2 + 1)
    long = chat(half, half)
    for ask in (limited.prepare, lambda prompt: limited.generate([Row(prompt, Sampling())])):
        with pytest.raises(QeuError, match=r"20,002 characters"):
            ask(long)
    assert seen == []
    assert model.batches == []


def test_an_adapter_is_checked_once_more_where_it_would_be_used(tmp_path):
    model = ScriptedBackend("smollm2-135m", ["a"])
    limited = engines(limits(tmp_path), model).load("smollm2-135m")
    with pytest.raises(QeuError, match="No adapter is offered"):
        limited.generate([Row(PROMPT, Sampling(), "../../secret")])
    assert model.batches == []


def test_a_hosted_text_is_paid_from_the_budget_and_settled(tmp_path):
    rules = limits(tmp_path, "groq", public_budget=3_000)
    during = []
    model = ScriptedBackend("groq/m", ["a "] * 6, lambda row, n: during.append(rules.budget.left()))
    (done,) = engines(rules, model).load("groq/m").generate([Row(PROMPT, LONG)])
    row = Row(PROMPT, rules.cap(LONG))
    assert set(during) == {3_000 - most_tokens(row)}
    assert rules.budget.left() == 3_000 - done.prompt_tokens - done.new_tokens


def test_nothing_is_sent_once_the_days_tokens_do_not_suffice(tmp_path):
    rules = limits(tmp_path, "groq", public_budget=100)
    model = ScriptedBackend("groq/m", ["a "])
    with pytest.raises(QeuError, match="used up"):
        engines(rules, model).load("groq/m").generate([Row(PROMPT, LONG)])
    assert model.batches == []
    assert rules.budget.left() == 100


def test_an_engine_that_fails_leaves_what_was_reserved_spent(tmp_path):
    rules = limits(tmp_path, "groq", public_budget=3_000)

    def fail(row, count):
        raise RuntimeError("the wire broke")

    model = ScriptedBackend("groq/m", ["a "], fail)
    with pytest.raises(RuntimeError):
        engines(rules, model).load("groq/m").generate([Row(PROMPT, LONG)])
    assert rules.budget.left() == 3_000 - most_tokens(Row(PROMPT, rules.cap(LONG)))
    assert rules.hosted_places.taken == 0


def test_what_is_unknown_costs_the_most_and_what_was_refused_nothing():
    model = ScriptedBackend("groq/m", ["a "] * 3)
    (done,) = model.generate([Row(PROMPT, Sampling())])
    assert spent_tokens(done, 900) == done.prompt_tokens + 3
    assert spent_tokens(replace(done, finish_reason="cancelled"), 900) == 900
    assert spent_tokens(replace(done, finish_reason="loop"), 900) == 900
    assert spent_tokens(replace(done, prompt_tokens=0), 900) == 900
    assert spent_tokens(replace(done, finish_reason="error", new_tokens=2), 900) == 900
    assert spent_tokens(replace(done, finish_reason="error", new_tokens=0), 900) == 0


def test_half_a_character_of_a_pair_in_a_prompt_is_counted_and_does_not_break_it():
    assert most_tokens(Row(chat("\ud83d"), Sampling(max_new_tokens=1))) > 1


def test_more_hosted_requests_at_once_than_places_are_told_to_come_later(tmp_path):
    rules = limits(tmp_path, "groq", public_budget=10**9, public_queue=1)
    started, go = threading.Event(), threading.Event()

    def hold(row, count):
        started.set()
        assert go.wait(10)

    model = LimitedModel(ScriptedBackend("groq/m", ["a"], hold), rules, hosted=True)
    first = threading.Thread(target=model.generate, args=([Row(PROMPT, LONG)],))
    first.start()
    assert started.wait(10)
    left = rules.budget.left()
    with pytest.raises(QeuError, match="Come again"):
        model.generate([Row(PROMPT, LONG)])
    assert rules.budget.left() == left
    go.set()
    first.join(10)
    assert rules.hosted_places.taken == 0


def test_a_visitor_holds_one_place_and_gives_it_back_after_a_failure():
    places = Places(3)
    with places.take("ann"):
        with pytest.raises(QeuError, match="not over yet"), places.take("ann"):
            pass
        with places.take("bob"), places.take():
            assert places.taken == 3
    with pytest.raises(ValueError), places.take("ann"):
        raise ValueError
    with places.take("ann"):
        assert places.taken == 1


def test_the_queue_turns_away_who_finds_it_full_but_not_who_was_let_in():
    queue, go, began = PublicQueue(1), threading.Event(), threading.Event()
    turns: list[str] = []

    def compute(name: str) -> None:
        for _ in range(2):  # the second turn of a run is not refused half way
            with queue.turn() as mine:
                assert mine
                turns.append(name)
                began.set()
                assert go.wait(10)

    def start(name: str) -> threading.Thread:
        thread = threading.Thread(target=compute, args=(name,))
        thread.start()
        return thread

    threads = [start("first")]
    assert began.wait(10)
    threads.append(start("second"))
    while queue.length < 2:
        pass
    with pytest.raises(QeuError, match=r"ahead of you \(2\)"), queue.turn():
        pass
    go.set()
    for thread in threads:
        thread.join(10)
    assert sorted(turns) == ["first", "first", "second", "second"]
    with queue.turn() as mine:
        assert mine


def test_keys_and_addresses_of_visitors_are_refused_with_the_way_out():
    for refuse in (refuse_keys, refuse_addresses):
        with pytest.raises(QeuError, match="your own machine"):
            refuse()
