"""`python -m qeu …`: the same services without a page."""

import sys

from qeu.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
