"""Pushing an adapter: told first, private by default, in one commit; the Hub's own client asks."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qeu.backends.adapter_files import AdapterFolder, open_adapter
from qeu.core.errors import QeuError
from qeu.core.record import Record
from qeu.services.adapter_push import PushPlan, plan_push, push_adapter
from qeu.services.data_import import ImportOptions, import_file
from qeu.store.workspace import Workspace
from tests.backends.test_adapter_files import make
from tests.fake_hub import TOKEN, FakeHub

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
CONTRACT = Path(__file__).parent.parent / "contract" / "run.json"
REPO = "somebody/poems"
SENT = ["README.md", "adapter_config.json", "adapter_model.safetensors", "metrics.jsonl"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    found = FakeHub()
    yield found
    found.close()


@pytest.fixture
def poems(tmp_path: Path) -> AdapterFolder:
    path = make(tmp_path / "adapters", "poems", base=HUB_ID)
    run = json.loads(CONTRACT.read_text("utf-8")) | {"name": "poems", "dataset": "mine"}
    (path / "run.json").write_text(json.dumps(run))
    (path / "metrics.jsonl").write_text('{"kind":"train","step":1}\n')
    record = {"record": Record(instruction="a text of somebody").to_json()}
    (path / "train.jsonl").write_text(json.dumps(record) + "\n")
    return open_adapter(path, "poems")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """One with the data set that the adapter learned from: two records, one licence."""
    found = Workspace(None)
    rows = [{"instruction": f"Say {n}.", "input": "", "output": f"{n}"} for n in range(2)]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    import_file(found, file, "mine", ImportOptions(licence="llama3"))
    yield found
    found.close()


def push(poems: AdapterFolder, plan: PushPlan, hub: FakeHub, **more: object) -> str:
    told = {"confirmed": True, "token": TOKEN, "endpoint": hub.url, **more}
    return push_adapter(poems, plan, **told)  # type: ignore[arg-type]


def test_the_plan_tells_files_and_licences_and_sends_nothing(workspace, poems, hub):
    plan = plan_push(workspace, poems, REPO)
    assert (plan.private, plan.base_licence, plan.licences) == (True, "apache-2.0", {"llama3": 2})
    assert sorted(plan.files) == [*SENT, "run.json"]
    assert all(size > 0 for size in plan.files.values())
    with pytest.raises(QeuError, match=r"Nothing was sent to somebody/poems.*--yes"):
        push(poems, plan, hub, confirmed=False)
    assert hub.requests == []


def test_a_new_repository_is_private_and_gets_all_in_one_commit(workspace, poems, hub):
    address = push(poems, plan_push(workspace, poems, REPO), hub)
    assert address == f"{hub.url}/{REPO}"
    repo = hub.repos[REPO]
    assert repo["private"]
    assert len(repo["commits"]) == 1
    assert sorted(repo["files"]) == [*SENT, "run.json"]
    weights = (poems.path / "adapter_model.safetensors").read_bytes()
    assert repo["files"]["adapter_model.safetensors"] == weights
    card = repo["files"]["README.md"].decode()
    assert f"base_model: {HUB_ID}" in card
    assert card.count("- llama3: 2 records") == 1
    assert all(b"a text of somebody" not in content for content in repo["files"].values())


def test_large_files_go_their_own_way(workspace, poems, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    hub.big = (".safetensors",)
    push(poems, plan_push(workspace, poems, REPO), hub)
    assert any(line.startswith("PUT /blob/") for line in hub.requests)
    weights = (poems.path / "adapter_model.safetensors").read_bytes()
    assert hub.repos[REPO]["files"]["adapter_model.safetensors"] == weights


def test_a_public_repository_takes_nothing_that_is_to_be_private(workspace, poems, hub):
    hub.add(REPO, private=False)
    with pytest.raises(QeuError, match="is there already, and public"):
        push(poems, plan_push(workspace, poems, REPO), hub)
    assert hub.repos[REPO]["files"] == {}
    push(poems, plan_push(workspace, poems, REPO, private=False), hub)
    assert "run.json" in hub.repos[REPO]["files"]


def test_what_was_asked_to_be_public_is(workspace, poems, hub):
    push(poems, plan_push(workspace, poems, REPO, private=False), hub)
    assert not hub.repos[REPO]["private"]


def test_a_wrong_token_is_told_and_not_repeated(workspace, poems, hub):
    with pytest.raises(QeuError, match="The Hub refuses the token") as caught:
        push(poems, plan_push(workspace, poems, REPO), hub, token="hf_wrong_one")
    assert "hf_wrong_one" not in str(caught.value)
    assert hub.repos == {}


def test_without_token_or_network_it_is_told_at_once(workspace, poems, hub, monkeypatch, tmp_path):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    plan = plan_push(workspace, poems, REPO)
    with pytest.raises(QeuError, match=r"There is no token for the Hub. Set HF_TOKEN"):
        push(poems, plan, hub, token="")
    with pytest.raises(QeuError, match="HF_HUB_OFFLINE=1 forbids"):
        push(poems, plan, hub, offline=True)
    with pytest.raises(QeuError, match="cannot be reached, and nothing was pushed"):
        push(poems, plan, hub, endpoint="http://127.0.0.1:9")
    assert hub.requests == []


def test_a_hub_that_does_not_answer_is_not_waited_for(workspace, poems, hub):
    hub.delay_s = 5  # waited for, it would make the repository and take the commit
    with pytest.raises(QeuError, match="cannot be reached"):
        push(poems, plan_push(workspace, poems, REPO), hub, timeout_s=0.2)
    assert hub.repos == {}


def test_a_refused_commit_is_told_with_the_hubs_words(workspace, poems, hub):
    hub.refuse = 413
    with pytest.raises(QeuError, match=r"The Hub refused somebody/poems \(HTTP 413: No room"):
        push(poems, plan_push(workspace, poems, REPO), hub)
    hub.refuse = 403
    with pytest.raises(QeuError, match="The token may not write to somebody/poems"):
        push(poems, plan_push(workspace, poems, REPO), hub)


@pytest.mark.parametrize("repo", ["poems", "a/b/c", "a/../b", "/x", "a b/c", ""])
def test_what_is_no_repository_is_refused(workspace, poems, repo):
    with pytest.raises(QeuError, match=r"is no repository of the Hub. Write it as OWNER/NAME"):
        plan_push(workspace, poems, repo)


def test_licences_that_nobody_can_tell_are_said_to_be_unknown(poems, tmp_path):
    empty = Workspace(None)
    assert plan_push(empty, poems, REPO).licences == {}
    run = json.loads((poems.path / "run.json").read_text()) | {"dataset": "shipped"}
    (poems.path / "run.json").write_text(json.dumps(run))
    assert plan_push(empty, poems, REPO).licences == {"MIT": 400}
    (poems.path / "run.json").write_text('{"other": 1}')
    assert plan_push(empty, poems, REPO).licences == {}
    empty.close()
