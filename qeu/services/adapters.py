"""The adapters that there are: what each was trained as, whether it fits, what is wrong with it."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from qeu.backends.adapter_base import fitting_models, revision_warning
from qeu.backends.adapter_check import is_untrained, untrained_warning
from qeu.backends.adapter_files import AdapterFolder, BrokenAdapter, scan_adapters
from qeu.backends.adapter_finder import AdapterFinder
from qeu.backends.catalog import find_model, split_ref
from qeu.backends.weights_here import revision_here
from qeu.core.errors import QeuError


@dataclass(frozen=True)
class AdapterCard:
    """One adapter as a person sees it; "" and 0 where its files do not tell.

    `base` is the name by which its base can be asked for here; `trained_on` the name that its
    configuration tells, without a folder of somebody's machine. `bytes` are those of its weights,
    `changed` is a time in UTC. `checkpoints` are names of its run's saved steps. `warning` says
    where the base has changed since, or that the adapter changes nothing. `hash` needs the whole
    file: only `show_card` tells it.
    """

    name: str
    base: str
    trained_on: str
    rank: int
    target_modules: tuple[str, ...]
    bytes: int
    changed: str
    layout: str
    target: str
    role: str
    checkpoints: tuple[str, ...] = ()
    warning: str = ""
    hash: str = ""

    @property
    def ref(self) -> str:
        """What to type to ask it, `MODEL@ADAPTER`; "" where its base is not known."""
        return f"{self.base}@{self.name}" if self.base else ""

    def to_json(self) -> dict[str, object]:
        """Plain values, as the command line prints them."""
        return asdict(self) | {"ref": self.ref}


def list_cards(
    folder: Path, cache: Path | None = None
) -> tuple[list[AdapterCard], list[BrokenAdapter]]:
    """All adapters of the folder, checkpoints behind their run, and those that cannot be loaded.

    With the weights' `cache` folder each is held against its base's files, where those are here.
    """
    found, broken = scan_adapters(folder)
    revisions: dict[str, str] = {}
    names = [adapter.name for adapter in found]
    return [make_card(one, names, cache, revisions) for one in found], broken


def show_card(folder: Path, name: str, cache: Path | None = None) -> AdapterCard:
    """The card of one adapter, named or typed as for a run; asks no network. Raises QeuError."""
    adapter = AdapterFinder(folder).find(name, fetch=False)
    names = [one.name for one in scan_adapters(folder)[0]]
    return replace(make_card(adapter, names, cache, {}), hash=adapter.hash)


def make_card(
    adapter: AdapterFolder,
    names: list[str],
    cache: Path | None,
    revisions: dict[str, str],
) -> AdapterCard:
    """What a person wants to know of an adapter; `revisions` keeps those of bases looked at."""
    base = find_base(adapter)
    run = adapter.run
    if cache is not None and base not in revisions:
        revisions[base] = _revision_here(base, cache)
    here = revisions.get(base, "")
    return AdapterCard(
        name=adapter.name,
        base=base,
        trained_on=without_folder(adapter.bases[0] if adapter.bases else ""),
        rank=adapter.rank,
        target_modules=adapter.target_modules,
        bytes=adapter.bytes,
        changed=datetime.fromtimestamp(adapter.changed, UTC).isoformat(timespec="seconds"),
        layout=run.layout if run else "",
        target=run.target if run else "",
        role=run.role if run else "",
        checkpoints=tuple(n for n in names if n.startswith(f"{adapter.name}/checkpoint-")),
        warning=(
            untrained_warning(adapter)
            if is_untrained(adapter)
            else revision_warning(adapter, base, here)
        ),
    )


def find_base(adapter: AdapterFolder) -> str:
    """The model to ask this adapter over: an id of the table, a Hub id, or a folder that is here.

    "" where it tells none, or only a folder of another machine.
    """
    if known := fitting_models(adapter):
        return known[0]
    for name in adapter.bases:
        try:
            return find_model(name).id
        except QeuError:  # a folder that is not here
            continue
    return ""


def own_layout(folder: Path, ref: str, *, local_paths: bool = True) -> tuple[str, str] | None:
    """(layout, target) that the adapter of `MODEL@ADAPTER` learned, from its run.json.

    None without an adapter, and where nothing is told; one of the Hub tells once it is here. A
    part that is not told is "". Never raises: what is wrong with an adapter is told by its run.
    """
    try:
        name = split_ref(ref)[1]
        if name is None:
            return None
        run = AdapterFinder(folder, local_paths=local_paths).find(name, fetch=False).run
    except QeuError:
        return None
    return (run.layout, run.target) if run and (run.layout or run.target) else None


def layout_warning(
    chosen_layout: str, chosen_target: str, ref: str, folder: Path, *, local_paths: bool = True
) -> str:
    """A sentence where the adapter learned another layout or target than is chosen; "" if not.

    An empty choice is the adapter's own. Who learned "both" has learned to write a reasoning, and
    an answer behind a given one, by the very same tokens.
    """
    learned = own_layout(folder, ref, local_paths=local_paths)
    if learned is None:
        return ""
    layout, target = learned
    name = split_ref(ref)[1]
    other_layout = layout and chosen_layout not in ("", layout)
    covered = {"both", "reasoning", "answer"} if target == "both" else {target}
    other_target = target and chosen_target and chosen_target not in covered
    if other_layout:
        return (
            f"Adapter {name!r} learned the layout {layout}, and {chosen_layout} is chosen: it may "
            "not show what it learned. Choose its own layout."
        )
    if other_target:
        return (
            f"Adapter {name!r} learned to write {target}, and {chosen_target} is asked for: it "
            "may not show what it learned."
        )
    return ""


def _revision_here(model: str, cache: Path) -> str:
    """The hash or commit of a base's files on this machine; "" where they are not here."""
    try:
        return revision_here(find_model(model), cache) if model else ""
    except (QeuError, OSError):
        return ""


def without_folder(base: str) -> str:
    """A base's name; of a path only the last part, which tells nothing of a person's machine."""
    is_path = base.startswith(("/", "~", ".", "\\")) or ":\\" in base
    return base.replace("\\", "/").rstrip("/").rpartition("/")[2] if is_path else base
