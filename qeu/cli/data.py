"""`data`: the group of commands on the data sets of the workspace."""

import argparse

from qeu.cli import data_curate, data_files, data_merge, data_models, data_records, data_sets


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the group and its commands."""
    group = commands.add_parser(
        "data",
        help="import, merge, label, check, search, export data sets; undo any change",
        description="Work on the data sets of the workspace. Every change is one step that "
        "`data undo` takes back.",
        allow_abbrev=False,
    )
    parts = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (data_files, data_merge, data_models, data_curate, data_records, data_sets):
        module.add_commands(parts)
