"""What visitors of a public page may ask for: which models, how long, how many at a time."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import NoReturn

from qeu.backends.adapter_files import list_adapters
from qeu.backends.catalog import list_models, provider_of, split_ref
from qeu.core.errors import QeuError
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.core.text import one_line
from qeu.services.places import Places
from qeu.store.daily_budget import DailyBudget

# Some 5,000 tokens of English: more than any model of the table answers well about.
MOST_CHARACTERS = 20_000
BUDGET_FILE = "visitors.db"
# As providers name their models: "openai/gpt-oss-20b", "llama3:8b"; no path, no address.
_HOSTED_NAME = re.compile(r"\w[\w.:-]*(?:/\w[\w.:-]*)*", re.ASCII)


class PublicLimits:
    """The rules of one public page; each check raises QeuError with what is possible instead.

    `providers` are those that the owner has keys or addresses for; visitors may ask them as long
    as the owner's budget for the day lasts. Nobody asks a hosted model where the budget is 0.
    """

    def __init__(self, settings: Settings, providers: Iterable[str] = ()) -> None:
        self._adapters = settings.adapters
        self.new_tokens = settings.public_tokens
        self.providers = tuple(providers) if settings.public_budget else ()
        self.budget = DailyBudget(settings.home / BUDGET_FILE, settings.public_budget)
        # requests to hosted models on their way, and callers of the API who wait for a result
        self.hosted_places = Places(settings.public_queue)
        self.call_places = Places(settings.public_queue + 1)

    def check_model(self, ref: str) -> None:
        """Refuse what is not in the table, nor the owner's: no path or Hub id is looked at."""
        name, adapter = split_ref(ref)
        known = [card.id for card in list_models()]
        hosted = _HOSTED_NAME.fullmatch(name.partition("/")[2]) and provider_of(name)
        if hosted in self.providers:
            if not self.budget.left():
                refuse_for_today()
        elif name not in known:
            listed = [*known, *(f"{provider}/NAME" for provider in self.providers)]
            raise QeuError(
                f"{_shown(name)} is not offered here. Choose one of: {', '.join(listed)}."
            )
        if adapter is not None:
            self.check_adapter(adapter)

    def check_adapter(self, name: str) -> None:
        """Refuse what is not the name of an adapter in the owner's folder."""
        known = [adapter.name for adapter in list_adapters(self._adapters)]
        if not known:
            raise QeuError("No adapter is offered here. Choose a model without one.")
        if name not in known:
            raise QeuError(
                f"Adapter {_shown(name)} is not offered here. Choose one of: {', '.join(known)}."
            )

    def check_texts(self, *texts: str) -> None:
        """Refuse texts that are too long to be asked about here, all of them together."""
        if (length := sum(len(text) for text in texts)) > MOST_CHARACTERS:
            raise QeuError(
                f"These texts have {length:,} characters; a public page takes "
                f"{MOST_CHARACTERS:,}. Shorten them, or run the playground on your own machine."
            )

    def cap(self, sampling: Sampling) -> Sampling:
        """The settings with as many new tokens as a text may have here; `notice` says so."""
        if sampling.max_new_tokens <= self.new_tokens:
            return sampling
        return replace(sampling, max_new_tokens=self.new_tokens)

    def notice(self, sampling: Sampling) -> str:
        """Why fewer new tokens are written than were asked for; "" where that is not so."""
        if sampling.max_new_tokens <= self.new_tokens:
            return ""
        return f"On this public page a text has at most {self.new_tokens:,} new tokens."


def refuse_for_today() -> NoReturn:
    """Nothing is left of the owner's tokens for visitors."""
    raise QeuError(
        "Today's tokens for hosted models are used up. Choose a model that runs here, or come "
        "again after midnight UTC."
    )


def refuse_keys() -> NoReturn:
    """A visitor's key has no place on somebody else's machine."""
    raise QeuError(
        "Keys are not taken on a public page. Run the playground on your own machine to use yours."
    )


def refuse_addresses() -> NoReturn:
    """A server's address from a visitor would be asked from within the owner's network."""
    raise QeuError(
        "Addresses of servers are not taken on a public page. "
        "Run the playground on your own machine to ask them."
    )


def _shown(name: str) -> str:
    return repr(one_line(name))
