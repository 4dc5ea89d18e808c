"""`lens`: the next token under the lens, with a bar for each candidate, and what a step removed."""

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from qeu.cli.arguments import add_category, add_sampling, read_sampling, read_texts
from qeu.cli.lens_view import show_continuation, show_look, show_surprise, show_two
from qeu.cli.loading import INTERRUPTED, make_engines, run_stoppable, told_load
from qeu.cli.screen import ProgressLine, show_json
from qeu.core.errors import QeuError, UsageError
from qeu.core.prompts import LAYOUTS, TARGETS
from qeu.core.roles import ROLE_IDS

if TYPE_CHECKING:
    from threading import Event

    from qeu.backends.engines import Engines
    from qeu.services.asks import Ask, Live
    from qeu.services.lens import Look
    from qeu.services.lens_reader import LensSide

MOST_SHOWN = 1_000
_DESCRIPTION = """\
Show how the next token is chosen: the candidates with their probability before and after each
step of the sampler, and which step removed a token. Without a position it is the first token
behind the prompt, and nothing is written; else the model writes first, and the position counts
the tokens that it wrote."""
_EPILOG = """\
examples:
  python -m qeu lens --model smollm2-135m --instruction "List three fruits."
  python -m qeu lens --model smollm2-135m --instruction "List three fruits." --greedy \\
      --position 4 --force " Mango"
  python -m qeu lens --model smollm2-135m --other smollm2-135m@thinks-first --greedy \\
      --instruction "How is bread made?" --target both"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "lens",
        help="show how the next token is chosen, step by step",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--model", required=True, metavar="M[@ADAPTER]", help="who chooses")
    parser.add_argument(
        "--other", metavar="M[@ADAPTER]", help="compare with this one, token by token"
    )
    question = parser.add_argument_group("question")
    question.add_argument("--instruction", required=True, metavar="TEXT", help="what is asked")
    question.add_argument("--input", metavar="TEXT", help="context that the question is about")
    question.add_argument("--reasoning", metavar="TEXT", help="reasoning to answer with")
    question.add_argument(
        "--completion", metavar="TEXT", help="read this text instead of writing one"
    )
    add_category(question)
    question.add_argument("--role", choices=ROLE_IDS, default="assistant", help="who speaks")
    question.add_argument("--layout", choices=LAYOUTS, default="", help="prompt layout")
    question.add_argument("--target", choices=TARGETS, default="answer", help="what to write")
    question.add_argument("--exact", action="store_true", help="compute in float32")
    add_sampling(parser)
    place = parser.add_argument_group("place").add_mutually_exclusive_group()
    place.add_argument(
        "--position", type=int, metavar="N", help="before the token N of the text, from 0"
    )
    place.add_argument("--at-end", action="store_true", help="behind the last token")
    parser.add_argument(
        "--force", metavar="TOKEN", help="put this text, or #ID, there and go on from it"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--top", type=int, default=20, metavar="N", help="candidates shown (20)")
    output.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.set_defaults(run=run_lens)


def run_lens(args: argparse.Namespace) -> int:
    """Look, and print what was asked for; Ctrl-C ends it."""
    if not 1 <= args.top <= MOST_SHOWN:
        raise UsageError(f"--top is {args.top}; choose 1 to {MOST_SHOWN:,}.")
    asks, completion = _read_asks(args)
    line = ProgressLine(quiet=args.json)

    def work(stop: "Event") -> dict[str, object]:
        return _Session(args, asks, completion, line, stop).show()

    told, stopped = run_stoppable(work)
    line.clear()
    if stopped:
        return INTERRUPTED
    if args.json:
        show_json(told)
    sys.stdout.flush()
    return 0


def _read_asks(args: argparse.Namespace) -> "tuple[list[Ask], str]":
    from qeu.core.record import Record
    from qeu.core.roles import find_role
    from qeu.core.sampling import Sampling
    from qeu.services.asks import Ask

    names = ("instruction", "input", "reasoning", "completion")
    texts = read_texts({name: getattr(args, name) for name in names})
    completion = texts.pop("completion", "")
    record = Record(**texts, category=args.category)  # type: ignore[arg-type]
    ask = Ask(
        key="model",
        model=args.model,
        record=record,
        role=find_role(args.role),
        target=args.target,
        sampling=Sampling.from_json(read_sampling(args)),
        layout=args.layout,
    )
    ask.prompt()  # an empty question is refused before anything is loaded
    other = [replace(ask, key="other", model=args.other)] if args.other else []
    return [ask, *other], completion


class _Session:
    """One command on its way: write, look, compare, go on."""

    def __init__(
        self,
        args: argparse.Namespace,
        asks: "list[Ask]",
        completion: str,
        line: ProgressLine,
        stop: "Event",
    ) -> None:
        from qeu.services.lens import Lens

        self._args, self._asks, self._completion = args, asks, completion
        self._line, self._stop = line, stop
        self._engines: Engines = make_engines(args)
        self._lens = Lens()

    def show(self) -> dict[str, object]:
        """Print what was found, unless it is for a program; all of it as plain values."""
        sides = self._sides()
        told: dict[str, object] = {}
        position = self._args.position
        if self._args.at_end:
            position = None
        elif position is None:
            position = 0
        if len(sides) == 2:
            two = self._lens.compare_two(self._engines, *sides, **self._how())
            told["two_sides"] = two.to_json()
            self._print(show_two, two, [ask.model for ask in self._asks])
            if self._args.position is None and not self._args.at_end:
                position = two.first_divergence or 0
        looks = [self._look(side, position) for side in sides]
        for name, look in zip(("look", "other_look"), looks, strict=False):
            told[name] = look.to_json()
            self._print(show_look, look)
        if looks[0].tokens and len(sides) == 1:
            surprise = self._lens.surprise(self._engines, sides[0], **self._how())
            told["surprise"] = surprise.to_json()
            self._print(show_surprise, surprise)
        if self._args.force is not None:
            told["continuation"] = self._go_on(sides[0], looks[0])
        return told

    def _sides(self) -> "list[LensSide]":
        from qeu.services.lens_reader import LensSide, check_local

        for ask in self._asks:
            check_local(ask)
        exact = self._args.exact
        if self._completion:
            return [LensSide(ask, (), self._completion, exact) for ask in self._asks]
        # the end of the prompt needs no text
        if not (self._args.position or self._args.at_end or self._args.other):
            return [LensSide(ask, exact=exact) for ask in self._asks]
        return [LensSide.of(live.ask, live.generation, exact) for live in self._write(self._asks)]

    def _look(self, side: "LensSide", position: int | None) -> "Look":
        return self._lens.look(self._engines, side, position, top=self._args.top, **self._how())

    def _go_on(self, side: "LensSide", look: "Look") -> dict[str, object]:
        from qeu.services.lens import put_token
        from qeu.services.runs import side_json

        ask = put_token(side, look, _read_token(self._args.force, look))
        (live,) = self._write([replace(ask, key="continuation")])
        self._print(show_continuation, live, look)
        return side_json(live)

    def _write(self, asks: "list[Ask]") -> "list[Live]":
        """What the models write; raises QeuError where one fails, and where all was stopped."""
        from qeu.services.runs import Run

        with Run(self._engines, asks, exact=self._args.exact) as run:
            while not run.finished:
                run.poll(0.1)
                if self._stop.is_set():
                    run.stop()
                tokens = " | ".join(f"{key}: {one.new_tokens}" for key, one in run.live.items())
                self._line.draw(f"{tokens} tokens")
            self._line.clear()
            for live in run.live.values():
                if live.generation is None or live.generation.finish_reason == "cancelled":
                    raise QeuError("The text was stopped before it was whole.")
                if live.phase == "failed":
                    raise QeuError(live.error)
            return list(run.live.values())

    def _how(self) -> dict[str, object]:
        return {"stop": self._stop, "on_load": told_load(self._line, self._args.model)}

    def _print(self, do: object, *values: object) -> None:
        self._line.clear()
        if not self._args.json:
            do(*values)  # type: ignore[operator]


def _read_token(text: str, look: "Look") -> list[int]:
    """The ids to put there: `#ID`, or the tokens of a text, control tokens among them."""
    if text.startswith("#") and text[1:].isdecimal():
        return [int(text[1:])]
    return list(look.names.encode(text, specials=True))
