"""The requests of a bulk job: one record becomes a prompt, a row for the engine, and its hash."""

from dataclasses import dataclass

from qeu.backends.base import EngineIdentity
from qeu.backends.catalog import find_layout, split_ref
from qeu.core.contract import Check, check_answer, check_reasoning
from qeu.core.job_prompts import job_prompt
from qeu.core.job_spec import JobSpec
from qeu.core.prompts import Prompt
from qeu.core.record import Record
from qeu.core.request import Request, hash_json
from qeu.core.sampling import Sampling


@dataclass(frozen=True)
class Asked:
    """One request: its prompt, its settings, and the key that its text is kept under."""

    prompt: Prompt
    sampling: Sampling
    key: str


class SourceRequests:
    """How one model of a job is asked, record by record."""

    def __init__(
        self, spec: JobSpec, source: str, identity: EngineIdentity, own_layout: str = ""
    ) -> None:
        self.spec, self.source, self.identity = spec, source, identity
        self.model, self.adapter = split_ref(source)
        self.layout = spec.layout or own_layout or find_layout(self.model)
        self._samplings: dict[tuple[int, int], Sampling] = {}  # the same ones for every record

    def ask(self, record: Record, sample: int, feedback: str = "", attempt: int = 1) -> Asked:
        """The request for one text; raises QeuError where the record lacks what is needed.

        `feedback` tells the model what was wrong with its text of the attempt before.
        """
        prompt = job_prompt(self.spec, record, self.layout, feedback)
        sampling = self._samplings.get((sample, attempt))
        if sampling is None:
            sampling = self._samplings[sample, attempt] = self.spec.sampling_of(sample, attempt)
        request = Request(
            model=self.identity.model,
            revision=self.identity.revision,
            prompt=prompt,
            sampling=sampling,
            adapter=self.adapter,
            adapter_hash=self.identity.adapter_hash,
            base_url=self.identity.base_url,
            dtype=self.identity.dtype,
            exact=self.spec.exact,
            sample=sample,
        )
        return Asked(prompt, sampling, request.key())

    def fingerprint(self, asked: Asked, record: Record) -> str:
        """The hash of all that decides about an item's result: the request and what is held to."""
        return hash_json(
            {
                "key": asked.key,
                "retries": self.spec.retries if self.spec.writes_reasoning else 0,
                "category": record.category,
                "reference": record.output,
                "expected": self.spec.expected_language,
            }
        )

    def check(self, record: Record, reasoning: str, answer: str) -> list[Check]:
        """The checks that a text of this job fails."""
        if self.spec.writes_reasoning:
            found = check_reasoning(
                reasoning,
                category=record.category,
                question=record.question,
                reference=record.output,
                expected_language=self.spec.expected_language or None,
            )
        else:
            found = check_answer(answer, expected_language=self._answer_language())
        return [check for check in found if check.verdict == "fail"]

    def _answer_language(self) -> str | None:
        if self.spec.target == "translation":
            return self.spec.to_language.partition("-")[0]
        return self.spec.expected_language or None
