"""The process that trains: real ones, on tiny bases, to the end, stopped, killed and resumed."""

import itertools
import json
import random
import resource
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from qeu.backends.adapter_files import find_adapter, scan_adapters
from qeu.core.record import Record
from qeu.core.run_passport import TrainingSettings, WatchSettings
from qeu.store.run_folders import METRICS, RunFolder, now
from tests.tiny_training import (
    LORA,
    PATIENCE_S,
    PHI_TARGETS,
    ROOT,
    TRAINING,
    WATCH,
    environment,
    hub_cache,
    last_step,
    losses,
    make_records,
    make_run,
    read_config,
    run_worker,
    started_worker,
    unfinished,
    wait_until,
)

pytestmark = pytest.mark.slow
CONTRACT = ROOT / "tests" / "contract"
# A record of more than 10,000 tokens: it is cut, and nothing else happens.
ENDLESS = Record("Go on.", reasoning="Think. " * 5_000, output="Done.")
# What the run from start to finish is, and the one that is killed on its way.
MANY = {
    "records": [*make_records(12), ENDLESS],
    "watched": [*make_records(3, 50), ENDLESS],
    "training": replace(TRAINING, steps=60, save_every=8, accumulation=2),
    "watch": replace(WATCH, rows=4, samples=8),
}
SAVES = [8, 16, 24, 32, 40, 48, 56, 60]
# So long that somebody can do something meanwhile.
LONG = replace(TRAINING, steps=100_000, save_every=100_000)
SHORT = replace(TRAINING, steps=2, save_every=2)
UNWATCHED = WatchSettings(rows=0, samples=0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


@dataclass(frozen=True)
class Finished:
    folder: RunFolder
    states: list[str]
    cache: Path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Finished:
    """A run from start to finish, and the states that it was seen in."""
    folder = make_run(tmp_path_factory.mktemp("adapters"), cache, **MANY)
    states: list[str] = []
    with started_worker(folder, cache) as worker:

        def look() -> bool:
            state = folder.status().state
            if state not in states[-1:]:
                states.append(state)
            return worker.poll() is not None

        wait_until(look)
        assert worker.returncode == 0, folder.log_tail()
    return Finished(folder, states, cache)


def test_a_run_goes_through_its_states_and_tells_how_it_ended(finished):
    order = ["queued", "starting", "running", "saving", "finished"]
    seen = [order.index(state) for state in dict.fromkeys(finished.states)]
    assert seen == sorted(seen)
    assert finished.states[-1] == "finished"
    status = finished.folder.status()
    assert (status.step, status.steps, status.kept_step, status.has_adapter) == (60, 60, 60, True)
    assert (status.trouble, status.phase, status.left_s) == ("", "", None)
    assert status.seconds > 0
    assert status.started >= status.order
    assert unfinished(finished.folder) == []
    assert [step for step, _ in finished.folder.checkpoints()] == SAVES


def test_every_line_has_what_the_contract_says(finished):
    wanted = {}
    for line in (CONTRACT / "metrics.jsonl").read_text("utf-8").splitlines():
        wanted[json.loads(line)["kind"]] = set(json.loads(line))
    metrics = finished.folder.metrics()
    steps = {
        "train": [*range(1, 61)], "validation": [0, *SAVES], "samples": [0, *SAVES], "saved": SAVES,
    }  # fmt: skip
    for kind, expected in steps.items():
        assert [line["step"] for line in metrics.of(kind)] == expected, kind
        assert all(set(line) == wanted[kind] for line in metrics.of(kind))
    assert all(line["rows"] == 4 for line in metrics.of("validation"))
    assert all(line["closed"]["of"] == 4 for line in metrics.of("samples"))
    sample = json.loads((CONTRACT / "samples.jsonl").read_text("utf-8").splitlines()[0])
    texts = finished.folder.samples()
    assert [one["step"] for one in texts] == [0, *SAVES]
    assert all(set(one) == set(sample["samples"][0]) for line in texts for one in line["samples"])


def test_it_learns_and_counts_real_tokens(finished):
    curve = finished.folder.metrics().curve("validation", "loss")
    assert curve[-1][1] < curve[0][1]
    tokens = [line["tokens"] for line in finished.folder.metrics().of("train")]
    assert all(0 < b - a <= 2 * TRAINING.max_length for a, b in itertools.pairwise(tokens))


def test_step_0_is_the_base_without_the_adapter(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from qeu.backends.train_data import read_examples
    from qeu.backends.train_losses import measure_validation
    from qeu.backends.training_encoder import TrainingEncoder
    from qeu.services.train_order import TrainOrder
    from qeu.store.run_folders import VALIDATION

    path = hub_cache(finished.cache)[1].path
    encoder = TrainingEncoder(AutoTokenizer.from_pretrained(path))
    passport = finished.folder.passport()
    pairs = [(one.record, None) for one in finished.folder.frozen(VALIDATION)]
    variant = TrainOrder.from_passport(passport).variant
    found = read_examples(pairs, variant, encoder, encoder.end_id, TRAINING.max_length)
    model = AutoModelForCausalLM.from_pretrained(path).eval()
    base = measure_validation(model, [one.example for one in found])
    told = finished.folder.metrics().curve("validation", "loss")[0][1]
    assert told == pytest.approx(base.loss, rel=1e-5)


def test_the_adapter_is_complete_and_names_no_path_of_this_machine(finished, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = finished.folder.path
    adapter = find_adapter(folder.parent, "poems")
    assert (adapter.base, adapter.rank, adapter.run.layout) == ("tiny/llama", 4, "bonsai-v2")
    assert adapter.target_modules == tuple(sorted(LORA.target_modules))
    names = [one.name for one in scan_adapters(folder.parent)[0]]
    assert names == ["poems", *(f"poems/checkpoint-{n}" for n in SAVES)]
    for file in folder.rglob("adapter_config.json"):
        assert str(finished.cache) not in file.read_text("utf-8")
        assert file.stat().st_mode & 0o777 == 0o644
    assert read_config(finished.folder)["base_model_name_or_path"] == "tiny/llama"
    base = AutoModelForCausalLM.from_pretrained(hub_cache(finished.cache)[1].path)
    model = PeftModel.from_pretrained(base, folder)
    trained = dict(model.named_parameters())
    assert any("lora_B" in name and bool(one.any()) for name, one in trained.items())


def test_no_pickle_of_settings_and_no_copy_of_the_base_is_left(finished):
    files = {path.name for path in finished.folder.path.rglob("*") if path.is_file()}
    assert files == {
        ".lock", "README.md", "adapter_config.json", "adapter_model.safetensors", "curves.svg",
        "metrics.jsonl", "optimizer.pt", "rng_state.pth", "run.json", "samples.jsonl",
        "scheduler.pt", "status.json", "train.jsonl", "train.log", "trainer_state.json",
        "validation.jsonl",
    }  # fmt: skip


def newest(folder: RunFolder) -> str:
    checkpoints = folder.checkpoints()
    return checkpoints[-1][1].name if checkpoints else ""


def weights_of(folder: RunFolder) -> bytes:
    return (folder.path / "adapter_model.safetensors").read_bytes()


def grows(folder: RunFolder) -> bool:
    return any((folder.path / ".work").glob("checkpoint-*/*"))


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been(finished, tmp_path, cache):
    whole, broken = finished.folder, make_run(tmp_path, cache, "broken", **MANY)
    chance = random.Random(5)
    some_step = chance.randrange(9, 30)
    moments = (
        lambda: last_step(broken) >= 3,  # before the first checkpoint
        lambda: last_step(broken) >= some_step,
        lambda: last_step(broken) >= 31 and grows(broken),  # while one is written
    )
    for moment in moments:
        with started_worker(broken, cache, newest(broken)) as worker:
            wait_until(moment, worker, poll_s=0.002)
            worker.kill()
            worker.wait()
        status = broken.status()
        assert status.state == "interrupted"
        assert (status.has_adapter, status.left_s) == (False, None)
        found, unfit = scan_adapters(tmp_path)
        assert unfit == []
        assert "broken" not in [one.name for one in found]
    result = run_worker(broken, cache, newest(broken))
    assert result.returncode == 0, result.stderr
    assert broken.status().state == "finished"
    resumed = [json.loads(line) for line in (broken.path / METRICS).read_text().splitlines()]
    assert [line["kind"] for line in resumed].count("resumed") == 3
    assert losses(broken) == losses(whole)
    assert weights_of(broken) == weights_of(whole)
    for kind in ("validation", "samples", "saved"):
        pairs = zip(broken.metrics().of(kind), whole.metrics().of(kind), strict=True)
        assert all({**a, "time": ""} == {**b, "time": ""} for a, b in pairs)
    tokens = [folder.metrics().of("train")[-1]["tokens"] for folder in (broken, whole)]
    assert tokens[0] == tokens[1]
    assert broken.samples() == whole.samples()


def test_runs_wait_for_each_other_and_end_as_is_wished(tmp_path, cache):
    first, second, third = (
        make_run(tmp_path, cache, name, training=LONG, watch=UNWATCHED)
        for name in ("first", "second", "third")
    )
    with started_worker(first, cache) as at_work:
        wait_until(lambda: first.status().state in ("starting", "running"), at_work)
        before = (first.path / "train.log").read_bytes()
        again = run_worker(first, cache)
        assert again.returncode == 2
        assert "Another process is at work on first" in again.stderr
        assert (first.path / "train.log").read_bytes() == before
        with started_worker(third, cache) as not_wanted, started_worker(second, cache) as waiting:
            wait_until(lambda: third.status().owner != "", not_wanted)
            third.ask_stop("keep")
            assert not_wanted.wait(PATIENCE_S) == 0
            assert (third.status().state, third.wanted_stop()) == ("stopped", "")
            wait_until(lambda: last_step(first) >= 3, at_work)
            assert second.status().state == "queued"
            first.ask_stop("keep")
            assert at_work.wait(PATIENCE_S) == 0
            wait_until(lambda: last_step(second) >= 2, waiting)
            second.ask_stop("discard")
            assert waiting.wait(PATIENCE_S) == 0
    kept, discarded = first.status(), second.status()
    assert (kept.state, kept.kept_step, kept.has_adapter) == ("stopped", last_step(first), True)
    assert newest(first) == f"checkpoint-{kept.step}"
    assert first.wanted_stop() == ""
    assert discarded.started > kept.started
    # nothing is saved of what is discarded; whoever asked for it takes the folder away
    assert (discarded.state, discarded.has_adapter) == ("stopped", False)
    assert second.wanted_stop() == "discard"
    assert [one.name for one in scan_adapters(tmp_path)[0]] == ["first", f"first/{newest(first)}"]


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    """A base in which one single token leads to scores that are no numbers."""
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    root = tmp_path / "hub"
    _, weights = hub_cache(root, "llama")
    file = Path(weights.path) / "model.safetensors"
    (token,) = AutoTokenizer.from_pretrained(weights.path)("~", add_special_tokens=False).input_ids
    tensors = load_file(file)
    tensors["model.embed_tokens.weight"][token] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    return root


def test_a_loss_that_is_no_number_ends_the_run_and_spoils_nothing(tmp_path, poisoned):
    records = [*make_records(9), Record("~?", reasoning="Think.", output="Yes.")]
    training = replace(TRAINING, steps=20, save_every=1, packing=False)
    folder = make_run(
        tmp_path, poisoned, records=records, watched=[], training=training, watch=WATCH
    )
    result = run_worker(folder, poisoned)
    status = folder.status()
    assert result.returncode == 1
    assert (status.state, status.trouble) == ("failed", "nan")
    assert "the loss was no number" in status.message
    kept = newest(folder)
    assert last_step(folder) >= 1
    assert kept == (f"checkpoint-{last_step(folder)}")
    assert f"{kept} is from before that" in status.advice
    assert "learning_rate 0.0025" in status.advice
    # without validation rows there is nothing to look at
    assert folder.metrics().of("validation") == ()
    assert folder.metrics().of("samples") == ()
    found, unfit = scan_adapters(tmp_path)
    assert [one.name for one in found][-1] == f"poems/{kept}"
    assert (unfit, unfinished(folder)) == ([], [])


def limit_files() -> None:
    """Runs in the worker before it is one: its files can be no larger, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))


def test_a_full_disk_while_saving_is_told_and_leaves_no_half(tmp_path, cache):
    folder = make_run(tmp_path, cache, training=SHORT, watch=UNWATCHED)
    result = run_worker(folder, cache, preexec_fn=limit_files)
    status = folder.status()
    assert result.returncode == 1
    assert (status.state, status.trouble, status.has_adapter) == ("failed", "disk", False)
    assert "Make room on the disk" in status.advice
    assert (folder.checkpoints(), unfinished(folder)) == ([], [])
    assert scan_adapters(tmp_path) == ([], [])


def test_phi_learns_in_four_bits(tmp_path, cache):
    lora = replace(
        LORA, quantization="nf4", double_quantization=True, target_modules=PHI_TARGETS, dropout=0.0
    )
    training = replace(TRAINING, compute_dtype="bfloat16", checkpointing=True, batch_size=2)
    watch = replace(WATCH, best="loss", patience=50)
    folder = make_run(tmp_path, cache, arch="phi", lora=lora, training=training, watch=watch)
    result = run_worker(folder, cache)
    assert result.returncode == 0, result.stderr
    curve = folder.metrics().curve("validation", "loss")
    assert min(loss for _, loss in curve[1:]) < curve[0][1] - 0.05
    adapter = find_adapter(tmp_path, "poems")
    assert adapter.target_modules == tuple(sorted(PHI_TARGETS))
    assert adapter.base == "microsoft/phi-2"
    assert folder.status().kept_step == min(curve[1:], key=lambda point: point[1])[0]


def test_several_processes_write_one_run(tmp_path, cache):
    import subprocess

    folder = make_run(tmp_path, cache, training=replace(TRAINING, steps=4, accumulation=2))
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
        "--main_process_port", "0", "-m", "qeu.services.train_worker", str(folder.path),
    ]  # fmt: skip
    result = subprocess.run(
        command, env=environment(cache), capture_output=True, text=True, timeout=PATIENCE_S,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert folder.status().state == "finished"
    assert [step for step, _ in losses(folder)] == [1, 2, 3, 4]
    assert len(folder.metrics().of("validation")) == 3
    # each of them kept its own state of chance
    assert len(list((folder.path / "checkpoint-4").glob("rng_state_*.pth"))) == 2
    # four rows a step: two processes with two batches of one row each
    assert folder.metrics().of("train")[0]["tokens"] > 3 * 0.7 * TRAINING.max_length
    assert [one.name for one in scan_adapters(tmp_path)[0] if "/" not in one.name] == ["poems"]


def failed(folder: RunFolder, cache: Path) -> tuple[str, str]:
    assert run_worker(folder, cache).returncode == 1
    assert folder.status().state == "failed"
    return folder.status().trouble, folder.status().message


def test_what_is_not_as_it_was_ordered_is_not_trained(tmp_path, cache):
    changed = make_run(tmp_path, cache, "changed")
    with (changed.path / "train.jsonl").open("a") as file:
        file.write(json.dumps({"record": make_records(1, 99)[0].to_json()}) + "\n")
    trouble, message = failed(changed, cache)
    assert (trouble, "13 records, and they are not those" in message) == ("data", True)
    other = make_run(tmp_path, cache, "other", base_revision="f" * 40)
    trouble, message = failed(other, cache)
    assert (trouble, "are not those of the run's start" in message) == ("base", True)
    gone = make_run(tmp_path, cache, "gone", base="nobody/nothing")
    trouble, message = failed(gone, cache)
    assert (trouble, "nobody/nothing is not on this machine" in message) == ("base", True)
    fast = make_run(
        tmp_path, cache, "fast", training=TrainingSettings(optimizer="adamw_8bit")
    )  # fmt: skip
    trouble, message = failed(fast, cache)
    assert (trouble, "Choose adamw" in message) == ("library", True)


def test_a_worker_without_a_run_says_so(tmp_path, cache):
    folder = make_run(tmp_path, cache)
    result = run_worker(folder, cache, "checkpoint-7")
    assert result.returncode == 2
    assert "poems has no complete checkpoint 'checkpoint-7'. There are: none." in result.stderr
    assert folder.status().state == "queued"
    result = run_worker(RunFolder(tmp_path / "nothing"), cache)
    assert result.returncode == 2
    assert now() > folder.status().order
