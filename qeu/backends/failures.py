"""Say for a person why a model failed: memory with numbers, scores that are no numbers, others."""

OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the GPU or in the machine."""
    import torch

    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in text for words in OUT_OF_MEMORY
    )


def explain_failure(error: BaseException, what: str) -> str:
    """One sentence for a person about a failure inside torch or transformers."""
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return (
            f"{what}: the memory is full. Ask for fewer rows or a shorter text, "
            "unload another model, or choose a smaller one."
        )
    return f"{what} ({type(error).__name__}: {text[:300]})."


def explain_full_load(name: str, precision: str, needed: int, free: int) -> str:
    """The sentence for a load that ran out of memory; sizes in bytes."""
    what = f"{name} did not fit into the memory while it was loaded in {precision}"
    return (
        f"{what}: {needed / 1e9:.1f} GB were expected, and {free / 1e9:.1f} GB is free now. "
        "Unload another model, load it in 4 bits, or choose a smaller one."
    )


def explain_full_row(name: str, tokens: int, cache: float, weights: int, free: float) -> str:
    """The sentence for a single row that ran out of memory; sizes in bytes."""
    what = f"{name} failed: the memory is full"
    return (
        f"{what}. One text of {tokens:,} tokens takes {cache / 1e9:.2f} GB of cache beside "
        f"{weights / 1e9:.1f} GB of weights, and {free / 1e9:.1f} GB is free. "
        "Shorten the text, ask for fewer tokens, or unload another model."
    )


def explain_not_finite(name: str, precision: str) -> str:
    """The sentence for scores that are NaN or infinite: the precision, and the way out."""
    what = f"The scores of {name} in {precision} are not numbers (NaN or infinite)"
    if precision == "float32":
        return f"{what}, so no token could be chosen. Its weights are damaged: fetch them again."
    if precision == "bfloat16":
        return f"{what}, so no token could be chosen. Load it in float32."
    return f"{what}, so no token could be chosen. Load it in bfloat16 or float32."
