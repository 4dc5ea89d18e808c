"""An order as YAML text, to be kept and loaded again; what cannot be meant is named in words."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from qeu.core.errors import QeuError
from qeu.core.roles import BY_CATEGORY, ROLES, Role
from qeu.core.run_passport import LoraSettings, TrainingSettings, WatchSettings
from qeu.core.training_variant import Variant
from qeu.services.train_order import TrainOrder
from qeu.store.filters import Filter

# A settings file has a hundred lines; an order of particular records is the longest there is.
MOST_CHARACTERS = 4_000_000
_MOST_DEPTH = 8
_ROLE_TEXT = "role_text"
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
_TYPES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def order_to_yaml(order: TrainOrder) -> str:
    """All settings of the order, the usual ones too: a later version may have other defaults."""
    import yaml

    variant = asdict(order.variant)
    role = variant.pop("role")
    data = {
        "name": order.name,
        "base": order.base,
        "dataset": order.dataset,
        "filter": order.where.to_json(),
        "variant": {**variant, "role": role["id"]},
        "lora": asdict(order.lora),
        "training": asdict(order.training),
        "epochs": order.epochs,
        "watch": asdict(order.watch),
        "twins": order.twins,
    }
    if role["text"] != _known_text(role["id"]):
        data["variant"][_ROLE_TEXT] = role["text"]
    # safe_dump makes lists of tuples only when told to
    return yaml.safe_dump(_plain(data), sort_keys=False, allow_unicode=True)


def order_from_yaml(text: str | bytes) -> TrainOrder:
    """The order again; what the text leaves out is as usual.

    Raises QeuError naming the line of what is unknown, twice there, or of the wrong kind.
    """
    top = _Map(_compose(text), "")
    variant, role = _read_variant(top.part("variant"))
    order = TrainOrder(
        name=top.value("name", str, ""),
        base=top.value("base", str, ""),
        dataset=top.value("dataset", str, ""),
        where=_fill(Filter, top.part("filter")),
        variant=Variant(**variant, role=role),  # type: ignore[arg-type]
        lora=_fill(LoraSettings, top.part("lora")),
        training=_fill(TrainingSettings, top.part("training")),
        epochs=top.value("epochs", float, 0.0),
        watch=_fill(WatchSettings, top.part("watch")),
        twins=top.value("twins", tuple[str, ...], ()),
    )
    top.refuse_rest()
    return order


def _compose(text: str | bytes) -> Any:
    """The text as YAML nodes; nothing is made of them yet, so that a tag cannot make anything."""
    import yaml

    if len(text) > MOST_CHARACTERS:
        raise QeuError(
            f"The settings have {len(text):,} characters, and none that we wrote has over "
            f"{MOST_CHARACTERS:,}. Choose another file."
        )
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise QeuError("The settings are no UTF-8 text. Choose another file.") from error
    try:
        _check_events(yaml.parse(text, yaml.SafeLoader))
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or "bad sign"
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise QeuError(f"The settings are no YAML: {why}{where}.") from error
    if node is None:
        raise QeuError("The settings are empty. Choose a file that was saved here.")
    return node


def _check_events(events: Any) -> None:
    """Refuse what a few lines can blow up: names for parts used again, and endless depth."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise QeuError(
                f"Line {event.start_mark.line + 1} of the settings uses an anchor (& or *), which "
                "no settings of ours need. Write the value itself."
            )
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEPTH:
            raise QeuError("The settings are nested too deep. Choose a file that was saved here.")


class _Map:
    """One mapping of the text, whose entries are taken out one by one."""

    def __init__(self, node: Any, path: str) -> None:
        import yaml

        self.path = path
        if node is not None and not isinstance(node, yaml.MappingNode):
            raise QeuError(
                f"Line {_line(node)}: {path or 'the whole'} must be names with values, "
                "as in `rank: 16`."
            )
        self._nodes: dict[str, Any] = {}
        for key, value in node.value if node is not None else ():
            name = str(key.value)
            if name in self._nodes:
                raise QeuError(f"Line {_line(key)}: {self._name(name)} is there twice; keep one.")
            self._nodes[name] = value
        self._known: list[str] = []

    def part(self, name: str) -> "_Map":
        """A mapping within this one; empty where it is not there."""
        self._known.append(name)
        return _Map(self._nodes.pop(name, None), self._name(name))

    def value(self, name: str, kind: Any, default: Any) -> Any:
        """A value of that kind, or the default."""
        self._known.append(name)
        if name not in self._nodes:
            return default
        return _read(self._nodes.pop(name), kind, self._name(name))

    def refuse_rest(self) -> None:
        """Name what nobody has taken."""
        for name, node in self._nodes.items():
            raise QeuError(
                f"Line {_line(node)}: there is no setting {self._name(name)[:80]!r}. "
                f"Known: {', '.join(self._known)}."
            )

    def _name(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name


def _fill(cls: Any, part: _Map) -> Any:
    """A dataclass of plain values from a mapping."""
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    plain = cls()
    values = {
        f.name: part.value(f.name, hints[f.name], getattr(plain, f.name)) for f in fields(cls)
    }
    part.refuse_rest()
    return cls(**values)


def _read_variant(part: _Map) -> tuple[dict[str, object], Role]:
    hints, plain = get_type_hints(Variant), Variant()
    names = [f.name for f in fields(Variant) if f.name != "role"]
    values = {name: part.value(name, hints[name], getattr(plain, name)) for name in names}
    role_id = part.value("role", str, plain.role.id)
    if role_id not in (*ROLES, BY_CATEGORY.id):
        known = ", ".join((*ROLES, BY_CATEGORY.id))
        raise QeuError(f"Unknown role {role_id[:80]!r}. Choose one of: {known}.")
    role = Role(role_id, part.value(_ROLE_TEXT, str, _known_text(role_id)))
    part.refuse_rest()
    return values, role


def _read(node: Any, kind: Any, name: str) -> Any:
    """The node's value as this kind; by the text that stands there, since YAML's own idea differs.

    To it 2e-4 is a text, a name 2024 a number, and a base named no false.
    """
    import yaml

    if get_origin(kind) is tuple:
        if not isinstance(node, yaml.SequenceNode):
            raise QeuError(f"Line {_line(node)}: {name} must be a list, as in [a, b].")
        return tuple(_read(one, get_args(kind)[0], name) for one in node.value)
    assert not isinstance(kind, UnionType), kind
    if isinstance(node, yaml.ScalarNode):
        try:
            return _CONVERT[kind](node.value)
        except ValueError:
            pass
    shown = node.value[:40] if isinstance(node, yaml.ScalarNode) else "a list or names with values"
    raise QeuError(f"Line {_line(node)}: {name} is {shown!r}; it must be {_TYPES[kind]}.")


def _boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in (*_TRUE, *_FALSE):
        raise ValueError(text)
    return lowered in _TRUE


_CONVERT: Mapping[Any, Callable[[str], Any]] = {
    str: str, int: int, float: float, bool: _boolean,
}  # fmt: skip


def _known_text(role_id: str) -> str:
    return BY_CATEGORY.text if role_id == BY_CATEGORY.id else ROLES[role_id].text


def _plain(value: Any) -> Any:
    """Tuples as lists, all the way down."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def _line(node: Any) -> int:
    return node.start_mark.line + 1
