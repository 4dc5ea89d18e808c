"""Models of a given shape with random weights in 4 bits, built in memory without any download."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qeu.backends.model_shape import KNOWN_CONFIGS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "phi-2": KNOWN_CONFIGS["microsoft/phi-2"],
    "llama-3-8b": KNOWN_CONFIGS["unsloth/llama-3-8b-instruct"],
}
_TINY = {
    "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1_024,
}  # fmt: skip
LORA_TARGETS = {
    "phi": ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"],
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}  # fmt: skip
RANK = 16


def make_config(name: str, tiny: bool) -> "PreTrainedConfig":
    """The configuration of a shape; `tiny` keeps the architecture and shrinks every size."""
    from transformers import AutoConfig

    numbers = dict(SHAPES[name])
    kind = numbers.pop("model_type")
    if tiny:
        numbers |= _TINY
    if kind == "llama":
        numbers["rope_parameters"] = {"rope_type": "default", "rope_theta": 500_000.0}
    return AutoConfig.for_model(kind, **numbers, bos_token_id=0, eos_token_id=0, pad_token_id=0)


def build_4_bit(config: "PreTrainedConfig", device: str, dtype: "torch.dtype") -> "PreTrainedModel":
    """A model whose layers are quantised one by one: 16 bits of the whole never exist."""
    import bitsandbytes as bnb
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.integrations import replace_with_bnb_linear

    torch.manual_seed(0)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model = replace_with_bnb_linear(model, ["lm_head"], quantised)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype, device=device) * 0.02

    for path, module in list(model.named_modules()):
        if isinstance(module, bnb.nn.Linear4bit):
            plain = draw(module.out_features, module.in_features)
            module.weight = bnb.nn.Params4bit(
                plain, requires_grad=False, quant_type="nf4", module=module
            ).to(device)
        elif isinstance(module, torch.nn.Linear | torch.nn.Embedding):
            module.weight = torch.nn.Parameter(draw(*module.weight.shape), requires_grad=False)
        elif hasattr(module, "inv_freq"):  # computed from the configuration when it is made
            model.set_submodule(path, type(module)(config).to(device))
        elif (weight := getattr(module, "weight", None)) is not None:
            ones = torch.ones(weight.shape, dtype=dtype, device=device)
            module.weight = torch.nn.Parameter(ones, requires_grad=False)
        if getattr(module, "bias", None) is not None:
            zeros = torch.zeros(module.bias.shape, dtype=dtype, device=device)
            module.bias = torch.nn.Parameter(zeros, requires_grad=False)
    left = [name for name, tensor in model.named_parameters() if tensor.is_meta]
    assert not left, left
    return model.eval().requires_grad_(False)


def save_adapter(model: "PreTrainedModel", base: str, folder: Path, seed: int) -> None:
    """A random LoRA adapter of rank 16 on all linear layers of the model, as PEFT saves one."""
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    targets = LORA_TARGETS[model.config.model_type]
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for path, module in model.named_modules():
        if path.rpartition(".")[2] in targets:
            sizes = {"A": (RANK, module.in_features), "B": (module.out_features, RANK)}
            for side, shape in sizes.items():
                name = f"base_model.model.{path}.lora_{side}.weight"
                tensors[name] = torch.randn(shape, generator=generator) * 0.02
    folder.mkdir(parents=True)
    config = LoraConfig(
        r=RANK,
        lora_alpha=2 * RANK,
        target_modules=targets,
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )
    config.save_pretrained(folder)
    save_file(tensors, folder / "adapter_model.safetensors")


def make_tokenizer() -> "PreTrainedTokenizerFast":
    """A byte-level tokenizer of 256 tokens and an end: random weights need no better one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|endoftext|>": 0} | {letter: at + 1 for at, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
