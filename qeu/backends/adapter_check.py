"""Hold an adapter's files against a base before anything of it is changed.

The header tells which layers are adapted and in which sizes; the numbers themselves are read once.
"""

import json
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from qeu.backends.adapter_files import CONFIG, WEIGHTS, AdapterFolder
from qeu.backends.headers import read_safetensors
from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from peft import LoraConfig
    from torch import nn

_PREFIX = "base_model.model."
# Kinds of LoRA that alter the base itself, change its structure, or need more than a row's name:
# the base would not be the base any more, nor would the other adapters be what they are.
_UNSAFE_FIELDS = (
    "layer_replication", "megatron_config", "target_parameters", "alora_invocation_tokens",
    "arrow_config", "kasa_config", "monteclora_config", "use_qalora", "use_bdlora",
)  # fmt: skip
_FIRST, _SECOND = {"lora_A", "lora_embedding_A"}, {"lora_B", "lora_embedding_B"}
_PLAIN_STARTS = ("gaussian", "orthogonal", "eva", "mica")


def read_config(adapter: AdapterFolder) -> "LoraConfig":
    """The adapter's configuration, ready for inference; QeuError where it cannot be run here."""
    from peft import PeftConfig

    try:
        # PEFT looks for the packages of some kinds while it reads: those are refused before
        alters = _alterations(json.loads((adapter.path / CONFIG).read_text("utf-8")))
        if alters:
            raise QeuError(
                f"Adapter {adapter.name!r} would alter the base itself ({', '.join(alters)}), and "
                "the base stays as it is here. Save it as a plain LoRA adapter."
            )
        config: Any = PeftConfig.from_pretrained(str(adapter.path))
    except (OSError, ValueError, TypeError, KeyError, ImportError) as e:
        raise QeuError(f"Adapter {adapter.name!r}: {CONFIG} cannot be read ({e}).") from e
    # what the file does not hold starts as nothing, not as noise
    config.init_lora_weights = True
    config.inference_mode = True
    return config  # type: ignore[no-any-return]


def _alterations(config: Mapping[str, object]) -> list[str]:
    """Settings of a kind that does not leave the base as it is."""
    found = [name for name in _UNSAFE_FIELDS if config.get(name)]
    for name, plain in (("init_lora_weights", _PLAIN_STARTS), ("bias", ("none",))):
        value = config.get(name)
        if isinstance(value, str) and value.lower() not in plain:
            found.append(f"{name}={value}")
    return found


def check_shapes(adapter: AdapterFolder, config: "LoraConfig", model: "nn.Module") -> None:
    """Refuse an adapter whose layers the model lacks or has in other sizes; changes nothing."""
    shapes = dict(read_safetensors(adapter.path / WEIGHTS).shapes)
    if not shapes:
        raise QeuError(f"Adapter {adapter.name!r} holds no weights. Train it again.")
    modules = dict(model.named_modules())
    ranks: dict[str, dict[str, int]] = {}
    for key, shape in shapes.items():
        place, part = _split(key)
        if part not in ("lora_A", "lora_B"):
            continue
        layer = modules.get(place)
        if layer is None:
            why = f"it adapts {place}, which is not there"
            raise _misfit(adapter, why)
        if not _is_target(config, place):
            why = f"it adapts {place}, which {CONFIG} does not name"
            raise _misfit(adapter, why)
        wide, tall = _sizes(layer)
        if not wide or len(shape) != 2:
            continue  # neither a matrix nor its adapter: loading itself tells whether it fits
        if part == "lora_A" and shape[1] != wide:
            why = f"{place} takes {wide:,} numbers, the adapter's {shape[1]:,}"
            raise _misfit(adapter, why)
        if part == "lora_B" and shape[0] != tall:
            why = f"{place} gives {tall:,} numbers, the adapter's {shape[0]:,}"
            raise _misfit(adapter, why)
        ranks.setdefault(place, {})[part] = shape[0] if part == "lora_A" else shape[1]
    for place, found in ranks.items():
        if len(found) < 2:
            why = f"of {place} only {next(iter(found))} is in the file"
            raise _misfit(adapter, why)
        if found["lora_A"] != found["lora_B"]:
            why = f"the two matrices of {place} differ in rank"
            raise _misfit(adapter, why)
        if not config.rank_pattern and found["lora_A"] != config.r:
            why = f"{place} has rank {found['lora_A']:,}, {CONFIG} says {config.r:,}"
            raise _misfit(adapter, why)


def changes_nothing(adapter: AdapterFolder) -> bool:
    """Whether every second matrix is zero, as before any training; QeuError for NaN and infinity.

    A magnitude (DoRA) or a whole saved layer counts as a change.
    """
    from safetensors import safe_open

    zero, seconds = True, 0
    with safe_open(adapter.path / WEIGHTS, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118 (it is no mapping)
            values = file.get_tensor(key)
            if not bool(values.isfinite().all()):
                raise QeuError(
                    f"Adapter {adapter.name!r} holds numbers that are none (NaN or infinity, in "
                    f"{key}): its training broke down. Take an earlier checkpoint, or train it "
                    "again with a lower learning rate."
                )
            part = _split(key)[1]
            if part in _SECOND:
                seconds += 1
                zero = zero and not bool(values.any())
            elif part not in _FIRST:
                zero = False
    return zero and seconds > 0


def is_untrained(adapter: AdapterFolder) -> bool:
    """Whether every second matrix is zero, told by the file's bytes alone, without torch.

    Mostly one matrix is read. What cannot be read counts as trained: loading it says more.
    """
    try:
        with (adapter.path / WEIGHTS).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            entries = json.loads(file.read(length))
            entries.pop("__metadata__", None)
            kinds = {key: _split(key)[1] for key in entries}
            if not _SECOND.intersection(kinds.values()) or set(kinds.values()) - _FIRST - _SECOND:
                return False
            for key in (key for key, kind in kinds.items() if kind in _SECOND):
                first, last = entries[key]["data_offsets"]
                file.seek(8 + length + first)
                if file.read(last - first).strip(b"\0"):
                    return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return True


def untrained_warning(adapter: AdapterFolder) -> str:
    """The sentence for an adapter with which the model computes what the base computes."""
    return (
        f"Adapter {adapter.name!r} changes nothing: with it the model computes what the base "
        "computes. Was it trained?"
    )


def _misfit(adapter: AdapterFolder, why: str) -> QeuError:
    return QeuError(
        f"Adapter {adapter.name!r} does not fit the loaded model ({why}). "
        "Choose the base that it was trained on."
    )


def _split(key: str) -> tuple[str, str]:
    """(place of the layer in the model, kind of matrix) of a tensor's name; kind "" if unknown."""
    place, dot, rest = key.removeprefix(_PREFIX).partition(".lora_")
    return place, f"lora_{rest.partition('.')[0]}" if dot else ""


def _is_target(config: "LoraConfig", place: str) -> bool:
    from peft.tuners.tuners_utils import check_target_module_exists

    return bool(check_target_module_exists(config, place))


def _sizes(layer: "nn.Module") -> tuple[int, int]:
    """Numbers that a linear layer takes and gives, also packed in 4 bits; zeros for others."""
    base = getattr(layer, "base_layer", layer)  # an adapter that is loaded already wraps it
    if hasattr(base, "in_features"):
        return int(base.in_features), int(base.out_features)
    weight = getattr(base, "weight", None)
    if type(base).__name__ == "Conv1D" and weight is not None and prod(weight.shape):
        return int(weight.shape[0]), int(weight.shape[1])  # GPT-2 keeps its matrices on their side
    return 0, 0
