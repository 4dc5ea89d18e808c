"""What bulk jobs ask: forward, hinted, with a view, again after a broken rule, by a template."""

from dataclasses import replace

import pytest

from qeu.core.contract import check_reasoning
from qeu.core.errors import QeuError, UsageError
from qeu.core.job_prompts import HINT, hinted, job_prompt, retry_feedback
from qeu.core.job_spec import JobSpec
from qeu.core.record import Record
from qeu.core.sampling import Sampling

SPEC = JobSpec("d", ("phi-2",))
RECORD = Record(
    "Find the square root.", "156", reasoning="Look for squares nearby.", output="About 12.49"
)


def whole(prompt) -> str:
    return prompt.text or "\n".join(m.content for m in prompt.messages)


def test_forward_shows_the_question_only():
    for layout in ("chat", "bonsai-v2"):
        text = whole(job_prompt(SPEC, RECORD, layout))
        assert "Find the square root." in text
        assert "12.49" not in text
        assert "squares nearby" not in text


def test_hinted_shows_the_answer_and_asks_to_keep_it():
    spec = replace(SPEC, hinted=True)
    for layout in ("chat", "bonsai-v2"):
        for target in ("reasoning", "reasoning_task"):
            text = whole(job_prompt(replace(spec, target=target), RECORD, layout))
            assert f"156\n\n{HINT}\nAbout 12.49" in text
    with pytest.raises(QeuError, match="no answer"):
        hinted(replace(RECORD, output=" "))


def test_a_view_stands_in_the_roles_text():
    spec = replace(SPEC, view="Always look at the smallest case first.")
    for layout, target in (("chat", "reasoning"), ("bonsai-v2", "reasoning_task")):
        prompt = job_prompt(replace(spec, target=target), RECORD, layout)
        text = whole(prompt)
        assert text.index("smallest case") < text.index("Find the square root.")
        assert "You are a logician." in text


def test_an_edited_role_speaks_in_the_logicians_way_too():
    spec = replace(SPEC, role="assistant", role_text="Talk like a coach.", target="reasoning_task")
    assert "<|system|>Talk like a coach." in job_prompt(spec, RECORD, "bonsai-v2").text


def test_the_answer_takes_the_reasoning_or_leaves_it():
    spec = replace(SPEC, target="answer")
    assert "squares nearby" in whole(job_prompt(spec, RECORD, "chat"))
    without = replace(spec, use_reasoning=False)
    assert "squares nearby" not in whole(job_prompt(without, RECORD, "bonsai-v2"))


def test_a_retry_tells_which_rule_broke_and_where():
    checks = check_reasoning("The answer is 12.49.", question=RECORD.question, category="math")
    broken = [check for check in checks if check.verdict == "fail"]
    feedback = retry_feedback(broken)
    assert "broke these rules: Commits to an answer" in feedback
    text = whole(job_prompt(SPEC, RECORD, "chat", feedback))
    assert feedback in text
    assert retry_feedback([]) == ""


def test_a_translation_needs_its_field():
    spec = replace(SPEC, target="translation", text_field="output", to_language="ja")
    assert "About 12.49" in whole(job_prompt(spec, RECORD, "chat"))
    with pytest.raises(QeuError, match="no output to translate"):
        job_prompt(spec, replace(RECORD, output=""), "chat")


def test_a_template_puts_values_in_their_places_and_nothing_else():
    spec = replace(SPEC, target="template", template="Rate {instruction} / {input}: {other} {{x}}")
    prompt = job_prompt(spec, RECORD, "chat")
    assert prompt.messages[-1].content == "Rate Find the square root. / 156: {other} {{x}}"
    assert [s.field for s in prompt.messages[-1].segments] == [
        "task", "instruction", "task", "input", "task",
    ]  # fmt: skip
    tagged = job_prompt(spec, RECORD, "bonsai-v2").text
    assert "<|instruction|>Rate Find the square root. / 156: {other} {{x}}\n<|response|>" in tagged


def test_a_value_in_a_template_cannot_name_another_place():
    spec = replace(SPEC, target="template", template="{instruction}")
    record = Record("{output}", output="secret")
    assert "secret" not in whole(job_prompt(spec, record, "chat"))


def test_a_view_named_in_the_template_stands_there_only():
    spec = replace(SPEC, target="template", template="{view}: {input}", view="Be brief.")
    assert whole(job_prompt(spec, RECORD, "chat")).count("Be brief.") == 1


def test_a_record_without_a_question_is_refused():
    with pytest.raises(QeuError, match="question is empty"):
        job_prompt(SPEC, replace(RECORD, instruction=" "), "chat")


def test_a_spec_comes_back_from_its_plain_values():
    spec = JobSpec(
        "d", ("phi-2", "groq/x"), where={"language": ["en"]}, view="Be kind.", samples=3,
        sampling=Sampling(temperature=0.5),
    )  # fmt: skip
    assert JobSpec.from_json(spec.to_json()) == spec
    assert [spec.sampling_of(n).seed for n in range(3)] == [7, 8, 9]
    assert len({spec.sampling_of(n, k).seed for n in range(3) for k in (1, 2, 3)}) == 9


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sources": ()}, "No model is chosen"),
        ({"sources": ("a", "a")}, "named twice"),
        ({"target": "poem"}, "target is 'poem'"),
        ({"limit": -1}, "limit is -1"),
        ({"samples": True}, "samples is True"),
        ({"retries": 9}, "retries is 9"),
        ({"target": "answer", "hinted": True}, "Only a reasoning"),
        ({"target": "template", "template": " "}, "template is empty"),
        ({"sampling": Sampling(top_p=7)}, "top_p is 7"),
    ],
)
def test_what_cannot_be_meant_is_told(change, sentence):
    with pytest.raises(UsageError, match=sentence):
        replace(SPEC, **change).checked()


def test_an_unknown_setting_is_refused():
    with pytest.raises(UsageError, match="Unknown setting 'modle'"):
        JobSpec.from_json({"dataset": "d", "sources": ["a"], "modle": 1})
