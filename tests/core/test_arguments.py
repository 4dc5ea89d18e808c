"""Texts that begin like `-` or `@FILE` survive a command line."""

import pytest

from qeu.core.arguments import protect_argument, unprotect_argument


@pytest.mark.parametrize("text", ["-", "@x", "\\-", "\\@x", "\\\\@", "\\x", "-5", "a@b", "", "\\"])
def test_protected_arguments_come_back(text):
    protected = protect_argument(text)
    assert protected != "-"
    assert not protected.startswith("@")
    assert unprotect_argument(protected) == text
