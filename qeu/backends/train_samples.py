"""What the model in training writes to validation prompts, greedily, and how it keeps its form."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from qeu.backends.compute_queue import StopSign
from qeu.backends.cpu_threads import restored_threads
from qeu.backends.train_data import Learned
from qeu.core.contract import check_answer, check_reasoning
from qeu.core.language import identify
from qeu.core.prompts import END_OF_TEXT, split_completion
from qeu.core.record import Record
from qeu.core.sampling import Sampling
from qeu.core.training_variant import Variant

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

JUDGEMENTS = ("contract", "leak", "closed", "loop")
_LEAKS = ("leak_reference", "leak_commit")


@dataclass(frozen=True)
class Sample:
    """One text and the verdicts on it; None where there is nothing to judge.

    `record` is its identity. `contract`: no check of the reasoning fails, or of the answer where no
    reasoning is written. `leak`: the reasoning gives the answer away. `closed`: it ended by itself,
    with an answer where one is written.
    """

    record: str
    question: str
    text: str
    reasoning: str
    answer: str
    finish_reason: str
    contract: bool
    leak: bool | None
    closed: bool
    loop: bool

    def to_json(self) -> dict[str, object]:
        """Plain values, as in `samples.jsonl`."""
        return asdict(self)


def choose_prompts(learned: Sequence[Learned], count: int, room: int) -> list[Learned]:
    """The first `count` of which the prompt is whole and has at most `room` tokens."""
    fitting = (
        one for one in learned
        if len(one.prompt_ids) <= room and len(one.prompt_ids) < one.example.tokens
    )  # fmt: skip
    return [one for _, one in zip(range(count), fitting, strict=False)]


def write_samples(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Learned],
    variant: Variant,
    most_tokens: int,
    stop: StopSign,
) -> list[Sample] | None:
    """One text a prompt, all rows together, by the engine's own loop; None where it was stopped.

    The caller has put the model into evaluation; its random state is not touched.
    """
    from qeu.backends.decode import DecodeBatch
    from qeu.backends.live_row import LiveRow
    from qeu.backends.torch_loading import read_end_ids

    sampling = Sampling(greedy=True, repetition_penalty=1.0, max_new_tokens=most_tokens)
    ends = read_end_ids(model, tokenizer, END_OF_TEXT)
    rows = [
        LiveRow(
            at, one.prompt_ids, sampling, tokenizer, end_ids=ends, stop_texts=one.stop, stop=stop
        )
        for at, one in enumerate(prompts)
    ]
    if not rows:
        return []
    with restored_threads() as cores:
        batch = DecodeBatch(model, rows, cores=cores)
        while not batch.finished:
            batch.step()
    if any(row.finish_reason == "cancelled" for row in rows):
        return None
    return [
        judge_sample(one.record, row.text, row.finish_reason, variant)
        for one, row in zip(prompts, rows, strict=True)
    ]


def judge_sample(record: Record, text: str, finish_reason: str, variant: Variant) -> Sample:
    """Take a text apart and check it."""
    reasoning, answer = split_completion(text, variant.layout, variant.target)
    whole = {check.name: check.verdict for check in check_answer(text)}
    if "reasoning" in variant.written:
        language, certain = identify(record.reasoning)
        checks = check_reasoning(
            reasoning,
            category=record.category,
            question=record.question,
            reference=record.output,
            # the records' own reasonings say in which language one is to be
            expected_language=language if certain else None,
        )
    else:
        checks = check_answer(answer)
    verdicts = {check.name: check.verdict for check in checks}
    ended = finish_reason == "stop"
    return Sample(
        record=record.identity,
        question=record.question,
        text=text,
        reasoning=reasoning,
        answer=answer,
        finish_reason=finish_reason,
        contract="fail" not in verdicts.values(),
        leak=any(verdicts.get(name) == "fail" for name in _LEAKS) if reasoning else None,
        closed=ended and bool(answer if "output" in variant.written else reasoning),
        loop=finish_reason == "loop" or whole.get("loop") == "fail",
    )


def count_judgements(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    """{judgement: {"count", "of"}} as a line of kind `samples` has them."""
    counts = {}
    for name in JUDGEMENTS:
        judged = [getattr(one, name) for one in samples if getattr(one, name) is not None]
        counts[name] = {"count": sum(judged), "of": len(judged)}
    return counts
