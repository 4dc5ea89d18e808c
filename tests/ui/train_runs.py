"""Folders of training runs as a worker leaves them, made in a moment."""

import json
from dataclasses import replace
from pathlib import Path

from qeu.core.run_passport import RunPassport
from qeu.core.run_status import RunStatus
from qeu.store.owner import my_owner
from qeu.store.run_folders import RunFolder, create_run, write_passport

CONTRACT = Path(__file__).resolve().parents[1] / "contract"
HTML = '<img src=x onerror="alert(1)">${2}{{x}}'


def make_run(
    adapters: Path, name: str, state: str = "finished", *, step: int = 40, **changes: object
) -> RunFolder:
    """A run of 60 steps that came so far; `changes` are its status' or its passport's."""
    folder = create_run(adapters, name)
    passport = RunPassport.from_json(json.loads((CONTRACT / "run.json").read_text("utf-8")))
    named = {key: changes.pop(key) for key in list(changes) if hasattr(passport, key)}
    write_passport(folder, replace(passport, name=name, **named))
    sample = json.loads((CONTRACT / "samples.jsonl").read_text("utf-8").splitlines()[0])
    for at in range(1, step + 1):
        folder.add_metric("train", at, {
            "loss": 3.0 - at / 50, "learning_rate": 2e-4, "grad_norm": 0.5, "tokens": 480 * at,
            "tokens_per_s": 300.0, "memory": 2_600_000_000,
        })  # fmt: skip
    for at in range(0, step + 1, 20):
        losses = {"loss": 2.5 - at / 50, "reasoning_loss": 2.8, "answer_loss": None}
        folder.add_metric("validation", at, {**losses, "rows": 4})
        rates = {key: {"count": 1, "of": 4} for key in ("contract", "leak", "closed", "loop")}
        folder.add_metric("samples", at, rates)
        written = sample["samples"][0] | {"question": f"Asked at {at}? {HTML}"}
        folder.add_samples(at, [written])
    open_states = ("queued", "starting", "running", "saving")
    owner = my_owner() if state in open_states else ""
    status = RunStatus(state=state, owner=owner, step=step, steps=60, seconds=step * 2.0)
    folder.write_status(replace(status, order=f"2026-01-02T03:04:{len(name):02d}", **changes))
    return folder
