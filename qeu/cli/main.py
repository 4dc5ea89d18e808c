"""Read a command line, run its command, and say how it went by the exit status."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import qeu
from qeu.cli import (
    adapters,
    check,
    compare,
    data,
    ensemble,
    evaluate,
    generate,
    history,
    jobs,
    lens,
    models,
    record,
    runs,
    standing,
    sweep,
    train,
    translate,
    usefulness,
    vote,
)
from qeu.cli.screen import prepare_streams, say
from qeu.core.errors import QeuError, UsageError
from qeu.core.settings import Settings

if TYPE_CHECKING:
    from qeu.backends.shelf import Shelf

DONE, FAILED, USAGE, INTERRUPTED, PIPE_CLOSED = 0, 1, 2, 130, 141

_DESCRIPTION = """\
Reasoning-field distillation: ask two models the same question side by side, with roles, layouts
and sampling of your choice, and check what they write. `python app.py` opens the same as a page."""
_EPILOG = """\
examples:
  python -m qeu models
  python -m qeu compare --left smollm2-135m --right smollm2-135m --right-role creator \\
      --instruction "Write a slogan for a tea shop."
  echo "The answer is 4." | python -m qeu check --category math

Results go to standard output, progress to standard error; --json prints one object on one line.
Exit status: 0 done, 1 failed (one sentence says why), 2 wrong usage, 130 stopped by Ctrl-C."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; building it imports nothing heavy."""
    parser = argparse.ArgumentParser(
        prog="python -m qeu",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"qeu {qeu.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (
        models,
        adapters,
        compare,
        check,
        history,
        record,
        data,
        generate,
        jobs,
        ensemble,
        translate,
        usefulness,
        lens,
        train,
        evaluate,
        sweep,
        runs,
        vote,
        standing,
    ):
        group.add_command(commands)
    return parser


def main(argv: Sequence[str], make_shelf: "Callable[[Settings], Shelf] | None" = None) -> int:
    """Run one command line; the exit status. `make_shelf` None is the real one."""
    prepare_streams()
    try:
        args = build_parser().parse_args(argv)
        args.make_shelf = make_shelf
        status: int = args.run(args)
        sys.stdout.flush()
    except SystemExit as ending:  # argparse: help was shown, or the usage was wrong
        return ending.code if isinstance(ending.code, int) else USAGE
    except UsageError as error:
        say(str(error))
        return USAGE
    except QeuError as error:
        say(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # whoever read us has enough; Python would complain again when it flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    return status
