"""Keep what libraries tell their own developers away from a person's terminal."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def hush_imports() -> None:
    """Before PEFT imports bitsandbytes, which tells of a faster kernel that need not be there."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hush notes about coming renames within transformers and PEFT."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"(transformers|peft)\b")
        yield
