"""Tell English, Japanese and Chinese apart, line by line, by script and by small words.

Codes are "en", "ja", "zh" and "und" (any other language, or nothing to judge by). Traditional and
simplified Chinese are one code. Languages in Latin script other than English are not told apart.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from qeu.core.segments import CHARACTERS_PER_WORD, line_spans

Language = str  # "en" | "ja" | "zh" | "und"

# Share of the evidence that one language must have before it is called certain. Set by hand, then
# held against the 1,338 answers of instruction_ja in English and Japanese: none is called another
# language for certain, 4 are left uncertain.
CERTAIN_SHARE = 0.7
# What stands inside quotation marks, code marks and links is spoken about, not spoken in.
_QUOTED = re.compile(
    r"「[^「」\n]{0,400}」|『[^『』\n]{0,400}』|“[^“”\n]{0,400}”|\"[^\"\n]{0,400}\"|`[^`\n]{0,400}`"
    r"|(?:https?://|www\.)[!-~]+"
)
_LATIN_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def _word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ENGLISH = _word_set(
    "a an the and or but not is are was were be been being of to in on at by for with from as it "
    "its this that these those you your i we they he she his her their our my me him them us what "
    "which who how why when where there here then than if so do does did can could should would "
    "will may might must has have had no yes all any some more most such about into over after "
    "before also only just very because while each other make use think look consider write find"
)
# Frequent words of other languages in Latin script, without those that are English words too.
_OTHER_LATIN = _word_set(
    "der das und ist nicht ein eine einen zu den dem mit auf für sich von wird oder wie auch sind "
    "sie le la les des et est une un du que qui dans pour pas sur avec ce cette sont nous vous il "
    "elle au el los las de en una es por con para del se su como más pero lo al muy también está "
    "di che per non sono della nel alla gli questo più da em um uma os na não mais seu são het een "
    "van niet dat zijn voor op te och att som det är på av og til ikke yang dan untuk dengan tidak "
    "ini itu adalah ve bir bu için ile değil nie się jest że"
)
# Characters that Japanese does not write, or not in running text, though its standard lists them.
_CHINESE_WORDS = frozenset("這很們您它她沒麼嗎呢吧啊你妳哪啦")
_CHINESE_COMMON = frozenset("的是了在我他就也都和不")


@dataclass(frozen=True)
class LineLanguage:
    """One non-empty line [start, end) and its language; not `certain` where it may be another."""

    start: int
    end: int
    language: Language
    certain: bool


def identify_lines(text: str) -> list[LineLanguage]:
    """Language of each non-empty line, in code-point offsets; never raises."""
    return [LineLanguage(s, e, *identify(text[s:e])) for s, e in line_spans(text)]


def identify(text: str) -> tuple[Language, bool]:
    """(code, certain) of a whole text; ("und", False) where it holds no letters. Never raises.

    Quotations, code and links are left out where two words or more remain without them, so that
    'Translate 「猫」 into English' is English.
    """
    if not text:
        return "und", False
    bare = _QUOTED.sub(" ", text)
    scripts = _scripts(bare)
    if sum(scripts.values()) < 6:
        bare, scripts = text, _scripts(text)
    latin, other = scripts["latin"], scripts["other"]
    cjk = scripts["kana"] + scripts["han"]
    if not latin + other + cjk:
        return "und", False
    english, foreign = _small_words(bare) if latin else (0, 0)
    weights = {
        "cjk": CHARACTERS_PER_WORD * (cjk + scripts["hiragana"]),
        "latin": latin + 10.0 * (english + foreign),
        "other": CHARACTERS_PER_WORD * other,
    }
    first = max(weights, key=lambda script: weights[script])
    clear = weights[first] >= CERTAIN_SHARE * sum(weights.values())
    if first == "other":
        return "und", clear and other >= 4
    if first == "latin":
        code, certain = _latin_language(english, foreign, scripts["accented"], latin)
    else:
        code, certain = _cjk_language(scripts)
    return code, certain and clear


def _small_words(text: str) -> tuple[int, int]:
    english = foreign = 0
    for word, times in Counter(_LATIN_WORD.findall(text)).items():
        # a lone capital is a name, an option or a variable
        folded = word if len(word) == 1 else word.casefold().partition("'")[0].partition("’")[0]
        english += times * (folded in _ENGLISH)
        # "Los Angeles", "De Gaulle": capitals are names
        foreign += times * (word.islower() and folded in _OTHER_LATIN)
    return english, foreign


def _latin_language(
    english: int, foreign: int, accented: int, letters: int
) -> tuple[Language, bool]:
    # café and naïve are English; one accented letter in twenty is not
    accents = accented if accented >= 2 and accented * 20 > letters else 0
    other = foreign + min(accents, 3)
    if other >= 2 and other > english:
        return "und", other >= 2 * english
    return "en", (english >= 2 and english >= 2 * other) or (english == 1 and not other)


def _cjk_language(scripts: Counter[str]) -> tuple[Language, bool]:
    kana, han = scripts["kana"], scripts["han"]
    chinese = 2 * scripts["simplified"] + 2 * scripts["chinese"] + scripts["traditional"]
    if kana and kana >= chinese:  # Chinese advertising writes a の now and then
        return "ja", True
    japanese = kana + 2 * scripts["japanese"]
    if chinese or scripts["bopomofo"]:
        return "zh", chinese + scripts["bopomofo"] > 2 * japanese
    # 国 is written so in Japan and China, 際 in Japan and Taiwan: only Japan writes 国際
    if japanese or (scripts["new"] and scripts["old"]):
        return "ja", True
    # Han alone: a Japanese noun or a Chinese sentence. Running Japanese cannot do without kana.
    return "zh", han >= 12 and scripts["common"] >= 2


def _scripts(text: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for character, times in Counter(text).items():
        for kind in _kinds(character):
            counts[kind] += times
    return counts


@lru_cache(maxsize=65536)
def _kinds(character: str) -> tuple[str, ...]:
    if not character.isalpha() and character != "々":
        return ()
    if ord(character) > 0xFF00:
        character = unicodedata.normalize("NFKC", character)[:1]
    code = ord(character)
    if code < 0x250 or 0x1E00 <= code < 0x1F00:
        return ("latin",) if code < 0x80 else ("latin", "accented")
    if 0x3041 <= code <= 0x309F:
        return ("kana", "hiragana")
    if 0x30A1 <= code <= 0x30FF or 0x31F0 <= code <= 0x31FF:
        return ("kana",)
    if 0x3105 <= code <= 0x312F or 0x31A0 <= code <= 0x31BF:
        return ("han", "bopomofo")
    if 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or code >= 0x20000 or code == 0x3005:
        return ("han", *_han_kinds(character))
    return ("other",)


def _han_kinds(character: str) -> list[str]:
    """Which national character sets hold it: that is what tells 説, 説's 说 and 說 apart."""
    japanese = _encodes(character, "shift_jis")
    mainland, taiwan = _encodes(character, "gb2312"), _encodes(character, "big5")
    kinds = []
    if character in _CHINESE_WORDS:
        kinds.append("chinese")
    elif mainland and not japanese:
        kinds.append("simplified")
    elif taiwan and not japanese:
        kinds.append("traditional")
    elif japanese and not mainland and not taiwan:
        kinds.append("japanese")
    elif japanese and mainland != taiwan:
        kinds.append("new" if mainland else "old")
    if character in _CHINESE_COMMON:
        kinds.append("common")
    return kinds


def _encodes(character: str, charset: str) -> bool:
    try:
        character.encode(charset)
    except UnicodeEncodeError:
        return False
    return True
