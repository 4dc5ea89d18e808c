"""A thousand requests to hosted models of which a third goes wrong: none lost, none paid twice.

`python -m benchmarks.soak_hosted [--requests 1000] [--faults 0.3] [--seed 0]`. Comparisons of a
Groq side with a server side, many at once, against two servers of the tests that play every fault
they know at the socket. Each is stored in a workspace and read back. Prints the outcomes by what
went wrong and every sentence; exits 1 where one hung, is not in the history, failed without a
sentence, was computed twice, has words that nobody sent, or told a key.
"""

import argparse
import json
import os
import random
import re
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from qeu.backends.engines import Engines
from qeu.backends.hosted_client import Patience
from qeu.backends.hosted_pool import HostedPool
from qeu.backends.keyring import Keyring
from qeu.backends.shelf import Shelf
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.services.compare import Comparison, SideSettings, start_comparison, store_comparison
from qeu.services.runs import Run
from qeu.store.history import get_comparison
from qeu.store.workspace import Workspace
from tests.wire_server import Fault, Seen, WireServer, rate_limited

KEY = "secret-key-of-the-soak"
AT_ONCE = 16
MODELS = 20  # limits count for each model apart, and a day's limit ends its model for the soak
PATIENCE = Patience(first_byte_s=4.0, chunk_s=4.0)  # 60 s each would make a hang dear
MOST_SECONDS = 600  # for one comparison
WORDS = ("Coffee", " grows", " in", " the", " tropics", ",", " コーヒー", "は", "熱帯", "。", " ☕")
TEXT = "".join(WORDS)
# what a run or an engine says where something of ours raised
_OUR_FAULT = re.compile(r"the log says why|failed here|failed: \w+(?:Error|Exception)")
DAY_FAULTS_AT = (150, 300)
FAULTS = (
    *(Fault("status", status) for status in (408, 500, 502, 503, 504)),
    Fault("status", 503, body="<html><h1>Bad gateway</h1></html>"),
    Fault("status", 400, body={"error": {"message": "This cannot be computed."}}),
    Fault("status", 500, body=["not", "an", "object"]),
    Fault("status", 429),
    Fault("status", 429, {"retry-after": "0.2"}),
    Fault("status", 503, {"retry-after": "0.1"}),
    rate_limited("minute", 0.3),
    Fault("slow_first_byte", seconds=0.3),
    *(Fault("cut", after_events=count) for count in (0, 1, 5)),
    *(Fault("cut", after_events=count, clean=True) for count in (0, 5)),
    Fault("cut_utf8", after_events=2),
    Fault("cut_utf8", after_events=2, clean=True),
    Fault("split_utf8"),
    *(Fault("malformed", after_events=count) for count in (0, 3)),
    *(Fault("error_event", after_events=count) for count in (0, 3)),
    Fault("long_line", after_events=2),
    Fault("hang"),
    Fault("refuse"),
    Fault("refuse"),
)


@dataclass
class Report:
    """What the soak found; `problems` must stay empty."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    attempts: int = 0
    paid: int = 0
    began: int = 0  # requests of which some text came
    slowest_s: float = 0.0


def draw_faults(draw: random.Random, share: float) -> Iterator[Fault]:
    """Endlessly: mostly nothing, else any fault; a day's limit at two fixed places."""
    number = 0
    while True:
        number += 1
        if number in DAY_FAULTS_AT and share:
            yield rate_limited("day", 578)
        else:
            yield draw.choice(FAULTS) if draw.random() < share else Fault("none")


def make_comparison(number: int) -> Comparison:
    """One question to both servers; its number is how its requests are known again."""
    model = f"model-{number % MODELS}"
    return Comparison(
        SideSettings(f"groq/{model}"),
        SideSettings(f"server/{model}"),
        f"Question {number}: where does coffee grow?",
        sampling=Sampling(max_new_tokens=64),
    )


def attempts_by_number(server: WireServer) -> Mapping[int, list[Seen]]:
    """The requests that came for every question."""
    found: dict[int, list[Seen]] = defaultdict(list)
    for seen in server.completions:
        asked = re.search(r"Question (\d+):", json.dumps(seen.body))
        # a connection that was reset before its body was read tells nothing
        found[int(asked[1]) if asked else -1].append(seen)
    return found


def check_side(
    number: int, name: str, side: Mapping[str, object], attempts: Sequence[Seen], report: Report
) -> None:
    """Hold one stored side against what its server saw of it."""
    reason, text, error = str(side["finish_reason"]), str(side["text"]), str(side["error"])
    faults = [seen.fault for seen in attempts if seen.fault != "none"]
    report.outcomes["+".join(dict.fromkeys(faults)) or "none", reason] += 1
    paid = sum(seen.paid for seen in attempts)
    report.began += bool(text)
    where = f"question {number}, {name} ({faults}, {reason}): "
    if reason == "error":
        report.sentences[re.sub(r"\d+(?:\.\d+)?", "N", error)] += 1
        if not re.fullmatch(r"\S.+[.!?]", error, re.DOTALL):
            report.problems.append(f"{where}no sentence: {error!r}")
        if _OUR_FAULT.search(error):
            report.problems.append(f"{where}our own fault: {error!r}")
    elif reason == "stop" and text != TEXT and "long_line" not in faults:
        report.problems.append(f"{where}other words: {text!r}")
    elif reason not in ("stop", "length", "loop"):
        report.problems.append(f"{where}unknown end")
    if not TEXT.startswith(text) and "long_line" not in faults:
        report.problems.append(f"{where}words that nobody sent: {text!r}")
    if paid != bool(text):
        report.problems.append(f"{where}paid {paid} times, with {len(text)} characters to show")


def soak(workspace: Workspace, options: argparse.Namespace) -> Report:
    """Ask, store, and check everything."""
    report = Report()
    names = [f"model-{number}" for number in range(MODELS)]
    servers = {
        side: WireServer(
            kind,
            faults=draw_faults(random.Random(f"{options.seed} {side}"), options.faults),
            words=WORDS,
            models=names,
            key=KEY,
            headers={},
        )
        for side, kind in (("left", "groq"), ("right", "openai"))
    }
    with servers["left"] as left, servers["right"] as right:
        keyring = Keyring({"groq": KEY}, {"groq": left.address})
        keyring = keyring.with_server(f"{right.address}/v1").with_key("server", KEY)
        engines = Engines(Shelf(Settings.from_env(os.environ)), HostedPool(PATIENCE), keyring)

        def ask(number: int) -> tuple[int, Run, bool, float]:
            start = time.perf_counter()
            run = start_comparison(engines, make_comparison(number))
            done = run.wait(MOST_SECONDS)
            return number, run, done, time.perf_counter() - start

        kept: dict[int, int] = {}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for number, run, done, seconds in pool.map(ask, range(options.requests // 2)):
                report.slowest_s = max(report.slowest_s, seconds)
                if not done:
                    report.problems.append(f"question {number} hung: {run.live}")
                    run.stop()
                kept[number] = store_comparison(workspace, make_comparison(number), run).id
        report.paid = left.paid + right.paid
        report.attempts = len(left.completions) + len(right.completions)
    for side, server in servers.items():
        attempts = attempts_by_number(server)
        for number, row in kept.items():
            again = get_comparison(workspace, row).to_json()
            if KEY in json.dumps(again):
                report.problems.append(f"question {number}: the history holds the key")
            check_side(number, side, again["results"][side], attempts.get(number, []), report)
    return report


def main() -> int:
    """Run the soak; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--faults", type=float, default=0.3, help="share of requests that fail")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        workspace = Workspace(Path(home) / "qeu.db")
        try:
            report = soak(workspace, options)
        finally:
            workspace.close()
    ends: Counter[str] = Counter()
    print(f"{'what went wrong':50} {'end':10} sides")
    for (faults, reason), count in sorted(report.outcomes.items()):
        ends[reason] += count
        print(f"{faults:50} {reason:10} {count:5}")
    print("\nsentences:")
    for sentence, count in report.sentences.most_common():
        print(f"{count:5}  {sentence}")
    sides = sum(ends.values())
    print(
        f"\n{sides:,} sides in {report.attempts:,} requests: {dict(ends)}; {report.paid:,} paid, "
        f"{report.began:,} with text; slowest {report.slowest_s:.1f} s, "
        f"all {time.perf_counter() - start:.0f} s; {threading.active_count()} threads left"
    )
    if sides != options.requests // 2 * 2:
        report.problems.append(f"{options.requests} were asked, {sides} are stored")
    if report.paid != report.began:
        report.problems.append(f"{report.paid} were paid, {report.began} have text to show")
    for problem in report.problems:
        print(problem, file=sys.stderr)
    return int(bool(report.problems))


if __name__ == "__main__":
    sys.exit(main())
