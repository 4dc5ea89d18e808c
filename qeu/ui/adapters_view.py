"""What the drawer shows of work with an adapter, as HTML: its menu, and what to confirm."""

from qeu.services.adapter_delete import Deletion
from qeu.services.adapter_push import PushPlan
from qeu.ui.dataset_export_panel import licences_html, size_text
from qeu.ui.markup import escape
from qeu.ui.strings import text


def open_html(name: str, language: str) -> str:
    """The button on an adapter's card that opens its menu."""
    title = escape(text("adapters.open", language))
    return _button("open", name, "⋯", f' title="{title}" aria-label="{title}: {escape(name)}"')


def menu_html(name: str, folder: str, said: str, language: str) -> str:
    """All that can be done with an adapter; `folder` is offered for a merge, `said` stands last."""
    evaluate = _button("evaluate", name, text("evaluate.do", language))
    zip_ = _button("zip", name, text("adapters.zip", language))
    merge = _button("merge", name, text("adapters.merge", language))
    plan = _button("plan", name, text("adapters.push", language))
    delete = _button("ask_delete", name, text("adapters.delete", language), css=" q-danger")
    where = _box("folder", text("adapters.merge.folder", language), folder)
    repo = _box("repo", text("adapters.push.repo", language), "", "owner/name")
    public = escape(text("adapters.push.public", language))
    return _frame(
        name,
        f'<div class="q-do">{evaluate}{zip_}{delete}</div>'
        f'<div class="q-do">{where}{merge}</div>'
        f'<div class="q-do">{repo}<label class="q-tick"><input type="checkbox" '
        f'data-name="public">{public}</label>{plan}</div>{said}',
        language,
    )


def plan_html(name: str, plan: PushPlan, language: str) -> str:
    """What a push would send, whose texts it learned from, and the button that sends it."""
    key = "adapters.push.private" if plan.private else "adapters.push.everybody"
    head = text(key, language, repo=plan.repo)
    rows = "".join(
        f"<li>{escape(file)} · {escape(size_text(size))}</li>" for file, size in plan.files.items()
    )
    base = escape(text("adapters.push.base", language, licence=plan.base_licence))
    licences = licences_html(plan.licences, language)
    if not plan.licences:
        unknown = escape(text("adapters.push.unknown", language))
        teacher = escape(text("data.export.teacher", language))
        licences = f'<p class="q-note">{unknown}</p><p class="q-hint">{teacher}</p>'
    send = _button("push", name, text("adapters.push.send", language))
    back = _button("open", name, text("adapters.back", language))
    return _frame(
        name,
        f'<p>{escape(head)}</p><ul>{rows}</ul><p class="q-note">{base}</p>{licences}'
        f'<div class="q-do">{send}{back}</div>',
        language,
    )


def delete_html(name: str, gone: Deletion, language: str) -> str:
    """What a deletion takes away, and the button that does it."""
    size, count = size_text(gone.bytes), gone.checkpoints
    lines = [text("adapters.delete.ask", language, name=name, size=size)]
    if gone.records:
        lines.append(text("adapters.delete.run", language, checkpoints=count))
    if gone.shipped:
        lines.append(text("adapters.delete.shipped", language))
    told = "".join(f'<p class="q-note">{escape(line)}</p>' for line in lines)
    do = _button("delete", name, text("adapters.delete.do", language), css=" q-danger")
    back = _button("open", name, text("adapters.back", language))
    return _frame(name, f'{told}<div class="q-do">{do}{back}</div>', language)


def stop_html(name: str, language: str) -> str:
    """The button under the bar of work that goes on."""
    return f'<div class="q-do">{_button("stop", name, text("action.stop", language))}</div>'


def _frame(name: str, body: str, language: str) -> str:
    close = escape(text("adapters.close", language))
    button = _button("close", name, "✕", f' title="{close}" aria-label="{close}"')
    return (
        f'<div class="q-model q-adapter" role="group" aria-label="{escape(name)}">'
        f'<div class="q-head"><b>{escape(name)}</b>{button}</div>{body}</div>'
    )


def _button(ask: str, name: str, label: str, more: str = "", css: str = "") -> str:
    asked = escape(f"{ask}\n{name}")
    return (
        f'<button type="button" class="q-mini{css}" data-ask="{asked}"{more}>'
        f"{escape(label)}</button>"
    )


def _box(field: str, label: str, value: str, hint: str = "") -> str:
    return (
        f'<label class="q-field"><span>{escape(label)}</span><input type="text" '
        f'data-name="{field}" value="{escape(value)}" placeholder="{escape(hint)}" '
        'spellcheck="false" autocomplete="off"></label>'
    )
