"""`compare`: two sides answer one question, streamed to the terminal, stored, printed."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from qeu.cli.arguments import add_category, add_sampling, read_sampling, read_texts
from qeu.cli.loading import make_engines
from qeu.cli.screen import ProgressLine, say, show_json
from qeu.cli.sides import show_sides
from qeu.core.errors import QeuError, UsageError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.roles import ROLE_IDS
from qeu.core.settings import Settings

if TYPE_CHECKING:
    from qeu.services.compare import Comparison
    from qeu.services.runs import Live, Run
    from qeu.store.workspace import Workspace

SIDES = ("left", "right")

# How long Ctrl-C waits for the engines to hand over what they have written.
STOP_WAIT_S = 5.0
# Into a log, a side's progress is told every so many tokens.
LOG_EVERY_TOKENS = 32
INTERRUPTED = 130

_USAGE = (
    "python -m qeu compare --left MODEL[@ADAPTER] --right MODEL[@ADAPTER] --instruction TEXT ..."
)
_DESCRIPTION = """\
Ask two models the same question. MODEL is a name from `models`, a Hub id or a local folder;
@ADAPTER adds an adapter to it. The run is kept in the history."""
_EPILOG = """\
Every option of a side can be given for one side only: --left-role, --right-role, --left-layout,
--left-target, --left-temperature, --left-seed and so on; --left-no-reasoning withholds the given
reasoning from that side. TEXT may be @FILE, or - for standard input; \\@ and \\- stand for the
signs themselves.

examples:
  python -m qeu compare --left smollm2-135m --right smollm2-135m --right-temperature 1 \\
      --instruction "Write a slogan for a tea shop." --role creator --category creative
  python -m qeu compare --left phi-2 --right llama-3-8b --target reasoning \\
      --instruction "Find the square root of 156." --reference 12.49 --json"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "compare",
        help="ask two models the same question and show both answers",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    model = {"required": True, "metavar": "MODEL[@ADAPTER]"}
    parser.add_argument("--left", help="model of the left side", **model)  # type: ignore[arg-type]
    parser.add_argument("--right", help="model of the right side", **model)  # type: ignore[arg-type]
    question = parser.add_argument_group("question")
    question.add_argument("--instruction", required=True, metavar="TEXT", help="what is asked")
    question.add_argument("--input", metavar="TEXT", help="context that the question is about")
    question.add_argument("--reasoning", metavar="TEXT", help="reasoning to answer with")
    question.add_argument("--reference", metavar="TEXT", help="right answer, for the leak check")
    add_category(question)
    question.add_argument(
        "--language", choices=("en", "ja", "zh"), help="language to expect (default: the role's)"
    )
    asking = parser.add_argument_group("asking")
    for prefix in ("", *(side + "-" for side in SIDES)):
        _add_side_options(asking, prefix)
    asking.add_argument(
        "--role-text",
        action="append",
        default=[],
        metavar="ROLE=TEXT",
        help="other wording for a role; may be repeated",
    )
    asking.add_argument(
        "--exact", action="store_true", help="fp32 and fixed shapes: the same text again, always"
    )
    add_sampling(parser)
    for side in SIDES:
        add_sampling(parser, side + "-", shown=False)
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object on one line")
    output.add_argument("--no-store", action="store_true", help="do not keep it in the history")
    output.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_compare)


def _add_side_options(group: "argparse._ArgumentGroup", prefix: str) -> None:
    def hidden(text: str) -> str:
        return argparse.SUPPRESS if prefix else text

    group.add_argument(
        f"--{prefix}role", choices=ROLE_IDS, help=hidden("who speaks (default: assistant)")
    )
    group.add_argument(
        f"--{prefix}layout", choices=LAYOUTS, help=hidden("prompt layout (default: the model's)")
    )
    group.add_argument(
        f"--{prefix}target", choices=TARGETS, help=hidden("what to write (default: answer)")
    )
    if prefix:
        group.add_argument(f"--{prefix}no-reasoning", action="store_true", help=argparse.SUPPRESS)


def read_comparison(args: argparse.Namespace) -> "Comparison":
    """The comparison that the options describe; raises UsageError for what cannot be meant."""
    # here and not above: the help of every command waits for what stands above
    from qeu.services.compare import Comparison

    wordings = dict(_split_wording(item) for item in args.role_text)
    given = {name: getattr(args, name) for name in ("instruction", "input", "reasoning")}
    given["reference"] = args.reference
    texts = read_texts(given | {f"role {name}": text for name, text in wordings.items()})
    data: dict[str, object] = {name: texts[name] for name in given if name in texts}
    common = read_sampling(args)
    data |= {
        "category": args.category,
        "expected_language": args.language or "",
        "exact": args.exact,
        "sampling": common,
        "roles": {name: texts[f"role {name}"] for name in wordings},
    }
    for side in SIDES:
        own = read_sampling(args, side + "_")
        data[side] = {
            "model": getattr(args, side),
            "role": _first(args, side, "role") or "assistant",
            "layout": _first(args, side, "layout") or "",
            "target": _first(args, side, "target") or "answer",
            "use_reasoning": not getattr(args, f"{side}_no_reasoning"),
            "sampling": common | own if own else None,
        }
    return Comparison.from_json(data)


def run_compare(args: argparse.Namespace) -> int:
    """Run it, print it, keep it; Ctrl-C stops the computation and keeps what was written."""
    from qeu.services.compare import results_json, start_comparison
    from qeu.store.workspace import Workspace

    comparison = read_comparison(args)
    settings = Settings.from_env(os.environ)
    # opened first: a run that cannot be kept should be refused before it costs anything
    workspace = None if args.no_store else Workspace(settings.home / "qeu.db")
    run = start_comparison(make_engines(args), comparison)
    interrupted = _follow(run, ProgressLine(args.quiet))
    try:
        _keep(workspace, comparison, run)
    finally:
        results = results_json(run)
        if args.json:
            show_json(results)
        else:
            show_sides(results)  # type: ignore[arg-type]
        sys.stdout.flush()
    if interrupted:
        return _leave(run)
    failed = {name: live.error for name, live in run.live.items() if live.phase == "failed"}
    if failed:
        raise QeuError(" ".join(f"{name}: {sentence}" for name, sentence in failed.items()))
    return 0


def _follow(run: "Run", line: ProgressLine) -> bool:
    """Tell of the run until it has ended; whether Ctrl-C ended it."""
    try:
        if run.plan.kind != "one_batch":
            line.log("plan", run.plan.sentence)
        while not run.finished:
            for key in sorted(run.poll(0.1)):
                live = run.live[key]
                # sides of one model load together: that is said once
                subject = live.ask.model_name if live.phase == "loading" else key
                line.log(subject, _logged(key, live), brief=live.phase == "writing")
            line.draw(" | ".join(_drawn(key, live) for key, live in run.live.items()))
        line.clear()
    except KeyboardInterrupt:
        run.stop()
        line.clear()
        say("Stopping …")
        run.wait(STOP_WAIT_S)
        return True
    return False


def _logged(key: str, live: "Live") -> str:
    """A side's state in steps coarse enough for a log."""
    if live.phase == "loading":
        share = f" {int(live.loaded_share * 10) * 10}%" if live.loaded_share else ""
        return f"{live.ask.model_name}: {live.loading}{share}"
    if live.phase == "waiting":
        return f"{key}: waiting, {live.ahead} before it" if live.ahead else f"{key}: starting"
    if live.phase == "reading" and live.prepared:
        return f"{key}: reading {live.prepared.tokens} tokens"
    if live.phase == "writing":
        told = live.new_tokens // LOG_EVERY_TOKENS * LOG_EVERY_TOKENS
        return f"{key}: {told} tokens" if told else f"{key}: writing"
    if live.generation:
        return f"{key}: {live.generation.finish_reason} after {live.new_tokens} tokens"
    return f"{key}: {live.phase}"


def _drawn(key: str, live: "Live") -> str:
    """A side's state this moment, with the end of its text."""
    if live.phase != "writing":
        return _logged(key, live)
    tail = " ".join(live.text[-60:].split())[-40:]
    return f"{key} {live.new_tokens} tokens {live.tokens_per_s:.1f}/s …{tail}"


def _keep(workspace: "Workspace | None", comparison: "Comparison", run: "Run") -> None:
    from qeu.services.compare import store_comparison

    if workspace is None:
        return
    try:
        if any(live.text or live.error for live in run.live.values()):
            store_comparison(workspace, comparison, run)
    finally:
        workspace.close()


def _leave(run: "Run") -> int:
    if not run.join(1.0):
        # an engine still at work in C++ can crash while Python takes itself down around it
        sys.stderr.flush()
        os._exit(INTERRUPTED)
    return INTERRUPTED


def _first(args: argparse.Namespace, side: str, name: str) -> str | None:
    return getattr(args, f"{side}_{name}") or getattr(args, name)


def _split_wording(item: str) -> tuple[str, str]:
    role_id, sign, text = item.partition("=")
    if not sign:
        raise UsageError(f"--role-text {item!r} has no role. Write ROLE=TEXT.")
    return role_id, text
