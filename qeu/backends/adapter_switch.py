"""Adapters on one loaded base: load them once, and choose for every row which one speaks.

All rows alike are switched as a whole, which costs nothing per step; only a mixture goes the
slower way through PEFT's per-row names. Not safe from two threads: the model's lock guards it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qeu.backends.adapter_base import revision_warning
from qeu.backends.adapter_check import (
    changes_nothing,
    check_shapes,
    read_config,
    untrained_warning,
)
from qeu.backends.adapter_files import AdapterFolder
from qeu.backends.failures import explain_failure, is_out_of_memory
from qeu.backends.quiet import quiet_libraries
from qeu.core.errors import QeuError

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

BASE = "__base__"  # PEFT's word for "no adapter" in a row
KEPT_LOADED = 8
# How often a folder is read anew that a training writes at the same moment.
_READS = 3
_TRIED_TOKENS = 8
_UNKNOWN = "__unknown__"


class AdapterSwitch:
    """The adapters of one base model; rows name them by the hash of their files."""

    def __init__(self, model: "PreTrainedModel") -> None:
        self._model = model
        self._peft: PeftModel | None = None
        self._loaded: dict[str, AdapterFolder] = {}  # by hash, the latest used last
        self._unmixable: set[str] = set()
        self._idle: set[str] = set()  # those that change nothing
        self._state: str | None = None  # hash of the one that speaks, BASE, None: per row, unknown
        self._row_names: list[str] = []
        self._hooks: list[Any] = []
        self._layers: tuple[list[Any], list[Any]] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the adapters in memory."""
        return tuple(adapter.name for adapter in self._loaded.values())

    @property
    def hashes(self) -> frozenset[str]:
        """Which weights are in memory, in whatever order they were used."""
        return frozenset(self._loaded)

    def can_mix(self, hashes: Sequence[str | None]) -> bool:
        """Whether rows with these adapters may share a batch (DoRA cannot)."""
        return len(set(hashes)) == 1 or self._unmixable.isdisjoint(hashes)  # type: ignore[arg-type]

    def load(self, adapter: AdapterFolder) -> str:
        """Bring an adapter into memory and return its hash; an altered file is another adapter.

        Refuses what does not fit the base or holds no numbers, before the model is touched; the
        base and the other adapters stay as they were.
        """
        for left in reversed(range(_READS)):
            hash_ = _hash(adapter)
            if hash_ in self._loaded:
                del self._loaded[hash_]
                self._loaded[hash_] = adapter  # last, under the name that it was asked by
                return hash_
            try:
                self._read(adapter, hash_)
            except QeuError:
                # files of two trainings, one being written over the other, fit nothing
                if not left or _hash(adapter) == hash_:
                    raise
                continue
            if _hash(adapter) == hash_:
                return hash_
            self._forget(hash_)
        raise QeuError(
            f"Adapter {adapter.name!r} is being written at this moment. "
            "Run again when its training has saved it."
        )

    def notes(self, hash_: str, base: str, revision: str) -> tuple[str, ...]:
        """What a person should know of a loaded adapter on this base, in sentences; mostly none."""
        adapter = self._loaded[hash_]
        note = revision_warning(adapter, base, revision)
        found = (note,) if note else ()
        return (*found, untrained_warning(adapter)) if hash_ in self._idle else found

    def trim(self, wanted: Sequence[str | None]) -> None:
        """Forget adapters but the wanted: those trained anew since, and past a few the oldest."""
        unwanted = [hash_ for hash_ in self._loaded if hash_ not in wanted]
        newest = {adapter.path: hash_ for hash_, adapter in self._loaded.items()}
        replaced = [h for h in unwanted if newest[self._loaded[h].path] != h]
        kept = [h for h in unwanted if h not in replaced]
        for hash_ in (*replaced, *kept[: -KEPT_LOADED or None]):
            self._forget(hash_)

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
        self._unhook()
        loras, others = self._adapted_layers()
        active = [] if state in (None, BASE) else [_internal(str(state))]
        for layer in loras:
            # not by PEFT's own methods: those walk over all parameters of all adapters to set what
            # training needs, 30 to 150 ms on the smallest model
            layer._disable_adapters = state == BASE
            if active:
                layer._active_adapter = active
        for layer in others:
            layer.enable_adapters(state != BASE)
            if active:
                layer.set_adapter(active, inference_mode=True)
        if state is None:
            self._hook_layers([*loras, *others])
        self._state = state

    def _adapted_layers(self) -> tuple[list[Any], list[Any]]:
        """(LoRA layers, other wrappers), found anew only when an adapter came or went."""
        if self._layers is None:
            from peft.tuners.lora import LoraLayer
            from peft.utils.other import AuxiliaryTrainingWrapper

            modules = list(self._model.modules())
            self._layers = (
                [module for module in modules if isinstance(module, LoraLayer)],
                [module for module in modules if isinstance(module, AuxiliaryTrainingWrapper)],
            )
        return self._layers

    def _hook_layers(self, layers: Sequence[Any]) -> None:
        """Hand every adapted layer the rows' names; PEFT's own way hooks anew for each step."""

        def add_names(module: object, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            kwargs["adapter_names"] = self._row_names
            return args, kwargs

        self._hooks = [
            layer.register_forward_pre_hook(add_names, with_kwargs=True) for layer in layers
        ]

    def _read(self, adapter: AdapterFolder, hash_: str) -> None:
        config = read_config(adapter)
        check_shapes(adapter, config, self._model)
        idle = changes_nothing(adapter)
        self._attach(adapter, config, _internal(hash_))
        self._loaded[hash_] = adapter
        if getattr(config, "use_dora", False):
            self._unmixable.add(hash_)
        try:
            if idle or self._equals_base(hash_):
                self._idle.add(hash_)
        except (MemoryError, RuntimeError) as e:
            self._forget(hash_)
            sentence = explain_failure(e, f"Adapter {adapter.name!r} could not be tried")
            raise QeuError(sentence) from e
        except BaseException:
            self._forget(hash_)
            raise

    def _equals_base(self, hash_: str) -> bool:
        """Whether a short fixed text gets the very scores that the base alone gives it."""
        import torch

        columns = torch.arange(1, _TRIED_TOKENS + 1, device=self._model.device)
        ids = columns[None] % self._model.config.get_text_config(decoder=True).vocab_size
        found = []
        with torch.inference_mode():
            # one after the other: the same sums in the same order, so that equal means equal
            for state in (BASE, hash_):
                self._set_state(state)
                found.append(self._model(input_ids=ids, use_cache=False).logits)
        base, adapted = found
        if bool(base.isfinite().all()) and not bool(adapted.isfinite().all()):
            raise QeuError(
                f"Adapter {self._loaded[hash_].name!r} makes the model compute numbers that are "
                "none (NaN or infinity). Take an earlier checkpoint, or load the model in another "
                "dtype (QEU_DTYPE)."
            )
        return torch.equal(base, adapted)

    def _attach(self, adapter: AdapterFolder, config: Any, internal: str) -> None:
        with quiet_libraries():
            self._attach_loudly(adapter, config, internal)

    def _attach_loudly(self, adapter: AdapterFolder, config: Any, internal: str) -> None:
        from peft import PeftModel

        # loading may activate what it loads, and adapts layers that no hook knows yet
        self._unhook()
        self._state, self._layers = _UNKNOWN, None
        try:
            if self._peft is None:
                self._peft = PeftModel(self._model, config, internal, autocast_adapter_dtype=False)
            else:
                self._peft.add_adapter(internal, config, autocast_adapter_dtype=False)
            found = self._peft.load_adapter(
                str(adapter.path),
                internal,
                torch_device=str(self._model.device),
                autocast_adapter_dtype=False,
            )
            if found.unexpected_keys:
                raise ValueError(f"it adapts {found.unexpected_keys[0]}, which is not there")
        except (MemoryError, RuntimeError, ValueError, KeyError, TypeError, OSError) as e:
            self._detach(internal)
            if is_out_of_memory(e):
                raise QeuError(explain_failure(e, f"Adapter {adapter.name!r}")) from e
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

    def _forget(self, hash_: str) -> None:
        self._set_state(BASE)
        del self._loaded[hash_]
        self._unmixable.discard(hash_)
        self._idle.discard(hash_)
        self._detach(_internal(hash_))

    def _detach(self, internal: str) -> None:
        """Take an adapter's matrices out of the layers; with the last one the layers go too."""
        self._layers = None
        if self._peft is None:
            self._unwrap()
        elif not self._loaded:
            self._unhook()
            self._peft.unload()
            self._peft, self._state = None, None
        elif internal in self._peft.peft_config:
            self._peft.delete_adapter(internal)
        else:  # it failed half-way: some layers have it already
            for layer in self._adapted_layers()[0]:
                layer.delete_adapter(internal)
            self._layers = None

    def _unwrap(self) -> None:
        """Put the base's own layers back where PEFT failed half-way through them."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        for name, layer in list(self._model.named_modules()):
            if isinstance(layer, BaseTunerLayer):
                parent, _, own = name.rpartition(".")
                setattr(self._model.get_submodule(parent), own, layer.get_base_layer())

    def _unhook(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks = []


def _hash(adapter: AdapterFolder) -> str:
    try:
        return adapter.hash
    except OSError as e:
        raise QeuError(
            f"The files of adapter {adapter.name!r} cannot be read ({e.strerror or e}). "
            "Was it deleted? Choose another one."
        ) from e


def _internal(hash_: str) -> str:
    """PEFT's name of an adapter: module names must not hold the dots that a person's may."""
    return f"a{hash_[:16]}"
