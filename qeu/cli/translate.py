"""`translate`: a text in another language, by a model that is fit for it."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from qeu.cli.arguments import read_texts
from qeu.cli.loading import INTERRUPTED, make_engines
from qeu.cli.screen import ProgressLine, say, show, show_json
from qeu.cli.workspace import open_workspace
from qeu.core.errors import QeuError
from qeu.core.translate_prompts import TARGETS

if TYPE_CHECKING:
    from qeu.backends.engines import Engines
    from qeu.services.translate import TranslationRun
    from qeu.services.translated_text import Translation

# How long Ctrl-C waits for the engine to hand over what it has written.
STOP_WAIT_S = 5.0
_KEY = "text"
_FAULTS = {
    "language": "The model wrote in another language.",
    "script": "The model wrote the other Chinese script.",
    "mixed": "Some lines are in another language.",
    "loop": "The model began to repeat itself.",
    "length": "The text was cut at the token limit.",
    "empty": "The model wrote nothing.",
}
_DESCRIPTION = """\
Translate a text. Long ones go in pieces. What was translated well is kept in the workspace, so
that a second time is free. Without --model the best one at hand: a hosted one by its key, else
one in memory."""
_EPILOG = """\
TEXT may be @FILE, or - for standard input (the default); \\@ and \\- stand for the signs
themselves.

examples:
  python -m qeu translate --to ja --model groq/llama-3.3-70b-versatile "Good morning."
  python -m qeu translate --to en --json @notes_ja.txt"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command's options."""
    parser = commands.add_parser(
        "translate",
        help="translate a text with a model that is fit for it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("text", nargs="?", default="-", metavar="TEXT", help="what to translate")
    parser.add_argument(
        "--to", required=True, choices=TARGETS, metavar="LANG", help=f"one of {', '.join(TARGETS)}"
    )
    parser.add_argument("--model", metavar="MODEL[@ADAPTER]", help="who translates")
    parser.add_argument(
        "--run-anyway", action="store_true", help="even if the model is not fit for it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object on one line")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run_translate)


def run_translate(args: argparse.Namespace) -> int:
    """Translate it, print it; Ctrl-C prints what there is."""
    # here and not above: the help of every command waits for what stands above
    from qeu.services.translate import TranslationRun

    text = read_texts({_KEY: args.text})[_KEY]
    if not text.strip():
        raise QeuError(
            "There is no text to translate. Give one, or @FILE, or - for standard input."
        )
    engines = make_engines(args)
    model = args.model or _choose_model(engines, text, args.to)
    with open_workspace(make=True) as workspace:
        run = TranslationRun(
            engines, workspace, {_KEY: text}, args.to, model, run_anyway=args.run_anyway
        )
        interrupted = _follow(run, ProgressLine(args.quiet))
    one = run.live[_KEY]
    if args.json:
        show_json(one.to_json())
    elif one.text:
        show(one.text)
    sys.stdout.flush()
    if interrupted:
        return _leave(run)
    if one.error:
        raise QeuError(one.error)
    if one.fault:
        raise QeuError(f"{_FAULTS[one.fault]} It is not kept; choose another model with --model.")
    return 0


def _choose_model(engines: "Engines", text: str, target: str) -> str:
    """The best model at hand; any will do where nothing need be translated."""
    from qeu.backends.catalog import list_models
    from qeu.services.translated_text import begin_translation
    from qeu.services.translators import find_translators

    one = begin_translation(_KEY, text, target, "")
    if one.state == "same":
        return list_models()[0].id
    found, sentences = find_translators(engines, one.source, target)
    for sentence in sentences:
        say(sentence)
    if not found:
        raise QeuError(
            f"No model at hand is fit to translate from {one.source} into {target}. Set "
            "GROQ_API_KEY or QEU_SERVERS, or name a model with --model; `models` lists them."
        )
    return found[0]


def _follow(run: "TranslationRun", line: ProgressLine) -> bool:
    """Tell of the run until it has ended; whether Ctrl-C ended it."""
    try:
        while not run.finished:
            run.poll(0.1)
            told = _state(run)
            line.log(run.phase, told)
            line.draw(f"{told} …{' '.join(run.live[_KEY].text[-60:].split())[-40:]}")
        line.clear()
    except KeyboardInterrupt:
        run.stop()
        line.clear()
        say("Stopping …")
        run.wait(STOP_WAIT_S)
        return True
    one = run.live[_KEY]
    line.log("end", _ended(one))
    return False


def _leave(run: "TranslationRun") -> int:
    if not run.finished:
        # an engine still at work in C++ can crash while Python takes itself down around it
        sys.stderr.flush()
        os._exit(INTERRUPTED)
    return INTERRUPTED


def _state(run: "TranslationRun") -> str:
    """What the run is at, in steps coarse enough for a log."""
    one = run.live[_KEY]
    if run.phase == "loading":
        share = f" {int(run.share * 10) * 10}%" if run.share else ""
        return f"{one.model}: {run.step}{share}"
    if run.phase == "waiting":
        return f"{one.model}: waiting"
    return f"{one.model}: part {one.piece} of {one.pieces}"


def _ended(one: "Translation") -> str:
    if one.state == "same":
        return f"nothing to translate: it is {one.target} already"
    kept = ", kept from before" if one.cached else ""
    return f"{one.source} to {one.target} by {one.model}: {one.fault or one.state}{kept}"
