"""Who can translate at once: hosted models by a key, and models in this machine's memory."""

from qeu.backends.engines import Engines
from qeu.backends.providers import GROQ_PREFERENCE
from qeu.core.errors import QeuError
from qeu.services.translated_text import translation_warning


def list_hosted(engines: Engines) -> tuple[list[str], list[str]]:
    """(hosted models that write text, the strongest known ones first; why a provider lists none).

    Asks the providers, which may take as long as they do; the pool keeps the answers for a while.
    """
    refs: list[str] = []
    sentences: list[str] = []
    for provider in engines.keyring.providers:
        try:
            cards = engines.pool.list_models(provider, engines.keyring)
        except QeuError as error:
            sentences.append(str(error))
            continue
        refs += [card.ref for card in cards if card.chat]
    return sorted(refs, key=_rank), sentences


def find_translators(engines: Engines, source: str, target: str) -> tuple[list[str], list[str]]:
    """(models at hand that are fit for a pair of languages, best first; why a provider has none).

    At hand is what answers without a download: hosted models, then those in memory.
    """
    hosted, sentences = list_hosted(engines)
    held = [model.model_id for model in engines.loaded()]
    found = dict.fromkeys([*hosted, *held])
    return [name for name in found if not translation_warning(name, source, target)], sentences


def _rank(ref: str) -> int:
    """The place in the preference list; those that are not in it come last."""
    name = ref.partition("/")[2]
    return GROQ_PREFERENCE.index(name) if name in GROQ_PREFERENCE else len(GROQ_PREFERENCE)
