"""Bulk jobs that are done, for tests of what comes after them."""

from collections.abc import Callable
from dataclasses import replace

from qeu.core.job_spec import JobSpec
from qeu.services.job_runner import JobWorker
from qeu.store.jobs import Job, claim_job, create_job
from qeu.store.workspace import Workspace
from tests.fake_shelf import FakeShelf
from tests.services.job_engine import JobModel

ME = "1:1"
# Two teachers; both are in the catalog, under different licences.
A, B = "smollm2-135m", "phi-2"
FIRST = "List what is known. Then choose a rule."
SECOND = "List what is known first. Compare the choices with care."
LEAKING = "The answer is 12."
SPEC = JobSpec("demo", (A, B), layout="bonsai-v2", retries=0, expected_language="")


def finished(
    workspace: Workspace,
    first: Callable[[str], str] | str = FIRST,
    second: Callable[[str], str] | str = SECOND,
    **changes: object,
) -> Job:
    """A job of two teachers who write this, worked on to its end."""
    job = create_job(workspace, replace(SPEC, **changes))  # type: ignore[arg-type]
    models = [
        JobModel(name, write if callable(write) else lambda prompt, text=write: text)
        for name, write in ((A, first), (B, second))
    ]
    assert claim_job(workspace, job, ME, lambda owner: False)
    ended = JobWorker(workspace, FakeShelf(*models), job, ME).run()  # type: ignore[arg-type]
    assert ended.state == "done", ended
    return ended
