"""From a file's columns to a record's fields: guess which is which, then read rows or say why not.

A row is never repaired by guessing: what cannot be meant is rejected with its field, what is wrong
and what was expected. Columns of other names are kept in `extra`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qeu.core.language import identify
from qeu.core.record import UNIQUENESS
from qeu.core.text import clean_text, fold

MOST_TEXT_CHARACTERS = 1_000_000
FIELDS = (
    *("seq", "no", "category", "field", "uniqueness", "language"),
    *("instruction", "input", "reasoning", "output"),
)
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "instruction": ("instruction", "instructions", "prompt", "question", "query", "task", "指示",
                    "質問", "命令", "指令", "问题", "問題", "設問"),
    "input": ("input", "context", "入力", "输入", "輸入", "文脈", "content"),
    "reasoning": ("reasoning", "reason", "rationale", "thought", "thoughts", "cot",
                  "chain_of_thought", "推論", "推理", "思考", "考え方"),
    "output": ("output", "response", "answer", "completion", "target", "出力", "回答", "答え",
               "输出", "輸出", "答案"),
    "seq": ("seq", "record_id"),
    "no": ("no", "number", "番号", "编号"),
    "category": ("category", "task_type", "カテゴリ", "カテゴリー", "类别", "分類"),
    "field": ("field", "subject", "domain", "topic", "分野", "领域"),
    "uniqueness": ("uniqueness", "一意性", "唯一性"),
    "language": ("language", "lang", "言語", "语言", "語言"),
}  # fmt: skip
_LANGUAGES = {
    name: code
    for code, names in {
        "en": "en english eng en-us en-gb 英語 英语 e",
        "ja": "ja japanese jpn jp ja-jp 日本語 日语 j",
        "zh": "zh chinese zho chi cn zh-cn zh-tw zh-hans zh-hant 中国語 中文 汉语 漢語 c",
        "und": "und unknown other none uncertain",
    }.items()
    for name in names.split()
}
_NOT_LETTERS = re.compile(r"[\s\-.]+")
_SEQ = re.compile(r"\d+")


@dataclass(frozen=True)
class Rejected:
    """A row that was not taken: its number in the file, the field, what is wrong and expected."""

    row: int
    field: str
    reason: str

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {"row": self.row, "field": self.field, "reason": self.reason}


class RowError(Exception):
    """(field, reason) of a row that cannot be taken; stays inside the import."""


def guess_columns(names: Sequence[str]) -> dict[str, str]:
    """{field: column} as the names suggest: the exact name first, then what people call it."""
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(_plain(name), name)
    mapping: dict[str, str] = {}
    for field in FIELDS:
        for alias in _ALIASES[field]:
            column = folded.get(_plain(alias))
            if column is not None and column not in mapping.values():
                mapping[field] = column
                break
    return mapping


def check_mapping(mapping: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """What is wrong with a mapping that a person made."""
    problems = [f"There is no field {f!r}." for f in mapping if f not in FIELDS]
    problems += [f"The file has no column {c!r}." for c in mapping.values() if c not in names]
    if "instruction" not in mapping:
        problems.append(
            f"No column was recognised as the instruction among {', '.join(names[:12])}. "
            "Say which one it is, for example instruction=prompt."
        )
    return problems


def read_row(
    raw: object,
    number: int,
    mapping: Mapping[str, str],
    language: str = "",
    category: str = "open_qa",
) -> dict[str, object]:
    """A record's values from one row of a file; raises RowError(field, reason).

    `language` "" finds it from the question. A row without a seq gets its number in the file plus
    language code. `given` tells whether the row brought its own seq, `columns` what it brought.
    """
    if not isinstance(raw, Mapping):
        raise RowError("", f"It is {_kind(raw)}; expected an object with named columns.")
    used = set(mapping.values())
    extra = {clean_text(str(name)): _keep(value) for name, value in raw.items() if name not in used}
    nested = extra.pop("extra", None)
    if isinstance(nested, dict):
        extra = {**nested, **extra}
    elif nested is not None:
        extra["extra"] = nested
    texts = {
        field: _text(field, raw.get(mapping[field])) if field in mapping else ""
        for field in ("instruction", "input", "reasoning", "output")
    }
    if not texts["instruction"].strip():
        raise RowError("instruction", "It is empty; a record needs a question.")
    question = f"{texts['instruction']}\n{texts['input']}"
    joined = "\n\n".join(t.strip() for t in (texts["instruction"], texts["input"]) if t.strip())
    if extra.get("question") == joined:
        del extra["question"]
    code = _language(raw.get(mapping.get("language", "")), extra, mapping)
    if not code:
        code = language or identify(question[:200])[0]
    seq = _text("seq", raw.get(mapping["seq"])).strip() if "seq" in mapping else ""
    if len(seq) > 64:
        raise RowError("seq", f"It has {len(seq)} characters; expected at most 64, like 6EN.")
    return {
        **texts,
        "seq": seq or f"{number}{code.upper() if code != 'und' else ''}",
        "no": _number(raw.get(mapping.get("no", "")), extra, mapping, number),
        "category": _name("category", raw, mapping, category),
        "field": _name("field", raw, mapping, "other"),
        "uniqueness": _uniqueness(raw, mapping),
        "language": code,
        "extra": extra,
        "review": "",
        "given": bool(seq),
        "columns": frozenset(mapping),
    }


def _plain(name: str) -> str:
    return _NOT_LETTERS.sub("_", fold(str(name)).strip())


def _kind(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    names = {int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")


def _text(field: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        if len(value) > MOST_TEXT_CHARACTERS:
            raise RowError(
                field,
                f"It has {len(value):,} characters; expected at most {MOST_TEXT_CHARACTERS:,}.",
            )
        return clean_text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value != value or value in (float("inf"), float("-inf")):
            raise RowError(field, f"It is {value}, not a number one can write; expected a text.")
        return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else str(value)
    raise RowError(field, f"It is {_kind(value)}; expected a text.")


def _keep(value: object, depth: int = 0) -> object:
    """A value of another column as JSON can hold it."""
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if depth > 20:
        return "(nested too deeply)"
    if isinstance(value, Mapping):
        return {clean_text(str(k)): _keep(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_keep(item, depth + 1) for item in value]
    return clean_text(str(value))


def _language(value: object, extra: dict[str, object], mapping: Mapping[str, str]) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        return ""
    code = _LANGUAGES.get(fold(str(value)).strip().replace("_", "-"))
    if code is None:
        extra[mapping["language"]] = _keep(value)  # what it said is not lost
        return "und"
    return code


def _name(field: str, raw: Mapping[str, object], mapping: Mapping[str, str], default: str) -> str:
    if field not in mapping:
        return default
    name = _NOT_LETTERS.sub("_", _text(field, raw.get(mapping[field])).strip().lower())
    if len(name) > 100:
        raise RowError(field, f"It has {len(name)} characters; expected a short name.")
    return name or default


def _uniqueness(raw: Mapping[str, object], mapping: Mapping[str, str]) -> str:
    value = raw.get(mapping.get("uniqueness", ""))
    if value is None or (isinstance(value, str) and not value.strip()):
        return "complex"
    name = str(value).strip().lower()
    if name not in UNIQUENESS:
        raise RowError("uniqueness", f"It is {str(value)[:40]!r}; expected simple or complex.")
    return name


def _number(
    value: object, extra: dict[str, object], mapping: Mapping[str, str], number: int
) -> int | None:
    if "no" not in mapping:
        return number
    text = str(value).strip().removesuffix(".0") if value is not None else ""
    if _SEQ.fullmatch(text) and text.isascii() and len(text) < 16:
        return int(text)
    if text:
        extra[mapping["no"]] = _keep(value)
    return None
