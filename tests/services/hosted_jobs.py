"""What tests of bulk jobs on servers share: engines, jobs, and what a server saw of each record."""

import json
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from qeu.backends.engines import Engines
from qeu.backends.hosted_pool import HostedPool
from qeu.backends.keyring import Keyring
from qeu.core.job_spec import JobSpec
from qeu.core.sampling import Sampling
from qeu.services.job_runner import JobWorker
from qeu.store.job_items import iterate_results
from qeu.store.jobs import Job, claim_job, create_job
from qeu.store.workspace import Workspace
from tests.backends.hosted_tools import KEY, QUICK, keyring_for, wait_for
from tests.fake_shelf import FakeShelf
from tests.services.job_engine import JobModel
from tests.wire_server import Fault, Seen, WireServer

ME, NEXT = "1:1", "2:2"
WORDS = ("List", " what", " is", " known", ".", " Then", " choose", " a", " rule", ".")
COUNT = 40
GOOD = "".join(WORDS)
GROQ, SERVER = "groq/llama-3.3-70b-versatile", "server/some-model"
REFS = {"groq": GROQ, "openai": SERVER}
WELL = Fault("none")
# a storm of limits must be outlived, and a silence must not take long
PATIENT = replace(QUICK, rate_attempts=50, first_byte_s=0.5)
WAITS_S = (0.01,) * 8
_NUMBER = re.compile(r"\((\d+)\)")


def port_of(server: WireServer) -> int:
    """Where it listens."""
    port = urlsplit(server.address).port
    assert port
    return port


def stop_listening(server: WireServer) -> None:
    """Take no more connections, and let what is under way come to its end."""
    server._http.shutdown()
    server._http.server_close()
    wait_for(lambda: not server.in_flight)


def engines_for(
    *servers: WireServer,
    key: str = KEY,
    pool: HostedPool | None = None,
    models: Iterable[JobModel] = (),
) -> Engines:
    """Real engines for these servers; `models` stand on the shelf."""
    keyring = Keyring()
    for server in servers:
        other = keyring_for(server, key)
        keyring = Keyring({**keyring.keys, **other.keys}, {**keyring.addresses, **other.addresses})
    shelf = FakeShelf(*models)  # type: ignore[arg-type]
    return Engines(shelf, pool or HostedPool(PATIENT), keyring, Path("no-adapters-here"))  # type: ignore[arg-type]


def order(workspace: Workspace, *sources: str, **changes: object) -> Job:
    """A job over the data set "demo", in the chat layout, without retries."""
    sampling = Sampling(max_new_tokens=64)
    spec = JobSpec("demo", sources, layout="chat", retries=0, sampling=sampling)
    return create_job(workspace, replace(spec, **changes))  # type: ignore[arg-type]


def worker_for(
    workspace: Workspace, job: Job, engines: Engines, owner: str = ME, **how: object
) -> JobWorker:
    """A worker that has claimed the job; whoever had it before is taken to be dead."""
    assert claim_job(workspace, job, owner, lambda other: False)
    return JobWorker(workspace, engines, job, owner, **{"patience_s": WAITS_S, **how})  # type: ignore[arg-type]


def by_record(requests: Iterable[Seen]) -> Mapping[int, list[Seen]]:
    """Completion requests by the number in their question; -1: nothing of it was read."""
    found: dict[int, list[Seen]] = defaultdict(list)
    for seen in requests:
        number = _NUMBER.search(json.dumps(seen.body, ensure_ascii=False))
        found[int(number[1]) if number else -1].append(seen)
    return found


def paid(server: WireServer) -> dict[int, int]:
    """{record's number: requests of which some text was sent}."""
    counts = {n: sum(s.paid for s in seen) for n, seen in by_record(server.completions).items()}
    return {number: count for number, count in counts.items() if count}


def begun_texts(workspace: Workspace, job: Job) -> int:
    """Attempts of a job that brought at least the beginning of a text."""
    rows = workspace.read(
        "SELECT data FROM events WHERE kind = 'generate' AND actor = ?", (job.subject,)
    )
    attempts = [json.loads(row["data"]) for row in rows]
    return sum(a["finish_reason"] != "error" or bool(a["text"]) for a in attempts)


def texts(workspace: Workspace, job: Job) -> list[str]:
    """The job's texts."""
    return [r.generation.text for r in iterate_results(workspace, job) if r.generation]


def serve(kind: str = "groq", **how: object) -> WireServer:
    """A server that writes a good reasoning to all, without limits."""
    return WireServer(kind, **{"words": WORDS, "headers": {}, **how})  # type: ignore[arg-type]


def at_request(number: int, deed: object, then: Fault = WELL) -> Iterator[Fault]:
    """That request, counted from 0, brings a fault or something to do; all later ones `then`."""
    for now in range(10_000):
        if now == number and isinstance(deed, Fault):
            yield deed
            continue
        if now == number:
            deed()  # type: ignore[operator]
        yield then if now >= number else WELL


def start(worker: JobWorker) -> threading.Thread:
    """The worker at work in a thread."""
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    return thread


def finish(thread: threading.Thread) -> None:
    """Wait for its end."""
    thread.join(60)
    assert not thread.is_alive()
