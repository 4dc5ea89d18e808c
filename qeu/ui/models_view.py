"""What the Models drawer shows, as HTML: memory, estimates, adapters, the table of models."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qeu.backends.adapter_files import AdapterFolder, BrokenAdapter
from qeu.backends.catalog import ModelCard, find_model, list_models
from qeu.backends.memory_estimate import stored_bytes
from qeu.backends.precision import AUTO, PRECISIONS
from qeu.backends.shelf import LoadedModel, Shelf
from qeu.core.errors import QeuError
from qeu.ui.markup import escape
from qeu.ui.models_pickers import base_of, short_label
from qeu.ui.sentences import tell
from qeu.ui.strings import text

# Which word names a precision in a sentence, and its short sign where there is no room.
PRECISION_WORDS: Mapping[str, str] = {
    AUTO: "models.precision.auto",
    "nf4": "models.precision.nf4",
    "int8": "models.precision.int8",
    "bfloat16": "models.precision.bfloat16",
    "float16": "models.precision.float16",
    "float32": "models.precision.float32",
}
SIGNS: Mapping[str, str] = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
# A number that came down from 3.04 to 3.0 would fit by its digits and not in truth.
_GB = 1e9


def gigabytes(size: int) -> str:
    """A size with as many digits as tell small models apart."""
    return f"{size / _GB:.2f}" if size < _GB else f"{size / _GB:.1f}"


def precision_sign(item: LoadedModel) -> str:
    """bf16, nf4, …: how a loaded model's weights are held."""
    held = item.precision or item.dtype
    return SIGNS.get(held, held)


def header_html(loaded: Sequence[LoadedModel], language: str) -> str:
    """What is loaded and how much it holds, in one line; all of it in the tooltip."""
    if not loaded:
        line = escape(text("models.header.none", language))
        return f'<span class="q-dot"></span>{line}'
    lines = [
        f"{short_label(item.model_id)} · {precision_sign(item)} · {gigabytes(item.memory_bytes)} GB"
        for item in loaded
    ]
    line = lines[0]
    if len(loaded) > 1:
        size = gigabytes(sum(item.memory_bytes for item in loaded))
        line = text("models.header.many", language, count=len(loaded), size=size)
    state = "busy" if any(item.busy for item in loaded) else "stop"
    return (
        f'<span class="q-dot q-{state}"></span>'
        f'<span title="{escape("; ".join(lines))}">{escape(line)}</span>'
    )


def memory_html(
    loaded: Sequence[LoadedModel], free: int, language: str, *, may_unload: bool = True
) -> str:
    """Memory held and free, and a card for every loaded model with its own Unload."""
    held = sum(item.memory_bytes for item in loaded)
    share = 100 * held / max(1, held + free)
    where = (
        "models.memory.gpu"
        if any(item.device.startswith("cuda") for item in loaded)
        else "models.memory.cpu"
    )
    line = text(where, language, held=gigabytes(held), free=gigabytes(free))
    cards = "".join(_loaded_html(item, language, may_unload) for item in loaded)
    if not loaded:
        cards = f'<p class="q-hint">{escape(text("models.none", language))}</p>'
    return (
        f'<div class="q-memory"><div class="q-bar"><i style="width:{share:.1f}%"></i></div>'
        f"<span>{escape(line)}</span></div>{cards}"
    )


def _loaded_html(item: LoadedModel, language: str, may_unload: bool) -> str:
    facts = [precision_sign(item), item.device, f"{gigabytes(item.memory_bytes)} GB"]
    facts.append(_idle_text(item, language))
    button = ""
    if may_unload:
        asked = escape(f"{item.model_id}\n{item.precision}")
        title = escape(text("models.unload", language))
        button = f'<button type="button" class="q-mini" data-ask="{asked}">{title}</button>'
    adapters = ""
    if item.adapters:
        names = text("list.comma", language).join(item.adapters)
        adapters = f"<p>{escape(text('models.with_adapters', language, names=names))}</p>"
    return (
        f'<div class="q-model q-loaded"><div class="q-head"><b>{escape(_label(item.model_id))}</b>'
        f"{button}</div><p>{escape(' · '.join(facts))}</p>{adapters}</div>"
    )


def _idle_text(item: LoadedModel, language: str) -> str:
    if item.busy or item.idle_since is None:
        return text("models.busy", language)
    minutes = int(max(0.0, time.time() - item.idle_since) // 60)
    if not minutes:
        return text("models.idle.now", language)
    return text("models.idle", language, minutes=f"{minutes:,}")


def precision_of(shelf: Shelf, model: str) -> str:
    """What the precision picker should show: "auto", or what was chosen for this model."""
    chosen, usual = shelf.placement_of(model), shelf.placement_of(model, precision=AUTO)
    return AUTO if chosen.precision == usual.precision else chosen.precision


def estimate_html(shelf: Shelf, model: str, language: str) -> str:
    """What the model would take in each precision, whether that fits, and the way out.

    Nothing is loaded and no network asked.
    """
    try:
        card = find_model(model)
        placement = shelf.placement_of(model)
        reason = text("models.auto", language, reason=tell(_auto_reason(shelf, model), language))
        free = shelf.free_bytes()
        needs = {p: shelf.estimate(model, precision=p) for p in PRECISIONS}
        sizes = {p: found.total for p, found in needs.items() if found.weights}
        is_loaded = any(
            item.model_id == card.id and item.precision == placement.precision
            for item in shelf.loaded()
        )
    except QeuError as error:
        return f'<p class="q-need q-error">{escape(tell(str(error), language))}</p>'
    if not sizes:
        line = _need("models.needs.unknown", language)
        return f'{line}<p class="q-hint">{escape(reason)}</p>'
    if stored_bytes(card):  # the files hold it in 4 or 8 bits: there is nothing to choose
        sizes = {placement.precision: sizes[placement.precision]}
    cells = "".join(
        _cell(precision, size, size <= free, precision == placement.precision, language)
        for precision, size in sizes.items()
    )
    line = (
        _need("models.needs.loaded", language)
        if is_loaded
        else _fit_html(shelf, placement.precision, sizes, free, language)
    )
    return f'{line}<div class="q-sizes">{cells}</div><p class="q-hint">{escape(reason)}</p>'


def _auto_reason(shelf: Shelf, model: str) -> str:
    return shelf.placement_of(model, precision=AUTO).reason


def _fit_html(
    shelf: Shelf, precision: str, sizes: Mapping[str, int], free: int, language: str
) -> str:
    facts = {
        "size": gigabytes(sizes[precision]),
        "free": gigabytes(free),
        "precision": text(PRECISION_WORDS[precision], language),
    }
    if sizes[precision] <= free:
        return _need("models.needs", language, **facts)
    told = [text("models.needs.too_much", language, **facts)]
    smaller = [name for name in sizes if sizes[name] <= free]
    if smaller:
        best = max(smaller, key=sizes.__getitem__)
        word, size = text(PRECISION_WORDS[best], language), gigabytes(sizes[best])
        told.append(text("models.needs.precision", language, precision=word, size=size))
    elif held := [short_label(item.model_id) for item in shelf.loaded()]:
        names = text("list.comma", language).join(held)
        told.append(text("models.needs.unload", language, models=names))
    else:
        told.append(text("models.needs.smaller", language))
    return f'<p class="q-need q-error">{escape(" ".join(told))}</p>'


def _need(key: str, language: str, **facts: str) -> str:
    return f'<p class="q-need">{escape(text(key, language, **facts))}</p>'


def _cell(precision: str, size: int, fits: bool, chosen: bool, language: str) -> str:
    sign, css = ("✓", "pass") if fits else ("✗", "fail")
    mark = " q-chosen" if chosen else ""
    title = escape(text(PRECISION_WORDS[precision], language))
    name = escape(SIGNS.get(precision, precision))
    return (
        f'<span class="q-size q-{css}{mark}" title="{title}"><b>{name} {sign}</b>'
        f"{escape(gigabytes(size))} GB</span>"
    )


def adapters_html(
    found: Sequence[AdapterFolder], broken: Sequence[BrokenAdapter], folder: Path | None,
    language: str, head: Callable[[str, str], str] | None = None,
) -> str:  # fmt: skip
    """Every adapter with base, layout and what it writes; the broken ones with the reason.

    `folder` None names none: a public page tells nothing of its machine. `head(name, language)`
    stands behind each name.
    """
    if not found and not broken:
        if folder is None:
            line = text("models.adapters.none.public", language)
        else:
            line = text("models.adapters.none", language, folder=folder)
        return f'<p class="q-hint">{escape(line)}</p>'
    cards = [_adapter_html(adapter, language, head) for adapter in found]
    if folder is not None:
        cards += [
            f'<div class="q-model q-broken"><b>{escape(item.name)}</b>'
            f"<p>{escape(tell(item.reason, language))}</p></div>"
            for item in broken
        ]
    return "".join(cards)


def _adapter_html(
    adapter: AdapterFolder, language: str, head: Callable[[str, str], str] | None
) -> str:
    base, run = base_of(adapter), adapter.run
    facts = [
        text("models.adapters.base", language, base=short_label(base))
        if base
        else text("models.adapters.no_base", language),
        text("models.adapters.rank", language, rank=adapter.rank),
    ]
    if run and run.layout:
        facts.append(text("models.adapters.layout", language, layout=run.layout))
    else:
        facts.append(text("models.adapters.no_layout", language))
    if run and run.target:
        target = text(f"target.{run.target}", language)
        facts.append(text("models.adapters.writes", language, target=target))
    return (
        f'<div class="q-model"><div class="q-head"><b>{escape(adapter.name)}</b>'
        f"{head(adapter.name, language) if head else ''}</div>"
        f"<p>{escape(' · '.join(facts))}</p></div>"
    )


def table_html(language: str) -> str:
    """Every model of the table with its size, licence and languages."""
    return "".join(_card_html(card, language) for card in list_models())


def _card_html(card: ModelCard, language: str) -> str:
    facts = [
        f"{card.parameters / 1e9:.2f} B",
        card.licence,
        text("models.context", language, tokens=f"{card.context:,}"),
    ]
    for key, codes in (("models.reads", card.reads), ("models.writes", card.writes)):
        names = [text(f"language.{code}", language) for code in codes]
        facts.append(text(key, language, languages=text("list.comma", language).join(names)))
    return (
        f'<div class="q-model"><b>{escape(tell(card.label, language))}</b>'
        f"<p>{escape(' · '.join(facts))}</p></div>"
    )


def _label(model_id: str) -> str:
    return short_label(model_id)
