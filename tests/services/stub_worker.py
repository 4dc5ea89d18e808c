"""Stands in for the worker: a real process that keeps to the folder's protocol and learns nothing.

What it does beyond that is told by the run's name: "deaf" hears no wish, "stubborn" no SIGTERM
either, "dumb" ends before its first word.
"""

import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from qeu.core.errors import QeuError
from qeu.services.train_turn import lock_run, wait_for_turn
from qeu.store.owner import my_owner
from qeu.store.run_folders import RunFolder


def main(words: list[str]) -> int:
    """Work through the run's steps."""
    folder = RunFolder(Path(words[0]))
    resume = words[2] if words[1:2] == ["--resume"] else ""
    if "dumb" in folder.name:
        return 3
    try:
        lock = lock_run(folder)
    except QeuError as error:
        print(error)
        return 2
    if "stubborn" in folder.name:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deaf = "deaf" in folder.name or "stubborn" in folder.name
    status = replace(folder.written_status(), state="queued", owner=my_owner())
    folder.write_status(status)
    turn = wait_for_turn(folder, lambda: not deaf and bool(folder.wanted_stop()))
    if turn is None:
        folder.write_status(replace(status, state="stopped"))
        return 0
    first = int(resume.rpartition("-")[2]) if resume else 0
    if first:
        folder.add_metric("resumed", first, {})
    folder.write_status(replace(status, state="running", step=first))
    for step in range(first + 1, status.steps + 1):
        time.sleep(0.02)
        folder.add_metric("train", step, {"loss": 3.0 / step, "tokens_per_s": 100.0})
        save_every = folder.passport().training.save_every
        if step % save_every == 0:
            save_checkpoint(folder, step)
            folder.add_metric("validation", step, {"loss": 2.0 + abs(step - 2 * save_every)})
        folder.write_status(replace(status, state="running", step=step))
        if not deaf and (way := folder.wanted_stop()):
            if way == "keep":
                save_adapter(folder.path)
                folder.forget_stop()
            folder.write_status(replace(status, state="stopped", step=step))
            return 0
    save_adapter(folder.path)
    folder.write_status(replace(status, state="finished", step=status.steps, has_adapter=True))
    turn.release()
    lock.release()
    return 0


def save_checkpoint(folder: RunFolder, step: int) -> None:
    """A checkpoint with the files that a real one has."""
    import zipfile

    path = folder.path / f"checkpoint-{step}"
    path.mkdir(exist_ok=True)
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    save_adapter(path)
    for name in ("optimizer.pt", "scheduler.pt"):
        with zipfile.ZipFile(path / name, "w") as file:
            file.writestr("data", "x" * 100)


def save_adapter(path: Path) -> None:
    """The two files of an adapter."""
    (path / "adapter_config.json").write_text("{}")
    header = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    (path / "adapter_model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + b"\0"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
