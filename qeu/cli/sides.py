"""Two finished sides as a person reads them: state, reasoning, answer, checks."""

from collections.abc import Mapping, Sequence

from qeu.cli.screen import WIDE_COLUMNS, show, side_by_side, terminal_columns, wrap_text

SIGNS = {"pass": "✓", "fail": "✗", "partial": "~", "skip": "·"}


def show_sides(results: Mapping[str, Mapping[str, object]]) -> None:
    """Beside each other on a wide terminal, else one after the other."""
    columns = terminal_columns()
    texts = {name: _side_text(name, side) for name, side in results.items()}
    if columns >= WIDE_COLUMNS and len(texts) == 2:
        show(side_by_side(*texts.values(), columns))
        return
    for number, text in enumerate(texts.values()):
        show(("" if not number else "\n") + "\n".join(wrap_text(text, columns)))


def _side_text(name: str, side: Mapping[str, object]) -> str:
    model = f"{side['model']}@{side['adapter']}" if side.get("adapter") else str(side["model"])
    blocks = [f"{name} · {model} · {side['layout']}\n{state_line(side)}"]
    if side.get("error"):
        blocks.append(str(side["error"]))
    checks = side.get("checks")
    found: Mapping[str, Sequence[Mapping[str, object]]] = (
        checks if isinstance(checks, Mapping) else {}
    )
    for part in ("reasoning", "answer"):
        if side.get(part) or part in found:
            line = checks_line(found.get(part, ()))
            blocks.append(
                "\n".join(filter(None, (f"─ {part} ─", str(side.get(part) or "…"), line)))
            )
    return "\n\n".join(blocks)


def state_line(side: Mapping[str, object]) -> str:
    """How the side ended, and its figures."""
    return (
        f"{side['finish_reason']} · {side['new_tokens']} tokens after {side['prompt_tokens']} · "
        f"{side['tokens_per_s']:.1f} tokens/s · first after {side['ttft_s']:.2f} s"
    )


def checks_line(checks: Sequence[Mapping[str, object]]) -> str:
    """Every check with its sign."""
    return "  ".join(
        f"{SIGNS.get(str(check['verdict']), '?')} {str(check['name']).replace('_', ' ')}"
        for check in checks
    )
