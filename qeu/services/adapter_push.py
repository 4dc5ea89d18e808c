"""Push an adapter to the Hub: after it was told what goes there, under whose licences.

Only the files of an export are sent, in one commit: the repository has all of them or none.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from qeu.backends.adapter_files import AdapterFolder
from qeu.backends.adapter_upload import TIMEOUT_S, is_repository, upload_files
from qeu.core.errors import QeuError
from qeu.services.adapter_export import licence_of_base, portable_files
from qeu.services.data_export import count_licences
from qeu.services.shipped_data import LICENCE, NAME
from qeu.store.datasets import find_dataset
from qeu.store.run_folders import RUN, RunFolder
from qeu.store.workspace import Workspace


@dataclass(frozen=True)
class PushPlan:
    """What would be sent where; `files` are bytes by name.

    `licences` counts the data set's records by licence ("" is not stated); empty where the data
    set is not in the workspace any more. `base_licence` is that of the base's weights.
    """

    adapter: str
    repo: str
    private: bool
    files: Mapping[str, int]
    base_licence: str
    licences: Mapping[str, int]

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def plan_push(
    workspace: Workspace, adapter: AdapterFolder, repo: str, *, private: bool = True
) -> PushPlan:
    """What a push would send, and under which licences its texts were written; sends nothing."""
    repo = repo.strip()
    if not is_repository(repo):
        raise QeuError(f"{repo[:200]!r} is no repository of the Hub. Write it as OWNER/NAME.")
    licences = training_licences(workspace, adapter)
    files = {
        name: len(content) if isinstance(content, bytes) else content.stat().st_size
        for name, content in portable_files(adapter, licences).items()
    }
    return PushPlan(adapter.name, repo, private, files, licence_of_base(adapter), licences)


def push_adapter(
    adapter: AdapterFolder,
    plan: PushPlan,
    *,
    confirmed: bool,
    token: str = "",
    endpoint: str | None = None,
    offline: bool | None = None,
    timeout_s: float = TIMEOUT_S,
) -> str:
    """Send what was planned and return its address; nothing is sent unless `confirmed`.

    `token` "" is that of HF_TOKEN. Raises QeuError as `upload_files` does.
    """
    if not confirmed:
        raise QeuError(
            f"Nothing was sent to {plan.repo}. Read what would be, and under which licences its "
            "texts were written; then repeat it with --yes."
        )
    return upload_files(
        plan.repo,
        portable_files(adapter, plan.licences),
        f"Adapter {adapter.path.name}, {adapter.hash[:12]}",
        private=plan.private,
        token=token,
        endpoint=endpoint,
        offline=offline,
        timeout_s=timeout_s,
    )


def training_licences(workspace: Workspace, adapter: AdapterFolder) -> dict[str, int]:
    """{licence: records} of the data set that it learned from; {} where nobody can tell."""
    at_checkpoint = adapter.path.name.startswith("checkpoint-")
    folder: Path = adapter.path.parent if at_checkpoint else adapter.path
    if not (folder / RUN).is_file():
        return {}
    try:
        passport = RunFolder(folder).passport()
    except QeuError:  # of another program, or another version of this one
        return {}
    try:
        return count_licences(workspace, find_dataset(workspace, passport.dataset))
    except QeuError:
        return {LICENCE: passport.records} if passport.dataset == NAME else {}
