"""The form of the Evaluate tab: which records, which base, what is held against it, how."""

from pathlib import Path

import gradio as gr

from qeu.backends.adapter_files import WEIGHTS
from qeu.backends.catalog import split_ref
from qeu.core.eval_spec import MOST_EXAMPLES, MOST_SEEDS, REASONINGS
from qeu.services.evaluate_order import EvalOrder
from qeu.services.shipped_data import NAME as SHIPPED
from qeu.services.shipped_data import find_shipped
from qeu.store.datasets import list_datasets
from qeu.ui.compare_form import Data, Updates
from qeu.ui.context import DEFAULT_MODEL, Context, Words
from qeu.ui.models_drawer import model_choices
from qeu.ui.models_pickers import adapter_choices, local_choices

_SPLIT_WORDS = {
    "validation": "dataset.split.validation",
    "test": "dataset.split.test",
    "train": "dataset.split.train",
    "": "data.scope.all_plain",
}
_REASONING_WORDS = {
    "own": "evaluate.reasoning.own",
    "given": "evaluate.reasoning.given",
    "shuffled": "evaluate.reasoning.shuffled",
    "none": "evaluate.reasoning.none",
}
assert set(_REASONING_WORDS) == set(REASONINGS)
# A choice of a dropdown cannot be empty.
_ALL = "all"
_FIRST = EvalOrder("", DEFAULT_MODEL)


class EvaluateForm:
    """The controls of an order; `read` makes the order of them, `fill` the other way round."""

    def __init__(self, context: Context, say: Words) -> None:
        self.context, self.say = context, say

    def build(self) -> None:
        """Few controls: what is asked most often is chosen already."""
        say = self.say
        with gr.Row(elem_classes="q-tight"):
            self.dataset_dd = gr.Dropdown(
                [], value=None, label=say("dataset.name"), elem_id="evaluate-dataset", min_width=150
            )
            self.split_dd = gr.Dropdown(
                [(say(key), name or _ALL) for name, key in _SPLIT_WORDS.items()],
                value=_FIRST.split, label=say("job.scope"), elem_id="evaluate-split",
                min_width=150,
            )  # fmt: skip
        self.base_dd = gr.Dropdown(
            local_choices(), value=_FIRST.base, allow_custom_value=True,
            label=say("evaluate.base"), elem_id="evaluate-base",
        )  # fmt: skip
        self.others_dd = gr.Dropdown(
            model_choices(self.context), value=[], multiselect=True, allow_custom_value=True,
            label=say("evaluate.others"), info=say("evaluate.others.help"),
            elem_id="evaluate-others",
        )  # fmt: skip
        self.reasonings_cbg = gr.CheckboxGroup(
            [(say(key), name) for name, key in _REASONING_WORDS.items()],
            value=list(_FIRST.reasonings), label=say("evaluate.reasonings"),
            elem_id="evaluate-reasonings",
        )  # fmt: skip
        with gr.Row(elem_classes="q-tight q-fields"):
            self.examples_num = self._number("examples", _FIRST.examples, 0, MOST_EXAMPLES)
            self.seeds_num = self._number("seeds", _FIRST.seeds, 1, MOST_SEEDS)
            self.limit_num = self._number("limit", _FIRST.limit, 0)
            self.tokens_num = self._number("tokens", _FIRST.max_new_tokens, 1)
            self.losses_cb = gr.Checkbox(
                _FIRST.losses, label=say("evaluate.losses"), elem_id="evaluate-losses",
                min_width=120,
            )  # fmt: skip

    def _number(self, name: str, value: int, low: int, high: int | None = None) -> gr.Number:
        label = self.say(_NUMBER_WORDS[name])
        return gr.Number(
            value, precision=0, minimum=low, maximum=high, label=label,
            elem_id=f"evaluate-{name}", min_width=120,
        )  # fmt: skip

    def components(self) -> list[gr.components.Component]:
        """All controls."""
        return [
            self.dataset_dd, self.split_dd, self.base_dd, self.others_dd, self.reasonings_cbg,
            self.examples_num, self.seeds_num, self.limit_num, self.tokens_num, self.losses_cb,
        ]  # fmt: skip

    def read(self, data: Data) -> EvalOrder:
        """The order as it stands; what cannot be meant is said when its spec is made."""
        split = str(data[self.split_dd] or "")
        return EvalOrder(
            str(data[self.dataset_dd] or ""),
            str(data[self.base_dd] or "").strip(),
            tuple(dict.fromkeys(str(ref).strip() for ref in data[self.others_dd] or ())),  # type: ignore[attr-defined]
            tuple(name for name in REASONINGS if name in (data[self.reasonings_cbg] or ())),  # type: ignore[operator]
            "" if split == _ALL else split,
            _whole(data[self.examples_num]),
            _whole(data[self.seeds_num]),
            _whole(data[self.limit_num]),
            _whole(data[self.tokens_num]),
            bool(data[self.losses_cb]),
        )

    def fill(self, order: EvalOrder) -> Updates:
        """The controls as an order has them."""
        return {
            self.dataset_dd: order.dataset,
            self.split_dd: order.split or _ALL,
            self.base_dd: order.base,
            self.others_dd: list(order.others),
            self.reasonings_cbg: list(order.reasonings),
            self.examples_num: order.examples,
            self.seeds_num: order.seeds,
            self.limit_num: order.limit,
            self.tokens_num: order.max_new_tokens,
            self.losses_cb: order.losses,
        }

    def first_order(self) -> EvalOrder:
        """What is most likely wanted: the adapter that was written last, against its base."""
        refs = [ref for _, ref in adapter_choices(self.context.settings.adapters)]
        if not refs:
            return _FIRST
        newest = max(refs, key=self._written)
        return EvalOrder("", split_ref(newest)[0], (newest,))

    def about_adapter(self, name: str) -> Updates:
        """The adapter of this name against its base; nothing changes where it is not there."""
        refs = [ref for _, ref in adapter_choices(self.context.settings.adapters)]
        ref = next((ref for ref in refs if split_ref(ref)[1] == name), "")
        if not ref:
            return {self.others_dd: gr.skip()}
        return {self.base_dd: split_ref(ref)[0], self.others_dd: [ref]}

    def datasets(self, names: list[str], chosen: str) -> Updates:
        """The data sets there are; the shipped one is offered before it is there."""
        if SHIPPED not in names and find_shipped():
            names = [*names, SHIPPED]
        value = chosen if chosen in names else next(iter(names), None)
        if chosen not in names and SHIPPED in names:
            value = SHIPPED
        return {self.dataset_dd: gr.update(choices=names, value=value)}

    def names(self, request: gr.Request) -> list[str]:
        """The data sets that are there."""
        return [dataset.name for dataset in list_datasets(self.context.records(request))]

    def _written(self, ref: str) -> float:
        path: Path = self.context.settings.adapters / split_ref(ref)[1] / WEIGHTS
        try:
            return path.stat().st_mtime
        except OSError:  # deleted at this moment
            return 0.0


_NUMBER_WORDS = {
    "examples": "evaluate.examples",
    "seeds": "evaluate.seeds",
    "limit": "job.limit",
    "tokens": "evaluate.tokens",
}


def _whole(value: object) -> int:
    return int(value or 0)  # type: ignore[call-overload]
