"""Build tiny random Phi and Llama checkpoints with a real tokenizer, without any download.

They keep the traps of the real ones: Phi-2 has no chat template, no pad token, one special token
and more rows in its embedding than tokens; Llama-3 begins every text with its own first token,
names that token in its template again, and ends at either of two tokens.
"""

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Arch = Literal["phi", "llama"]
VOCABULARY = 600
LLAMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim }}{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_CORPUS = (
    "You are a careful assistant who thinks before the answer is given.",
    "First read the question, then list what is known, and only then write the answer.",
    "Creator should choose a place, a person and a wish, and let them meet in the first line.",
    "<|system|>\n<|instruction|>\n<|context|>\n<|reasoning|>\n<|response|>\n",
    "The capital of a country is where its government sits; 12 times 13 is 156.",
    "質問をよく読んでから、考え方を順に書きます。答えはまだ言いません。",
    "先读问题，再想一想，最后用英语写出答案。",
)


def build_checkpoint(
    folder: Path, arch: Arch = "llama", *, tokenizer_from: Path | None = None, seed: int = 0
) -> Path:
    """Save a tiny random model (hidden size 64, 2 layers, fp32) and its tokenizer into a folder."""
    import torch
    from transformers import (
        AutoTokenizer,
        GenerationConfig,
        LlamaConfig,
        LlamaForCausalLM,
        PhiConfig,
        PhiForCausalLM,
    )

    tokenizer = (
        AutoTokenizer.from_pretrained(tokenizer_from) if tokenizer_from else train_tokenizer(arch)
    )
    ends = [tokenizer.eos_token_id]
    if arch == "llama" and tokenizer_from is None:
        ends.append(tokenizer.convert_tokens_to_ids("<|end_of_text|>"))
    common = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": ends[0],
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": False,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if arch == "phi":
            config = PhiConfig(
                vocab_size=len(tokenizer) + 16, max_position_embeddings=2_048, **common
            )
            model = PhiForCausalLM(config)
        else:
            config = LlamaConfig(
                vocab_size=len(tokenizer),
                max_position_embeddings=8_192,
                num_key_value_heads=2,
                **common,
            )
            model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends if len(ends) > 1 else ends[0],
        pad_token_id=tokenizer.pad_token_id,
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_hub_cache(
    root: Path,
    repo: str = "microsoft/phi-2",
    arch: Arch = "phi",
    *,
    tokenizer_from: Path | None = None,
    seed: int = 0,
) -> Path:
    """Put a tiny checkpoint where the Hub client looks for `repo` and return its snapshot.

    `root` is what HF_HUB_CACHE (or `cache_dir=`) must name; the commit is derived from the names.
    """
    commit = hashlib.sha1(f"{repo} {arch} {seed}".encode()).hexdigest()
    folder = root / f"models--{repo.replace('/', '--')}"
    built = build_checkpoint(folder / "building", arch, tokenizer_from=tokenizer_from, seed=seed)
    snapshot = folder / "snapshots" / commit
    snapshot.parent.mkdir(exist_ok=True)
    shutil.rmtree(snapshot, ignore_errors=True)
    built.rename(snapshot)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit, "utf-8")
    (folder / "blobs").mkdir(exist_ok=True)
    return snapshot


def train_tokenizer(arch: Arch) -> "PreTrainedTokenizerFast":
    """A byte-level BPE tokenizer trained on a few sentences; any text survives a round trip."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["<|endoftext|>"]
    if arch == "llama":
        specials = [
            "<|begin_of_text|>", "<|end_of_text|>",
            "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
        ]  # fmt: skip
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_CORPUS, trainer)
    if arch == "phi":
        end = specials[0]
        return PreTrainedTokenizerFast(
            tokenizer_object=bpe,
            bos_token=end,
            eos_token=end,
            unk_token=end,
            model_max_length=2_048,
        )
    first = specials[0]
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{first} $A",
        pair=f"{first} $A {first} $B",
        special_tokens=[(first, bpe.token_to_id(first))],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=first,
        eos_token="<|eot_id|>",
        additional_special_tokens=specials,
        model_max_length=8_192,
    )
    tokenizer.chat_template = LLAMA_TEMPLATE
    return tokenizer
