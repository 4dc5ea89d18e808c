"""Write an adapter so that it is complete or absent at any moment, and names no path of here."""

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.backends.adapter_files import CONFIG, WEIGHTS

if TYPE_CHECKING:
    from peft import PeftModel


def write_adapter(model: "PeftModel", folder: Path, base: str) -> None:
    """The trained numbers as they are, in float32, and their configuration, into a folder."""
    # keys as in the model's own, without those of the base, which would be copied first
    trained = {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    config = model.peft_config["default"]
    config.base_model_name_or_path = base
    model.save_pretrained(str(folder), state_dict=trained, save_embedding_layers=False)
    # PEFT's card tells nothing but the path of the base
    (folder / "README.md").unlink(missing_ok=True)
    _sort_modules(folder / CONFIG)
    for file in (CONFIG, WEIGHTS):
        (folder / file).chmod(0o644)  # safetensors keeps its files to their owner


def _sort_modules(file: Path) -> None:
    """PEFT writes a set in an order by chance, and an adapter's hash is made of the file."""
    config = json.loads(file.read_text("utf-8"))
    config["target_modules"] = sorted(config["target_modules"])
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def place_adapter(checkpoint: Path, folder: Path, work: Path, dtype: str) -> None:
    """Make a checkpoint's adapter the run's: converted to `dtype`, renamed into place.

    `dtype` is what the run computed in: that rounds to it at every step, so nothing is lost.
    """
    import torch
    from safetensors.torch import load_file, save_file

    part = work / "adapter"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    weights = load_file(checkpoint / WEIGHTS)
    wanted = getattr(torch, dtype)
    rounded = {name: tensor.to(wanted) for name, tensor in weights.items()}
    save_file(rounded, part / WEIGHTS, metadata={"format": "pt"})
    shutil.copyfile(checkpoint / CONFIG, part / CONFIG)
    # the weights last: with them the adapter is complete
    for file in (CONFIG, WEIGHTS):
        (part / file).chmod(0o644)
        sync_file(part / file)
        (part / file).replace(folder / file)
    shutil.rmtree(part)


def place_checkpoint(made: Path, folder: Path) -> Path:
    """Rename a checkpoint that is whole into the run's folder."""
    for file in made.iterdir():
        sync_file(file)
    target = folder / made.name
    made.rename(target)
    return target


def sync_file(file: Path) -> None:
    """Wait until it is on the disk: after a power cut there is no renamed file without content."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
