"""The command line: one file per group of commands, beside the page and over the same services."""
