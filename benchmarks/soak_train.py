"""Kill a training again and again, twenty times with -9: its adapter must be whole at the end.

`python -m benchmarks.soak_train [--kills 20] [--steps 150] [--seed 0]` orders one run of the
embedded model on the shipped records from a process that stands for the app (it calls what the
page's button calls, and then only lives), and kills the worker or that process at random moments.
A killed worker is resumed by the next such process; one whose app was killed must go on as if
nothing had been.
A quarter of an hour on 2 cores. Exit status 1 where something is lost, and a sentence says what.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import psutil

from benchmarks.training import make_order, make_settings
from qeu.backends.adapter_check import changes_nothing
from qeu.backends.adapter_files import open_adapter
from qeu.core.errors import QeuError
from qeu.core.run_status import RunStatus
from qeu.core.settings import Settings
from qeu.services.shipped_data import import_shipped
from qeu.store.owner import owner_lives, owner_number
from qeu.store.run_folders import RunFolder, find_run
from qeu.store.workspace import Workspace

NAME, LENGTH, SAVE_EVERY = "soak", 256, 5
# A worker that does nothing for so long, on however slow a machine, hangs.
_PATIENCE_S = 1_200
_LONGEST_WAIT_S = 30.0
_POLL_S = 0.2


def main(argv: Sequence[str]) -> int:
    """Kill, resume and look until the run has ended; 0 where all is whole."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--app", metavar="HOME", help="stand for the app (the script's own use)")
    args = parser.parse_args(argv)
    if args.app:
        return stand_for_app(make_settings(Path(args.app)), args.steps)
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="qeu-soak-") as home:
        soak = Soak(Path(home), args.steps)
        try:
            problem = soak.run(args.kills, draw) or soak.look()
        finally:
            soak.end()
    if problem:
        print(f"FAILED: {problem}")
        return 1
    print("whole: the adapter is complete, and no step is missing or told twice")
    return 0


def stand_for_app(settings: Settings, steps: int) -> int:
    """Start the run, or resume it where it was interrupted; then live until killed."""
    from dataclasses import replace

    from qeu.services.train_resume import resume_run
    from qeu.services.train_start import start_run

    try:
        state = find_run(settings.adapters, NAME).status().state
    except QeuError:
        state = ""
    if not state:
        workspace = Workspace(settings.home / "qeu.db")
        import_shipped(workspace)
        order = make_order(NAME, steps)
        training = replace(order.training, max_length=LENGTH, save_every=SAVE_EVERY)
        start_run(workspace, replace(order, training=training), settings)
    elif state == "interrupted":
        resume_run(settings.adapters, NAME, settings)
    print("ready", flush=True)
    while True:
        time.sleep(3_600)


class Soak:
    """One run, the process that stands for the app, and what was killed so far."""

    def __init__(self, home: Path, steps: int) -> None:
        self.home, self.steps = home, steps
        self.folder = RunFolder(make_settings(home).adapters / NAME)
        self.app: subprocess.Popen[str] | None = None
        self.killed = {"worker": 0, "app": 0}

    def run(self, kills: int, draw: random.Random) -> str:
        """Kill so often at random moments, then let it end; "" or what went wrong."""
        self.open_app()
        for count in range(1, kills + 1):
            time.sleep(draw.uniform(0.5, _LONGEST_WAIT_S))
            status = self.folder.status()
            if not status.is_open:
                return f"it is {status.state} after {count - 1} kills: order more steps (--steps)"
            whom = draw.choice(("worker", "app"))
            problem = self.kill_worker(status) if whom == "worker" else self.kill_app(status)
            if problem:
                return f"kill {count} ({whom}) at step {status.step}: {problem}"
            self.killed[whom] += 1
            told = f"step {status.step:,} of {status.steps:,}, {status.state} {status.phase}"
            print(f"kill {count:2} {whom:6} {told.strip()}", flush=True)
        return self.wait_for_end()

    def open_app(self) -> None:
        """Another process that stands for the app; waits until it has done its part."""
        command = [sys.executable, "-m", "benchmarks.soak_train", "--app", str(self.home)]
        command += ["--steps", str(self.steps)]
        self.app = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.app.stdout is not None
        if self.app.stdout.readline().strip() != "ready":
            raise SystemExit("the process that stands for the app failed; see above")

    def close_app(self) -> None:
        """End it as a power cut would."""
        if self.app is not None:
            self.app.send_signal(signal.SIGKILL)
            self.app.wait()
            if self.app.stdout is not None:
                self.app.stdout.close()
            self.app = None

    def kill_worker(self, status: RunStatus) -> str:
        """Kill the worker and resume it; the folder must never show half of an adapter."""
        if not owner_lives(status.owner):
            return "its worker had died by itself"
        psutil.Process(owner_number(status.owner)).kill()
        self.wait_until(lambda: not self.folder.status().is_open)
        if (state := self.folder.status().state) not in ("interrupted", "finished"):
            return f"a killed worker leaves it {state}"
        self.close_app()
        if state == "interrupted":
            self.open_app()
        return ""

    def kill_app(self, status: RunStatus) -> str:
        """Kill the app; the same worker must go on."""
        self.close_app()
        time.sleep(1)
        now = self.folder.status()
        if now.is_open and (now.owner != status.owner or not owner_lives(now.owner)):
            return "its worker is gone with the app"
        self.open_app()
        return ""

    def wait_for_end(self) -> str:
        """Let it end; "" where it has finished."""
        self.wait_until(lambda: not self.folder.status().is_open)
        status = self.folder.status()
        if status.state == "finished":
            return ""
        return f"it ended {status.state}: {status.message} {self.folder.log_tail(1_000)}"

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait, as long as anything happens."""
        last, since = self.folder.metrics().last_step, time.monotonic()
        while not is_so():
            if (step := self.folder.metrics().last_step) != last:
                last, since = step, time.monotonic()
            if time.monotonic() - since > _PATIENCE_S:
                raise SystemExit(f"nothing happens any more: {self.folder.log_tail()}")
            time.sleep(_POLL_S)

    def look(self) -> str:
        """Whether all is there at the end; "" or what is not."""
        adapter = open_adapter(self.folder.path, NAME)
        if changes_nothing(adapter):
            return "the adapter has learned nothing"
        steps = [int(str(line["step"])) for line in self.folder.metrics().of("train")]
        if steps != list(range(1, self.steps + 1)):
            gaps = [one for one, other in pairwise(steps) if other != one + 1]
            return f"steps {steps[:1]} to {steps[-1:]} have gaps behind {gaps[:5]}"
        hidden = [path.name for path in self.folder.path.glob(".*") if path.is_dir()]
        print(f"{self.killed}, {len(steps)} steps, {adapter.bytes / 1e6:.1f} MB, left: {hidden}")
        return ""

    def end(self) -> None:
        """Leave no process behind."""
        self.close_app()
        try:
            status = self.folder.status()
        except QeuError:
            return
        if status.is_open and owner_lives(status.owner):
            psutil.Process(owner_number(status.owner)).kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
