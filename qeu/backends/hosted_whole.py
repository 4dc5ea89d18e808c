"""An answer in one piece, from a server that does not stream though it was asked to."""

import json
from types import SimpleNamespace
from typing import Any

from qeu.backends.hosted_call import ErrorAnswer, Unreadable


class Whole(SimpleNamespace):
    """A JSON object whose names are attributes, as in the client libraries."""


def read_whole(body: bytes) -> Any:
    """The answer, to be read like a piece of a stream that holds all of it.

    Raises ErrorAnswer where it tells an error, Unreadable where it is no answer.
    """
    try:
        told = json.loads(body)
        found = json.loads(body, object_hook=lambda pairs: Whole(**pairs))
    except (ValueError, RecursionError) as e:
        raise Unreadable(what="neither a stream nor JSON") from e
    if isinstance(told, dict):
        if told.get("choices"):
            return found
        if told.get("error") or told.get("detail") or told.get("message"):
            raise ErrorAnswer(told)
    raise Unreadable(what="JSON without a text")
