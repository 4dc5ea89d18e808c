"""What a bulk job is: which records, which models, what is wanted, how it is drawn; plain data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace

from qeu.core.errors import UsageError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.record import LANGUAGES
from qeu.core.roles import ROLE_IDS
from qeu.core.sampling import MAX_SEED, Sampling
from qeu.core.text import clean_value, one_line

# Beside what a prompt can be rendered for: a field in another language, and a free prompt.
JOB_TARGETS = (*TARGETS, "translation", "template")
REASONING_TARGETS = ("reasoning", "reasoning_task")
TEXT_FIELDS = ("instruction", "input", "reasoning", "output")
MOST_RETRIES = 5
MOST_SAMPLES = 20


@dataclass(frozen=True)
class JobSpec:
    """A bulk job as a person orders it; nothing in it is secret.

    `where` is a filter's plain values, `limit` 0 takes all that match. `sources` are models as
    `MODEL` or `MODEL@ADAPTER`. `hinted` shows the model the record's answer (3 May); leaks come
    from there, so it is stored with every text. `view` is somebody's own way of thinking, put into
    the role's text, and `view_name` what it is called. `layout` empty takes each model's own.
    `retries` is how often a text that breaks its contract is asked for again. `to_language` and
    `text_field` are for translations, `template` for a free prompt with {instruction} and the like.
    """

    dataset: str
    sources: tuple[str, ...]
    target: str = "reasoning"
    where: Mapping[str, object] = field(default_factory=dict)
    limit: int = 0
    hinted: bool = False
    use_reasoning: bool = True
    view: str = ""
    view_name: str = ""
    role: str = "logician"
    role_text: str = ""
    layout: str = ""
    template: str = ""
    text_field: str = "reasoning"
    to_language: str = "ja"
    expected_language: str = "en"
    sampling: Sampling = field(default_factory=Sampling)
    samples: int = 1
    retries: int = 1
    exact: bool = False

    @property
    def writes_reasoning(self) -> bool:
        """Whether the texts are reasonings, held to their contract."""
        return self.target in REASONING_TARGETS

    def sampling_of(self, sample: int, attempt: int = 1) -> Sampling:
        """The settings of the n-th text for a record, from 0: another seed each, and each time."""
        seed = self.sampling.seed + sample + MOST_SAMPLES * (attempt - 1)
        return replace(self.sampling, seed=seed % MAX_SEED)

    def problems(self) -> list[str]:
        """All that cannot be meant, each as one sentence."""
        found = []
        if not self.sources:
            found.append("No model is chosen. Name at least one.")
        if len(set(self.sources)) < len(self.sources):
            found.append("A model is named twice. Ask for more samples instead.")
        for name, allowed in (
            ("target", JOB_TARGETS),
            ("role", ROLE_IDS),
            ("layout", ("", *LAYOUTS)),
            ("text_field", TEXT_FIELDS),
            ("expected_language", ("", *LANGUAGES)),
        ):
            if (value := getattr(self, name)) not in allowed:
                shown = ", ".join(item or "(none)" for item in allowed)
                found.append(f"{name} is {one_line(repr(value))}. Choose one of: {shown}.")
        for name, low, high in (
            ("limit", 0, 10**9),
            ("samples", 1, MOST_SAMPLES),
            ("retries", 0, MOST_RETRIES),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                found.append(
                    f"{name} is {one_line(repr(value))}; choose a whole number from "
                    f"{low:,} to {high:,}."
                )
        if self.hinted and not self.writes_reasoning:
            found.append("Only a reasoning can be written with the answer given (hinted).")
        if self.target == "template" and not clean_value(self.template):
            found.append("The prompt template is empty. Write one, such as: {instruction}")
        return found + self.sampling.problems()

    def checked(self) -> "JobSpec":
        """The same with texts cleaned; raises UsageError naming every problem."""
        if found := self.problems():
            raise UsageError(" ".join(found))
        texts = {name: clean_value(getattr(self, name)) for name in ("view", "role_text")}
        return replace(self, sampling=self.sampling.checked(), **texts)

    def to_json(self) -> dict[str, object]:
        """Plain values, as stored with the job."""
        return asdict(self) | {"sources": list(self.sources), "where": dict(self.where)}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "JobSpec":
        """The spec again; UsageError for unknown names and for what cannot be meant."""
        names = {f.name for f in fields(cls)}
        if unknown := sorted(set(data) - names):
            raise UsageError(f"Unknown setting {unknown[0]!r}. Known: {', '.join(sorted(names))}.")
        values = dict(data)
        sampling = values.get("sampling", {})
        if not isinstance(sampling, Sampling):
            values["sampling"] = Sampling.from_json(sampling)  # type: ignore[arg-type]
        values["sources"] = tuple(values.get("sources", ()))  # type: ignore[arg-type]
        return cls(**values).checked()  # type: ignore[arg-type]
