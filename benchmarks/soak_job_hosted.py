"""Kill a bulk job on faulty servers again and again: nothing lost, nothing asked twice, told why.

`python -m benchmarks.soak_job_hosted [--records 400] [--faults 0.3] [--kills 10] [--seed 0]`

One job asks a Groq-like and an OpenAI-like server, of whose completions a share goes wrong, in a
process of its own. It is killed (SIGKILL) at random moments and another one goes on. What was under
way, or came within the last moment before a kill, may be paid again; nothing else may.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.soak_hosted import FAULTS
from qeu.backends.engines import Engines
from qeu.backends.hosted_pool import HostedPool
from qeu.backends.keyring import Keyring
from qeu.services.job_runner import JobWorker
from qeu.store.job_items import iterate_results
from qeu.store.jobs import Job, claim_job, count_items, count_reasons, get_job, set_state
from qeu.store.owner import my_owner, owner_lives
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf
from tests.services.hosted_jobs import (
    GOOD,
    GROQ,
    PATIENT,
    SERVER,
    WORDS,
    begun_texts,
    order,
    paid,
)
from tests.store.dataset_rows import fill
from tests.wire_server import Fault, WireServer

MOST_S = 1_200.0
PATIENCE_S = (0.2, 1.0, 2.0, 4.0, 8.0)
# Texts that may be finished and not stored when the kill comes, for each of the two sources.
LAST_MOMENT = 8


def draw_faults(draw: random.Random, share: float) -> Iterator[Fault]:
    """Endlessly: mostly nothing, else any fault."""
    while True:
        yield draw.choice(FAULTS) if draw.random() < share else Fault("none")


def work_on(home: Path, number: int, groq: str, server: str) -> int:
    """In a process of its own: work on the job until it cannot go on."""
    workspace = Workspace(home / "qeu.db")
    keyring = Keyring({"groq": "k"}, {"groq": groq, "server": f"{server}/v1"})
    engines = Engines(FakeShelf(), HostedPool(PATIENT), keyring, home)  # type: ignore[arg-type]
    job, owner = get_job(workspace, number), my_owner()
    if claim_job(workspace, job, owner, owner_lives):
        JobWorker(workspace, engines, job, owner, patience_s=PATIENCE_S).run()
    return 0


def killed(
    home: Path, workspace: Workspace, job: Job, servers: list[WireServer], kills: int,
    draw: random.Random,
) -> tuple[Job, int, int]:  # fmt: skip
    """The job to its end; how often it was killed, and how many rows were under way then."""
    words = [str(home), str(job.id), *(server.address for server in servers)]
    done = cut = 0
    end = time.monotonic() + MOST_S
    while get_job(workspace, job.id).state != "done" and time.monotonic() < end:
        if get_job(workspace, job.id).state not in ("queued", "running"):
            set_state(workspace, job.id, "queued")  # a limit, or longer gone than it is patient
        child = subprocess.Popen([sys.executable, "-m", __spec__.name, "--child", *words])
        try:
            child.wait(draw.uniform(2.0, 5.0) if done < kills else MOST_S)
        except subprocess.TimeoutExpired:
            cut += sum(server.in_flight for server in servers)
            child.kill()
            child.wait()
            done += 1
    return get_job(workspace, job.id), done, cut


def main() -> int:
    """Run the soak; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=400)
    parser.add_argument("--faults", type=float, default=0.3, help="share of requests that fail")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.02, help="seconds before every word")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        home, number, *addresses = options.child
        return work_on(Path(home), int(number), *addresses)
    draw, problems, start = random.Random(options.seed), [], time.perf_counter()
    groq, other = (
        WireServer(
            kind,  # type: ignore[arg-type]
            faults=draw_faults(random.Random(f"{options.seed} {kind}"), options.faults),
            words=WORDS, headers={}, delay_s=options.delay,
        )
        for kind in ("groq", "openai")
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, groq, other:
        workspace = Workspace(Path(folder) / "qeu.db")
        fill(workspace, options.records, category="open_qa")
        job = order(workspace, GROQ, SERVER)
        ended, kills, cut = killed(Path(folder), workspace, job, [groq, other], options.kills, draw)
        counts, reasons = count_items(workspace, job), count_reasons(workspace, job)
        found = [r.generation.text for r in iterate_results(workspace, job) if r.generation]
        begun = begun_texts(workspace, job)
        twice = sum(n - 1 for server in (groq, other) for n in paid(server).values())
        workspace.close()
    for state, reason, count in reasons:
        print(f"{count:5}  {state:8} {reason}")
    lost, asked = groq.paid + other.paid - begun, len(groq.completions) + len(other.completions)
    print(
        f"\n{2 * options.records} texts in {asked} requests: {counts.done} done, {counts.failed} "
        f"failed; killed {kills} times with {cut} rows under way, {lost} texts paid and lost, "
        f"{twice} paid again; {time.perf_counter() - start:.0f} s"
    )
    if ended.state != "done" or counts.done + counts.failed != 2 * options.records:
        problems.append(f"the job is {ended.state} ({ended.note}) with {counts}")
    if not 0 <= twice <= lost <= cut + 2 * LAST_MOMENT * kills:
        problems.append(f"{twice} were paid again, {lost} were lost")
    if odd := {text for text in found if text != GOOD}:
        problems.append(f"texts that no server sent: {json.dumps(sorted(odd)[:3])[:300]}")
    if any(not reason.endswith((".", "!", "?")) for _, reason, _ in reasons):
        problems.append("a failure without a sentence")
    for problem in problems:
        print(problem, file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
