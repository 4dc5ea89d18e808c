"""Adapters on one loaded base: load them once, and choose for every row which one speaks.

All rows alike are switched as a whole, which costs nothing per step; only a mixture goes the
slower way through PEFT's per-row names. Not safe from two threads: the model's lock guards it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qeu.backends.adapter_files import AdapterFolder
from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

BASE = "__base__"  # PEFT's word for "no adapter" in a row
KEPT_LOADED = 8


class AdapterSwitch:
    """The adapters of one base model; rows name them by the hash of their files."""

    def __init__(self, model: "PreTrainedModel") -> None:
        self._model = model
        self._peft: PeftModel | None = None
        self._loaded: dict[str, AdapterFolder] = {}  # by hash, the latest used last
        self._unmixable: set[str] = set()
        self._state: str | None = None  # hash of the one that speaks, BASE, or None: per row
        self._row_names: list[str] = []
        self._hooks: list[Any] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the adapters in memory."""
        return tuple(adapter.name for adapter in self._loaded.values())

    def can_mix(self, hashes: Sequence[str | None]) -> bool:
        """Whether rows with these adapters may share a batch (DoRA cannot)."""
        return len(set(hashes)) == 1 or self._unmixable.isdisjoint(hashes)  # type: ignore[arg-type]

    def load(self, adapter: AdapterFolder) -> str:
        """Bring an adapter into memory and return its hash; an altered file is another adapter."""
        hash_ = adapter.hash
        if hash_ in self._loaded:
            self._loaded[hash_] = self._loaded.pop(hash_)
            return hash_
        from peft import PeftConfig

        config = PeftConfig.from_pretrained(str(adapter.path))
        if str(config.peft_type).rpartition(".")[2] != "LORA":
            raise QeuError(
                f"Adapter {adapter.name!r} is of kind {config.peft_type}, and only LoRA adapters "
                "are run here. Train it again as LoRA."
            )
        config.inference_mode = True
        self._attach(adapter, config, _internal(hash_))
        if getattr(config, "use_dora", False):
            self._unmixable.add(hash_)
        self._loaded[hash_] = adapter
        return hash_

    def trim(self, wanted: Sequence[str | None]) -> None:
        """Forget the adapters unused for longest, past a few, but none of the wanted ones."""
        for hash_ in [h for h in self._loaded if h not in wanted][: -KEPT_LOADED or None]:
            self._set_state(BASE)
            self._peft.delete_adapter(_internal(hash_))  # type: ignore[union-attr]
            del self._loaded[hash_]
            self._unmixable.discard(hash_)

    def activate(self, hashes: Sequence[str | None], *, per_row: bool = False) -> None:
        """Make the next forward pass use these adapters, one a row; None is the base.

        `per_row` takes the way of a mixture even for rows alike: the exact setting must compute
        a row in one way, whatever else runs.
        """
        if self._peft is None:
            return
        if not per_row and len(set(hashes)) == 1:
            self._set_state(hashes[0] or BASE)
            return
        self._set_state(None)
        # the hooks hold this very list
        self._row_names[:] = [_internal(h) if h else BASE for h in hashes]

    def _set_state(self, state: str | None) -> None:
        if state == self._state and (state is not None or self._hooks):
            return
        assert self._peft is not None
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        if state == BASE:
            self._peft.base_model.disable_adapter_layers()
        else:
            self._peft.base_model.enable_adapter_layers()
            if state is None:
                self._hook_layers()
            else:
                self._peft.set_adapter(_internal(state), inference_mode=True)
        self._state = state

    def _hook_layers(self) -> None:
        """Hand every adapted layer the rows' names; PEFT's own way hooks anew for each step."""
        from peft.tuners.lora import LoraLayer
        from peft.utils.other import AuxiliaryTrainingWrapper

        def add_names(module: object, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            kwargs["adapter_names"] = self._row_names
            return args, kwargs

        self._hooks = [
            module.register_forward_pre_hook(add_names, with_kwargs=True)
            for module in self._model.modules()
            if isinstance(module, LoraLayer | AuxiliaryTrainingWrapper)
        ]

    def _attach(self, adapter: AdapterFolder, config: Any, internal: str) -> None:
        from peft import PeftModel

        self._state = None  # loading may activate what it loads
        try:
            if self._peft is None:
                self._peft = PeftModel(self._model, config, internal, autocast_adapter_dtype=False)
            found = self._peft.load_adapter(
                str(adapter.path),
                internal,
                torch_device=str(self._model.device),
                autocast_adapter_dtype=False,
            )
            if found.unexpected_keys:
                raise ValueError(f"it adapts {found.unexpected_keys[0]}, which is not there")
        except (RuntimeError, ValueError, KeyError) as e:
            self._detach(internal)
            raise QeuError(
                f"Adapter {adapter.name!r} does not fit the loaded model "
                f"({' '.join(str(e).split())[:200]}). Choose the base that it was trained on."
            ) from e
        for name, parameter in self._peft.named_parameters():
            if f".{internal}." in name or name.endswith(f".{internal}"):
                # adapters are stored in float32, which would drag the products out of bfloat16
                parameter.data = parameter.data.to(self._model.dtype)
                parameter.requires_grad_(False)
        self._peft.eval()

    def _detach(self, internal: str) -> None:
        if self._peft is None:
            return
        if self._loaded:
            if internal in self._peft.peft_config:
                self._peft.delete_adapter(internal)
        else:
            self._peft.unload()
            self._peft = None


def _internal(hash_: str) -> str:
    """PEFT's name of an adapter: module names must not hold the dots that a person's may."""
    return f"a{hash_[:16]}"
