"""Send an adapter's files to a repository of the Hub, all in one commit."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qeu.core.errors import QeuError
from qeu.deadline import within

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Each question before the upload; the upload itself takes as long as it takes.
TIMEOUT_S = 4.0
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def is_repository(name: str) -> bool:
    """Whether this is written like a repository of the Hub, OWNER/NAME."""
    return _REPO.fullmatch(name) is not None and ".." not in name


def upload_files(
    repo: str,
    files: Mapping[str, Path | bytes],
    message: str,
    *,
    private: bool,
    token: str = "",
    endpoint: str | None = None,
    offline: bool | None = None,
    timeout_s: float = TIMEOUT_S,
) -> str:
    """Send {name: file or content} and return the repository's address; it is made if need be.

    `token` "" is that of HF_TOKEN. Whether the Hub answers and takes it is known within 10 s.
    Raises QeuError; a repository that is public already takes nothing that is to be private.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token

    if constants.HF_HUB_OFFLINE if offline is None else offline:
        raise QeuError("HF_HUB_OFFLINE=1 forbids to reach the Hub. Unset it, or export a file.")
    token = token.strip() or get_token() or ""
    if not token:
        raise QeuError(
            "There is no token for the Hub. Set HF_TOKEN to one that may write, or export a file."
        )
    api = HfApi(endpoint=endpoint, token=token)
    try:
        within(2 * timeout_s, lambda: _open_repository(api, repo, private, timeout_s))
        operations = [
            CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
            for name, content in files.items()
        ]
        api.create_commit(repo, operations, commit_message=message)
    except QeuError:
        raise
    except Exception as e:
        raise _explain(repo, e) from e
    return f"{api.endpoint}/{repo}"


def _open_repository(api: "HfApi", repo: str, private: bool, timeout_s: float) -> None:
    """Find or make the repository; refuse one that shows everybody what is to be private."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = api.model_info(repo, timeout=timeout_s)
    except RepositoryNotFoundError:
        api.create_repo(repo, private=private, exist_ok=True)
        return
    if private and not found.private:
        raise QeuError(
            f"{repo} is there already, and public: everybody could read the adapter. "
            "Choose another name, or push it as public (--public)."
        )


def _explain(repo: str, e: Exception) -> QeuError:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if isinstance(e, HFValidationError):
        return QeuError(f"{repo!r} is no repository of the Hub. Write it as OWNER/NAME.")
    if isinstance(e, HfHubHTTPError) and e.response is not None:
        status = e.response.status_code
        if status == 401:
            return QeuError("The Hub refuses the token. Renew HF_TOKEN, and let it write.")
        if status == 403:
            return QeuError(
                f"The token may not write to {repo}. Take one of its owner that may write."
            )
        if 400 <= status < 500 and status != 429:
            told = " ".join(str(e.server_message or "").split())[:200] or "no reason given"
            return QeuError(
                f"The Hub refused {repo} (HTTP {status}: {told}). Check the name and the token."
            )
    if isinstance(e, OSError) or type(e).__module__.startswith(("httpx", "httpcore")):
        return QeuError(
            "The Hugging Face Hub cannot be reached, and nothing was pushed. "
            "Connect to the network, or export a file."
        )
    kind, told = type(e).__name__, " ".join(str(e).split())[:200]
    return QeuError(f"The adapter could not be pushed to {repo} ({kind}: {told}).")
