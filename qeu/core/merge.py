"""Put parallel data sets in several languages together, row by row: 1EN, 1JA, 2EN, 2JA, …"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

Row = dict[str, object]
# The reasoning of 27 March: one sentence that names the language to reply in.
LANGUAGE_SENTENCES: Mapping[str, str] = {
    "en": "The question is in English, so reply in English.",
    "ja": "質問は日本語なので、日本語で答える。",
    "zh": "问题是中文，所以用中文回答。",
}


@dataclass(frozen=True)
class MergePlan:
    """What a merge will do: `languages` of the files in their order, `lengths` in rows each.

    `common` rows are there in every file; with `keep_rest` the longer ones' rest comes too.
    """

    languages: tuple[str, ...]
    lengths: tuple[int, ...]
    keep_rest: bool = False

    @property
    def common(self) -> int:
        """Rows that every file has."""
        return min(self.lengths)

    @property
    def total(self) -> int:
        """Records that will come out."""
        return sum(self.lengths) if self.keep_rest else self.common * len(self.lengths)

    def problems(self) -> list[str]:
        """What a person should know before the merge."""
        found = []
        if len(set(self.lengths)) > 1:
            listed = ", ".join(
                f"{c}: {n:,}" for c, n in zip(self.languages, self.lengths, strict=True)
            )
            rest = "are kept, alone" if self.keep_rest else "are left out"
            found.append(
                f"The files differ in length ({listed}); rows after {self.common:,} {rest}."
            )
        if len(set(self.languages)) < len(self.languages):
            found.append(
                "Two files are in the same language: their seqs would be equal. "
                "Name the languages of the files."
            )
        return found


def merge_rows(
    sources: Sequence[Iterable[Row]],
    languages: Sequence[str],
    rows: tuple[int, int | None] = (1, None),
    sentences: Mapping[str, str] = LANGUAGE_SENTENCES,
    keep_rest: bool = False,
) -> Iterator[Row]:
    """The rows of all sources by turns, numbered from the range's first row on.

    `rows` is (first, last), both included, from 1. A row gets `seq` like 6EN, its language, and
    the language's sentence before the reasoning it has. `sentences` empty leaves reasoning as is.
    Where one source has an empty row (it could not be read), the rows beside it are left out.
    """
    first, last = rows
    parts = [islice(source, first - 1, last) for source in sources]
    for number, together in enumerate(zip_longest(*parts), start=first):
        if not keep_rest and any(row is None for row in together):
            return
        if any(row == {} for row in together):
            continue
        for row, language in zip(together, languages, strict=True):
            if row is not None:
                sentence = sentences.get(language, "")
                reasoning = str(row["reasoning"])
                if sentence and sentence not in reasoning:
                    reasoning = f"{sentence}\n{reasoning}".strip()
                code = "" if language == "und" else language.upper()
                yield row | {
                    "seq": f"{number}{code}",
                    "no": number,
                    "language": language,
                    "reasoning": reasoning,
                    "given": True,
                }
