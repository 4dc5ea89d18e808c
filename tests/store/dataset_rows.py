"""Small data sets for the tests of the store."""

from qeu.store.datasets import Dataset, find_dataset
from qeu.store.imports import Added, add_records, rows_of
from qeu.store.workspace import Workspace

CATEGORIES = ("open_qa", "creative", "math")
LANGUAGES = ("en", "ja", "zh")
WORDS = {
    "en": "Where does coffee grow?",
    "ja": "日本の学校について教えて。",
    "zh": "猫喜欢吃什么？",
}


def make_row(number: int, **changes: object) -> dict[str, object]:
    """Row `number`, languages and categories by turns."""
    language = LANGUAGES[number % 3]
    row = {
        "instruction": f"{WORDS[language]} ({number})",
        "input": "",
        "reasoning": f"Think about part {number} first." if number % 2 else "",
        "output": f"Answer number {number}.",
        "seq": f"{number + 1}{language.upper()}",
        "no": number + 1,
        "category": CATEGORIES[number % 3],
        "field": "other",
        "uniqueness": "simple" if number % 2 else "complex",
        "language": language,
        "extra": {},
    }
    return row | changes


def tell(added: Added) -> dict[str, object]:
    """The event of an import from a file."""
    return {
        "file": "rows.jsonl",
        "sha256": "0" * 64,
        "licence": "mit",
        "imported": added.imported,
        "unchanged": added.unchanged,
        "rejected": [],
    }


def fill(workspace: Workspace, count: int, name: str = "demo", **changes: object) -> Dataset:
    """A data set of so many rows."""
    add_records(workspace, name, rows_of(make_row(n, **changes) for n in range(count)), tell)
    return find_dataset(workspace, name)
