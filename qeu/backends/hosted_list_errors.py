"""Why there is no list of models, in a sentence: nothing in it speaks of a text or of paying."""

import logging
from typing import TYPE_CHECKING

from qeu.backends.hosted_call import ErrorAnswer, Unreadable
from qeu.backends.hosted_errors import (
    Trouble,
    explain_unsent,
    find_causes,
    is_of_shape,
    is_timeout,
    key_refused,
    said_in,
    sent_elsewhere,
)

if TYPE_CHECKING:
    from qeu.backends.hosted_call import Call
    from qeu.backends.hosted_client import HostedClient

log = logging.getLogger(__name__)


def explain_list(error: Exception, client: "HostedClient", call: "Call") -> Trouble:
    """Say what an exception means that came while the list of models was asked for."""
    who, status = client.who, getattr(error, "status_code", 0)
    if isinstance(status, int) and status >= 300:
        said = said_in(getattr(error, "body", None), str(error), client)
        return Trouble(_status_sentence(status, client, said), status=status)
    for cause in find_causes(error):
        if isinstance(cause, ErrorAnswer):
            return Trouble(_no_list(who, what=f"the error: {said_in(cause.body, '', client)}"))
        if isinstance(cause, Unreadable):
            return Trouble(_no_list(who, cause.what))
    if not call.sent_at:
        return explain_unsent(error, client, call)
    if call.expired_s or is_timeout(error):
        seconds = call.expired_s or call.silent_s
        return Trouble(
            f"{who} did not give its list of models within {seconds:g} s. Check that it runs and "
            "its address, then try again.",
            "engine",
        )
    if is_of_shape(error):
        log.info("the list of %s cannot be read: %s", who, type(error).__name__)
        return Trouble(_no_list(who, what="JSON of another shape"))
    return Trouble(
        f"{who} ended the connection before its list of models was there, or it does not speak "
        "HTTP. Check that it runs and its address, then try again.",
        "engine",
    )


def _status_sentence(status: int, client: "HostedClient", said: str) -> str:
    who = client.who
    if status == 401:
        return key_refused(client, said)
    if status < 400:
        return sent_elsewhere(who, status)
    if status == 403:
        return (
            f"{who} does not show this key its models (403): {said}. Type another key in the "
            "Models drawer."
        )
    if status == 404:
        return (
            f"{who} has no list of models at this address (404): {said}. Check the address; the "
            "one of most servers ends in /v1."
        )
    return f"{who} did not list its models ({status}): {said}. Try again later."


def _no_list(who: str, what: str) -> str:
    return (
        f"{who} sent a list of models that cannot be read: {what}. Check that the address is that "
        "of an OpenAI-compatible server."
    )
