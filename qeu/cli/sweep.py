"""`sweep`: a grid over sampling settings, models and roles; each cell measured, side by side."""

import argparse

from qeu.cli.arguments import add_sampling, read_sampling, read_texts
from qeu.cli.data_arguments import add_filter, add_json, read_filter, told
from qeu.cli.loading import INTERRUPTED, make_engines, run_stoppable
from qeu.cli.screen import ProgressLine, say, show, show_json
from qeu.cli.sweep_list import add_parts
from qeu.cli.sweep_view import add_view, check_view, duration, plan_lines
from qeu.cli.sweep_work import work_on
from qeu.cli.workspace import open_workspace
from qeu.core.errors import QeuError, UsageError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.sampling import Sampling
from qeu.core.sweep_spec import GRID_FIELDS, ROLE_CHOICES, SweepPrompt, SweepSpec, read_grid


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command, and what is done with sweeps that are there."""
    parser = commands.add_parser(
        "sweep",
        help="a grid over sampling settings, models and roles: what each cell writes, measured",
        description="Ask one or several prompts with every combination of settings, measure every "
        "text, and show the cells beside each other, with what so few samples can tell. Texts are "
        "stored: nothing is computed twice, and after Ctrl-C the same command goes on. Texts can "
        "be given as @FILE or - (standard input).",
        allow_abbrev=False,
    )
    _add_cells(parser)
    _add_prompts(parser)
    add_filter(parser)
    add_sampling(parser)
    out = parser.add_argument_group("results")
    out.add_argument("--plan", action="store_true", help="only say what would be done")
    out.add_argument("--yes", action="store_true", help="start a large sweep without being asked")
    add_view(out)
    add_json(parser)
    parser.set_defaults(run=run_command)
    add_parts(parser)


def _add_cells(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cells: every combination of")
    group.add_argument(
        "--model", action="append", default=[], metavar="M[@ADAPTER]",
        help="who is asked; may be given several times",
    )  # fmt: skip
    group.add_argument(
        "--grid", action="append", default=[], metavar="NAME=V,V…",
        help=f"values of a sampling setting, such as temperature=0,0.7,1; names: "
        f"{', '.join(GRID_FIELDS)}",
    )  # fmt: skip
    for name, choices, text in (
        ("role", [one for one in ROLE_CHOICES if one], "who speaks (by the prompt's category)"),
        ("target", TARGETS, "what is written (what the adapter learned, else an answer)"),
        ("layout", LAYOUTS, "how prompts are written (the model's own)"),
    ):
        group.add_argument(
            f"--{name}", action="append", default=[], choices=choices,
            help=f"{text}; may be given several times",
        )  # fmt: skip
    group.add_argument(
        "--seeds", type=int, default=4, metavar="N",
        help="texts of each prompt in a cell (4; 1 where nothing is drawn)",
    )  # fmt: skip
    group.add_argument("--exact", action="store_true", help="compute in float32, text by text")


def _add_prompts(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("prompts: typed, or records of a data set")
    group.add_argument(
        "--prompt", action="append", default=[], metavar="TEXT",
        help="instruction, of the kind that --category names; may be given several times",
    )  # fmt: skip
    group.add_argument("--input", metavar="TEXT", help="text that the instruction is about")
    group.add_argument("--reasoning", metavar="TEXT", help="reasoning given to who answers")
    group.add_argument("--reference", metavar="TEXT", help="right answer, to hold others against")
    group.add_argument("--dataset", default="", metavar="D", help="data set; `shipped` comes along")
    group.add_argument("--limit", type=int, default=0, metavar="N", help="N records, drawn (all)")
    group.add_argument(
        "--use-reasoning", action="store_true", help="give each record's reasoning to who answers"
    )


def read_spec(args: argparse.Namespace) -> SweepSpec:
    """The sweep that the options describe; raises UsageError naming what is wrong."""
    if args.seed is not None:
        raise UsageError("The texts of a cell have the seeds 1, 2, …: --seeds N says how many.")
    prompts = _read_prompts(args)
    where = read_filter(args).to_json()
    if prompts and where and set(where) != {"category"}:
        raise UsageError("Filters choose records of a data set. Leave them out, or the prompts.")
    return SweepSpec(
        models=tuple(args.model),
        prompts=prompts,
        dataset=args.dataset,
        where={} if prompts else where,
        limit=args.limit,
        grid=read_grid(args.grid),
        roles=tuple(args.role) or ("",),
        targets=tuple(args.target) or ("",),
        layouts=tuple(args.layout) or ("",),
        seeds=args.seeds,
        sampling=Sampling.from_json(read_sampling(args)),
        use_reasoning=args.use_reasoning or bool(args.reasoning),
        exact=args.exact,
    ).checked()


def _read_prompts(args: argparse.Namespace) -> tuple[SweepPrompt, ...]:
    """Each instruction with the same input, reasoning and reference."""
    shared = {"input": args.input, "reasoning": args.reasoning, "reference": args.reference}
    if args.dataset and (args.prompt or any(shared.values())):
        raise UsageError("Give typed prompts, or --dataset: not both.")
    if not args.prompt and not args.dataset:
        raise UsageError("Say what is asked: --prompt TEXT, or --dataset D.")
    categories = args.category or ["open_qa"]
    if args.prompt and len(categories) > 1:
        raise UsageError("A typed prompt is of one --category.")
    given = {f"prompt {at}": text for at, text in enumerate(args.prompt, start=1)}
    texts = read_texts(given | shared)
    rest = {name: texts.get(name, "") for name in shared}
    return tuple(SweepPrompt(texts[name], **rest, category=categories[0]) for name in given)


def run_command(args: argparse.Namespace) -> int:
    """Count, ask first where it is much, sweep, and show the table and a heat map."""
    from qeu.services.sweep_plan import plan_sweep

    spec = read_spec(args)
    check_view(args, spec)
    line = ProgressLine(quiet=args.json)
    engines = make_engines(args)
    with open_workspace(make=not args.plan) as workspace:
        plan, stopped = run_stoppable(
            lambda stop: plan_sweep(workspace, engines, spec, told(line), stop)
        )
        line.clear()
        if stopped:
            return INTERRUPTED
        if args.plan and args.json:
            show_json(plan.to_json())
            return 0
        for text in plan_lines(plan):
            (show if args.plan else say)(text)
        if args.plan:
            return 0
        if plan.is_large and not args.yes:
            raise QeuError(
                f"That is a large sweep: {plan.cells:,} cells, {plan.todo:,} texts to write"
                + (f", about {duration(plan.seconds)}" if plan.seconds else "")
                + ". Add --yes to start it; it can be stopped at any time and goes on later."
            )
        from qeu.services.sweep import order_sweep

        return work_on(args, workspace, engines, order_sweep(workspace, spec), spec.models[0])
