"""`adapters merge|export|push|delete`: what becomes of an adapter once it is trained."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.cli.data_arguments import Parts
from qeu.cli.screen import ProgressLine, show, show_json
from qeu.cli.workspace import open_workspace
from qeu.core.settings import Settings

if TYPE_CHECKING:
    from qeu.backends.adapter_files import AdapterFolder
    from qeu.backends.wheel import Progress
    from qeu.services.adapter_push import PushPlan


def add_parts(parts: "Parts[argparse.ArgumentParser]") -> None:
    """Add the four commands."""
    merge = parts.add_parser(
        "merge",
        help="merge an adapter into its base, as a new model folder",
        description="Write base and adapter as one model into FOLDER, which must not be there. "
        "The base is read in its own 16 or 32 bits, never in 4. FOLDER can be typed as a model "
        "at once. What does not fit into memory or onto the disk is refused with the numbers.",
        allow_abbrev=False,
    )
    merge.add_argument("name", metavar="NAME", help="adapter or folder")
    merge.add_argument("folder", metavar="FOLDER", help="new folder of the merged model")
    merge.add_argument("--base", default="", metavar="M", help="base, where none is told")
    export = parts.add_parser(
        "export",
        help="write an adapter as a zip file",
        description="Write the adapter's PEFT files, its card, passport and curves as a zip file "
        "that unpacks to its folder. Training records, texts and logs stay here. The same adapter "
        "gives the same bytes.",
        allow_abbrev=False,
    )
    export.add_argument("name", metavar="NAME", help="adapter or folder")
    export.add_argument("file", metavar="FILE.zip", help="file to write; one of that name goes")
    push = parts.add_parser(
        "push",
        help="push an adapter to the Hub (needs HF_TOKEN)",
        description="Tell what would be sent, and under which licences the texts were written "
        "that it learned from; with --yes send it, in one commit. The repository is private "
        "unless --public is given.",
        allow_abbrev=False,
    )
    push.add_argument("name", metavar="NAME", help="adapter or folder")
    push.add_argument("repo", metavar="OWNER/REPO", help="repository of the Hub, made if need be")
    push.add_argument("--public", action="store_true", help="for everybody")
    push.add_argument("--yes", action="store_true", help="do it; without, only tell")
    delete = parts.add_parser(
        "delete",
        help="delete an adapter and its run for good",
        description="Delete an adapter with its checkpoints, curves and texts, or one checkpoint "
        "(NAME/checkpoint-N). Refused while its run goes on. Without --yes only told.",
        allow_abbrev=False,
    )
    delete.add_argument("name", metavar="NAME", help="adapter in QEU_ADAPTERS")
    delete.add_argument("--yes", action="store_true", help="do it; without, only tell")
    runs = {merge: run_merge, export: run_export, push: run_push, delete: run_delete}
    for parser, run in runs.items():
        add_json_behind(parser)
        parser.set_defaults(run=run)


def add_json_behind(parser: argparse.ArgumentParser) -> None:
    """The switch for programs, as before the command's name as behind it."""
    help_text = "print one JSON object on one line"
    # without a default of its own it leaves a --json that stood before the name as it is
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=help_text)


def run_merge(args: argparse.Namespace) -> int:
    """Merge an adapter into its base."""
    from qeu.services.adapter_merge import merge_adapter

    settings, adapter = Settings.from_env(os.environ), _find(args.name)
    line = ProgressLine(quiet=args.json)

    def tell(progress: "Progress") -> None:
        share = f" {progress.done / progress.total:.0%}" if progress.total else ""
        line.draw(f"{progress.step}{share}")

    try:
        made = merge_adapter(
            adapter,
            Path(args.folder),
            settings.cache_dir,
            base=args.base,
            progress=tell,
        )
    finally:
        line.clear()
    if args.json:
        show_json(made.to_json())
        return 0
    show(f"{made.path}: {made.base} with {made.adapter}, {made.bytes / 1e9:.2f} GB, {made.dtype}")
    if made.layout:
        show(f"  it learned --layout {made.layout} --target {made.target}")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write an adapter as a zip file."""
    from qeu.services.adapter_export import export_adapter

    made = export_adapter(_find(args.name), Path(args.file).expanduser())
    if args.json:
        show_json(made.to_json())
    else:
        show(f"{made.file}: {made.bytes / 1e6:.2f} MB, {', '.join(made.files)}")
    return 0


def run_push(args: argparse.Namespace) -> int:
    """Tell what a push would send; with --yes send it."""
    from qeu.services.adapter_push import plan_push, push_adapter

    adapter = _find(args.name)
    with open_workspace() as workspace:
        plan = plan_push(workspace, adapter, args.repo, private=not args.public)
    if not args.json:
        _show_plan(plan)
    elif not args.yes:
        show_json(plan.to_json() | {"pushed": False})
    address = push_adapter(adapter, plan, confirmed=args.yes)
    if args.json:
        show_json(plan.to_json() | {"pushed": True, "address": address})
    else:
        show(f"pushed: {address}")
    return 0


def _show_plan(plan: "PushPlan") -> None:
    who = "private" if plan.private else "public, for everybody"
    show(f"{plan.adapter} to {plan.repo} ({who})")
    for name, size in plan.files.items():
        show(f"  {name}: {size:,} bytes")
    show(f"  licence of the base: {plan.base_licence}")
    for name, count in plan.licences.items():
        show(f"  licence of the texts: {name or 'not stated'} ({count:,} records)")
    if not plan.licences:
        show("  licence of the texts: not known, the data set is not in this workspace")
    show("  A teacher's licence may forbid training other models on its output.")


def run_delete(args: argparse.Namespace) -> int:
    """Delete an adapter; without --yes tell what would be lost."""
    from qeu.services.adapter_delete import delete_adapter

    settings = Settings.from_env(os.environ)
    gone = delete_adapter(settings.adapters, args.name, confirmed=args.yes)
    if args.json:
        show_json(gone.to_json() | {"deleted": True})
    else:
        show(f"{gone.name} is deleted ({gone.bytes / 1e6:.1f} MB)")
    return 0


def _find(name: str) -> "AdapterFolder":
    from qeu.backends.adapter_finder import AdapterFinder

    return AdapterFinder(Settings.from_env(os.environ).adapters).find(name, fetch=False)
