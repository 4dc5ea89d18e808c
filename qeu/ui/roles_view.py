"""The four panels of the Roles tab: each role's wording above what it writes."""

from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr

from qeu.core.roles import ROLE_IDS, ROLES
from qeu.services.runs import Live
from qeu.ui.compare_view import SideView, build_side_view
from qeu.ui.context import Context, Words
from qeu.ui.markup import escape
from qeu.ui.strings import text

Updates = dict[object, object]


@dataclass(frozen=True)
class RolePanel:
    """One role: wording, whether it was edited, and what the model wrote under it."""

    role_id: str
    title: gr.HTML
    wording_box: gr.Textbox
    restore_btn: gr.Button
    side: SideView

    @property
    def copy_js(self) -> str:
        """What the copy button does in the browser."""
        return f"() => qeuCopy('role-{self.role_id}-text')"

    def marks(self) -> set[object]:
        """What `mark_wording` updates."""
        return {self.title, self.restore_btn}

    def mark_wording(self, wording: str, language: str) -> Updates:
        """Say whether the wording is the shipped one."""
        edited = is_edited(self.role_id, wording)
        return {
            self.title: title_html(self.role_id, edited, language),
            self.restore_btn: gr.update(interactive=wording != ROLES[self.role_id].text),
        }


class RolesView:
    """All four panels, two by two where the page is wide enough."""

    def __init__(self, context: Context, say: Words) -> None:
        self.panels: dict[str, RolePanel] = {}
        for pair in (ROLE_IDS[:2], ROLE_IDS[2:]):
            with gr.Row(equal_height=False, elem_classes="q-roles"):
                for role_id in pair:
                    with gr.Column(
                        min_width=320, elem_id=f"role-{role_id}", elem_classes="q-side q-role"
                    ):
                        self.panels[role_id] = _build_panel(context, say, role_id)

    def outputs(self) -> set[object]:
        """What a run updates."""
        return {part for panel in self.panels.values() for part in panel.side.outputs()}

    def show_lives(
        self,
        lives: Mapping[str, Live],
        language: str,
        whole: bool = True,
        only: set[str] = frozenset(),
    ) -> Updates:
        """All panels, or those in `only`; `whole` brings prompts and receipts too."""
        updates: Updates = {}
        for role_id, panel in self.panels.items():
            if not only or role_id in only:
                updates |= panel.side.update(lives.get(role_id), language, whole)
        return updates

    def show_translations(self, request: gr.Request) -> Updates:
        """The translations in the language just chosen."""
        strips = [panel.side.strip for panel in self.panels.values()]
        return {key: value for strip in strips for key, value in strip.on_language(request).items()}


def is_edited(role_id: str, wording: str) -> bool:
    """Whether a wording differs from the shipped one; an empty one stands for it."""
    return wording.strip() not in ("", ROLES[role_id].text)


def title_html(role_id: str, edited: bool, language: str) -> str:
    """The role's name, and a mark if its wording is no longer the shipped one."""
    mark = ""
    if edited:
        hint = escape(text("roles.edited.help", language))
        mark = (
            f'<span class="q-chip q-partial" tabindex="0" title="{hint}">'
            f"✎ {escape(text('roles.edited', language))}</span>"
        )
    name = escape(text(f"role.{role_id}", language))
    return f'<div class="q-role-title"><h3>{name}</h3>{mark}</div>'


def _build_panel(context: Context, say: Words, role_id: str) -> RolePanel:
    with gr.Row(elem_classes="q-tight q-role-head"):
        title = gr.HTML(title_html(role_id, False, "en"), padding=False)
        restore_btn = gr.Button(
            say("roles.restore"),
            size="sm",
            interactive=False,
            elem_id=f"role-{role_id}-restore",
            min_width=170,
            scale=0,
        )
    gr.Markdown(say(f"roles.about.{role_id}"), elem_classes="q-about")
    wording_box = gr.Textbox(
        ROLES[role_id].text,
        label=say("roles.wording"),
        placeholder=say("roles.wording.hint"),
        lines=4,
        max_lines=4,
        elem_id=f"role-{role_id}-wording",
        elem_classes="q-wording",
    )
    side = build_side_view(context, say, f"role-{role_id}")
    return RolePanel(role_id, title, wording_box, restore_btn, side)
