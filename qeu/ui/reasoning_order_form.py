"""The controls of an order on the Reasoning tab, and the job that they describe."""

from dataclasses import replace

import gradio as gr

from qeu.core.errors import QeuError
from qeu.core.job_spec import JOB_TARGETS, MOST_RETRIES, MOST_SAMPLES, TEXT_FIELDS, JobSpec
from qeu.core.prompts import LAYOUTS
from qeu.core.record import LANGUAGES
from qeu.core.roles import ROLE_IDS
from qeu.core.translate_prompts import TARGETS as SPOKEN
from qeu.store.filters import Filter
from qeu.store.workspace import Workspace
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.dataset_place import DatasetPlace
from qeu.ui.models_drawer import model_choices
from qeu.ui.reasoning_work import ReasoningPanel
from qeu.ui.sampling_form import SamplingForm
from qeu.ui.strings import LANGUAGES as PAGE_LANGUAGES
from qeu.ui.visibility import OFF

# A visitor's job on somebody else's machine.
MOST_PUBLIC_RECORDS = 20
MOST_PUBLIC_TEXTS = 40
MOST_MODELS = 8
_TARGET_WORDS = {
    "reasoning": "target.reasoning",
    "reasoning_task": "target.reasoning_task",
    "both": "target.both",
    "answer": "target.answer",
    "translation": "job.target.translation",
    "template": "job.target.template",
}
assert set(_TARGET_WORDS) == set(JOB_TARGETS)
_NUMBER_WORDS = {
    "limit": ("job.limit", "job.limit.help"),
    "samples": ("job.samples", "job.samples.help"),
    "retries": ("job.retries", "job.retries.help"),
}


class OrderFields(ReasoningPanel):
    """Which records, which models, what they write and how; `read` makes an order of it."""

    name = "order"

    def __init__(self, context: Context, say: Words, place: DatasetPlace) -> None:
        super().__init__(context, say)
        self.place = place

    def build(self) -> None:
        """The form."""
        say = self.say
        with gr.Row(elem_classes="q-tight"):
            self.dataset_dd = gr.Dropdown(
                [], value=None, label=say("dataset.name"), elem_id="job-dataset", min_width=150
            )
            self.scope_radio = gr.Radio(
                [(say("data.scope.filter_plain"), "filter"), (say("data.scope.all_plain"), "all")],
                value="filter",
                label=say("job.scope"),
                elem_id="job-scope",
                elem_classes="q-scope",
                min_width=220,
            )
        self.models_dd = gr.Dropdown(
            model_choices(self.context),
            value=[DEFAULT_MODEL],
            multiselect=True,
            max_choices=MOST_MODELS,
            allow_custom_value=True,
            label=say("job.models"),
            info=say("job.models.help"),
            elem_id="job-models",
        )
        with gr.Row(elem_classes="q-tight"):
            self.target_dd = gr.Dropdown(
                [(say(key), name) for name, key in _TARGET_WORDS.items()],
                value="reasoning",
                label=say("side.target"),
                elem_id="job-target",
                min_width=170,
                scale=2,
            )
            self.hinted_cb = gr.Checkbox(
                False,
                label=say("job.hinted"),
                info=say("job.hinted.help"),
                elem_id="job-hinted",
                min_width=190,
                scale=2,
            )
        with gr.Row(elem_classes="q-tight q-numbers"):
            self.limit_num = self._number("limit", 0, 0)
            self.samples_num = self._number("samples", 1, 1, MOST_SAMPLES)
            self.retries_num = self._number("retries", 1, 0, MOST_RETRIES)
            self.exact_cb = gr.Checkbox(
                False,
                label=say("sampling.exact"),
                info=say("job.exact.help"),
                elem_id="job-exact",
                min_width=150,
            )
        self._build_view()
        self._build_wording()
        with gr.Accordion(say("sampling.title"), open=False, elem_id="job-sampling"):
            self.sampling = SamplingForm(say, "job")
        with gr.Row(elem_classes="q-actions"):
            self.look_btn = gr.Button(
                say("job.look"), size="md", elem_id="job-look", min_width=110, scale=1
            )
            self.start_btn = gr.Button(
                say("job.start"), size="md", variant="primary", elem_id="job-start", min_width=110,
                scale=2,
            )  # fmt: skip
            self.build_stop()
        self.build_line()
        self.build_report()

    def _number(self, name: str, value: int, low: int, high: int | None = None) -> gr.Number:
        label, info = _NUMBER_WORDS[name]
        return gr.Number(
            value, precision=0, minimum=low, maximum=high, label=self.say(label),
            info=self.say(info), elem_id=f"job-{name}", min_width=110,
        )  # fmt: skip

    def _build_view(self) -> None:
        say = self.say
        with gr.Accordion(say("job.view.title"), open=False, elem_id="job-view-part"):
            self.view_box = gr.Textbox(
                label=say("job.view"),
                placeholder=say("job.view.hint"),
                info=say("job.view.help"),
                lines=3,
                elem_id="job-view",
            )
            self.view_name_box = gr.Textbox(
                label=say("job.view_name"), max_lines=1, elem_id="job-view-name"
            )

    def _build_wording(self) -> None:
        say = self.say
        with gr.Accordion(say("job.wording"), open=False, elem_id="job-wording"):
            with gr.Row(elem_classes="q-tight"):
                self.role_dd = gr.Dropdown(
                    [(say(f"role.{role}"), role) for role in ROLE_IDS],
                    value="logician",
                    label=say("side.role"),
                    elem_id="job-role",
                    min_width=130,
                )
                self.layout_dd = gr.Dropdown(
                    [(say("layout.auto"), ""), *((name, name) for name in LAYOUTS)],
                    value="",
                    label=say("side.layout"),
                    elem_id="job-layout",
                    min_width=130,
                )
                self.expected_dd = gr.Dropdown(
                    [
                        (say("job.expected.any"), ""),
                        *((say(f"language.{code}"), code) for code in LANGUAGES if code != "und"),
                    ],
                    value="en",
                    label=say("job.expected"),
                    elem_id="job-expected",
                    min_width=130,
                )
            self.role_box = gr.Textbox(
                label=say("job.role_text"),
                placeholder=say("job.role_text.hint"),
                lines=2,
                elem_id="job-role-text",
            )
            self.use_reasoning_cb = gr.Checkbox(
                True,
                label=say("side.use_reasoning"),
                visible=OFF,
                elem_id="job-use-reasoning",
            )
            with gr.Row(visible=False, elem_classes="q-tight") as self.translation_row:
                self.field_dd = gr.Dropdown(
                    [(say(f"dataset.column.{name}"), name) for name in TEXT_FIELDS],
                    value="reasoning",
                    label=say("job.text_field"),
                    elem_id="job-text-field",
                    min_width=130,
                )
                self.to_dd = gr.Dropdown(
                    [(PAGE_LANGUAGES[code], code) for code in SPOKEN],
                    value="ja",
                    label=say("job.to_language"),
                    elem_id="job-to",
                    min_width=130,
                )
            self.template_box = gr.Textbox(
                label=say("job.template"),
                info=say("job.template.help"),
                value="{instruction}\n\n{input}",
                lines=3,
                visible=OFF,
                elem_id="job-template",
            )

    def inputs(self) -> set[object]:
        """All that an order is read from."""
        return {
            self.dataset_dd, self.scope_radio, self.models_dd, self.target_dd, self.hinted_cb,
            self.limit_num, self.samples_num, self.retries_num, self.exact_cb, self.view_box,
            self.view_name_box, self.role_dd, self.layout_dd, self.expected_dd, self.role_box,
            self.use_reasoning_cb, self.field_dd, self.to_dd, self.template_box,
            self.place.name_dd, self.place.filter_state, *self.sampling.components(),
        }  # fmt: skip

    def on_target(self, target: str) -> Updates:
        """Only what this target needs is shown."""
        return {
            self.translation_row: gr.update(visible=target == "translation"),
            self.template_box: gr.update(visible=target == "template" or OFF),
            self.use_reasoning_cb: gr.update(visible=target == "answer" or OFF),
            self.hinted_cb: gr.update(interactive=target in ("reasoning", "reasoning_task")),
        }

    def read(self, data: Data, request: gr.Request) -> tuple[Workspace, JobSpec]:
        """The order as it stands; raises QeuError naming all that cannot be meant."""
        workspace = self.context.records(request)
        name = str(data[self.dataset_dd] or "")
        if not name:
            raise QeuError("No data set is chosen. Choose one above, or import a file first.")
        where = self._filter(data) if data[self.scope_radio] == "filter" else Filter()
        target = str(data[self.target_dd])
        sources = [str(ref).strip() for ref in data[self.models_dd] or () if str(ref).strip()]  # type: ignore[attr-defined]
        spec = JobSpec.from_json(
            {
                "dataset": name,
                "sources": sources,
                "target": target,
                "where": where.to_json(),
                "limit": int(data[self.limit_num] or 0),  # type: ignore[call-overload]
                "hinted": bool(data[self.hinted_cb]) and target in ("reasoning", "reasoning_task"),
                "use_reasoning": bool(data[self.use_reasoning_cb]),
                "view": str(data[self.view_box] or ""),
                "view_name": str(data[self.view_name_box] or "").strip(),
                "role": str(data[self.role_dd]),
                "role_text": str(data[self.role_box] or ""),
                "layout": str(data[self.layout_dd] or ""),
                "template": str(data[self.template_box] or "") if target == "template" else "",
                "text_field": str(data[self.field_dd]),
                "to_language": str(data[self.to_dd]),
                "expected_language": str(data[self.expected_dd] or ""),
                "sampling": self.sampling.read(data),
                "samples": int(data[self.samples_num] or 1),  # type: ignore[call-overload]
                "retries": int(data[self.retries_num] or 0),  # type: ignore[call-overload]
                "exact": bool(data[self.exact_cb]),
            }
        )
        for ref in sources:
            self.context.check_model(ref)
        return workspace, self._limited(spec)

    def _limited(self, spec: JobSpec) -> JobSpec:
        """On a public page a job is small."""
        if not self.context.settings.public:
            return spec
        limit = min(spec.limit or MOST_PUBLIC_RECORDS, MOST_PUBLIC_RECORDS)
        if limit * len(spec.sources) * spec.samples > MOST_PUBLIC_TEXTS:
            raise QeuError(
                f"On a public page a job has at most {MOST_PUBLIC_TEXTS} texts. Take fewer "
                "records, models or samples, or run the playground on your own machine."
            )
        return replace(spec, limit=limit)

    def _filter(self, data: Data) -> Filter:
        """What the Dataset tab shows, if it shows the data set that is meant here."""
        if str(data[self.place.name_dd] or "") != str(data[self.dataset_dd] or ""):
            return Filter()
        return Filter.from_json(dict(data[self.place.filter_state] or {}))  # type: ignore[call-overload]
