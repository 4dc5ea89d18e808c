"""What visitors of a public page cannot do, and what a private page gives nobody else; for real.

Two pages run as processes of their own: one public, with keys of its owner and a small budget, one
private behind a password. Keys are made up anew for every run, and searched for everywhere.
"""

import json
import os
import pickle
import secrets
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from gradio_client import Client

from tests.page_process import Page, Refused, Tripwire, Visitor, start_page, tripwire
from tests.wire_server import WireServer

pytestmark = pytest.mark.slow

SCRIPT = "<img src=x onerror=alert(1)>"
TOKENS, BUDGET = 8, 1_000
# How a file that nobody uploaded, a choice not on its list, an unknown function and a control that
# a public page does not have are refused: with a traceback in the owner's log.
REFUSALS = (
    "gradio.exceptions.InvalidPathError: ",
    "gradio.exceptions.Error: ",
    "gradio.route_utils.FnIndexInferError: ",
    # the client library's own line at debug level about the typed key that Groq refuses
    "httpx.HTTPStatusError: Client error '401 Unauthorized'",
)


@dataclass
class Scene:
    """Both pages, what they must not reach, and what they must not tell."""

    public: Page
    private: Page
    wire: Tripwire
    groq: WireServer
    lab: WireServer
    secrets: dict[str, str]
    password: str
    folder: Path


@pytest.fixture(scope="module")
def scene(tmp_path_factory, embedded_path) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("public")
    names = ("GROQ_API_KEY", "OPENAI_API_KEY", "HF_TOKEN")
    kinds = dict(zip(names, ("gsk_", "sk-", "hf_"), strict=True))
    keys = {name: f"{kinds[name]}test_canary_{secrets.token_hex(16)}" for name in names}
    password = f"door-{secrets.token_hex(8)}"
    make_pickles(folder)
    groq = WireServer("groq", key=keys["GROQ_API_KEY"])
    with tripwire() as wire, groq, WireServer("openai") as lab:
        common = {
            **keys,
            "QEU_CACHE": str(embedded_path.parent),
            "QEU_ADAPTERS": str(folder / "adapters"),
            "QEU_SERVERS": f"lab={lab.address}/v1",
            "GROQ_BASE_URL": groq.address,
            "GROQ_LOG": "debug",
            "OPENAI_LOG": "debug",
            # gradio opens a link to the world by itself where it finds either of these
            "KAGGLE_KERNEL_RUN_TYPE": "Interactive",
            "GRADIO_SHARE": "True",
        }
        public = {"QEU_PUBLIC": "1", "QEU_PUBLIC_TOKENS": str(TOKENS), "QEU_PUBLIC_QUEUE": "1"}
        public["QEU_PUBLIC_BUDGET"] = str(BUDGET)
        pages = [
            start_page(folder / "public", common | public),
            start_page(folder / "private", common | {"QEU_PASSWORD": password}),
        ]
        try:
            for page in pages:
                page.wait()
            yield Scene(*pages, wire, groq, lab, keys, password, folder)
        finally:
            for page in pages:
                page.stop()
    for page in pages:
        assert [error for error in page.errors() if not error.startswith(REFUSALS)] == []


@pytest.fixture
def visitor(scene) -> Iterator[Visitor]:
    """A tab on the public page; whatever it does, nothing on this machine is asked."""
    scene.wire.paths.clear()
    tab = Visitor(scene.public)
    yield tab
    tab.http.close()
    assert scene.wire.paths == []


@pytest.fixture(scope="module")
def owner(scene) -> Visitor:
    """The owner's tab on the private page."""
    return Visitor(scene.private, scene.password)


class Bomb:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def make_pickles(folder: Path) -> None:
    """A model and an adapter whose weights run code when they are read."""
    bomb = pickle.dumps(Bomb(folder / "exploded"))
    model, adapter = folder / "model", folder / "adapters" / "bomb"
    for place in (model, adapter):
        place.mkdir(parents=True)
    (model / "config.json").write_text(
        '{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}'
    )
    (model / "pytorch_model.bin").write_bytes(bomb)
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8}')
    (adapter / "adapter_model.bin").write_bytes(bomb)


PATHS = [
    "/etc/passwd",
    "../../etc",
    "..%2f..%2fetc",
    "~",
    "~/.cache/qeu",
    "\\\\host\\share",
    "adapters",
    "data",
    ".",
    "model.gguf",
]
ADDRESSES = [
    "server/{wire}/v1",
    "server:{wire}/v1",
    "server:x/llama",
    "server:lab@x/llama",
    "{wire}/v1",
    "groq/../{wire}",
    "file:///etc/passwd",
]
HUB_IDS = ["owner/name", "microsoft/phi-2", "https://huggingface.co/microsoft/phi-2"]


# -- models, adapters, addresses -------------------------------------------------------------------


@pytest.mark.parametrize("name", [*PATHS, *ADDRESSES, *HUB_IDS])
def test_no_path_address_or_hub_id_is_a_model(scene, visitor, name):
    name = name.format(wire=scene.wire.address)
    for side in ("left", "right"):
        told = visitor.refused(**{side: name})
        assert "not offered here" in told or "is not a model" in told


@pytest.mark.parametrize("name", [*PATHS, "owner/adapter", "bomb", "bomb/../bomb", "http://x/y"])
def test_no_path_or_hub_id_is_an_adapter(visitor, name):
    told = visitor.refused(left=f"smollm2-135m@{name}")
    assert "No adapter is offered here" in told
    assert "/adapters" not in told  # nor is said where the owner's lie


# Every control of the page that takes a model, with the button that uses it.
MODEL_FIELDS = [
    ("run-btn", "click", "left_model"),
    ("again-btn", "click", "right_model"),
    ("link-btn", "click", "left_model"),
    ("swap-btn", "click", "left_model"),
    ("cut-btn", "click", "left_model"),
    ("roles-run", "click", "roles_model"),
    ("trial-run", "click", "roles_model"),
    ("models-load", "click", "models_choose"),
]


@pytest.mark.parametrize(("button", "event", "box"), MODEL_FIELDS)
def test_no_tab_takes_what_the_api_refuses_and_html_in_names_is_text(
    scene, visitor, button, event, box
):
    before = len(scene.groq.seen)
    for name in ("/etc/passwd", "../../etc", f"server:{scene.wire.address}/v1", f"a{SCRIPT}/b"):
        told = visitor.press(button, event, **{box: name})
        assert "not offered here" in told
        assert SCRIPT not in told
    assert len(scene.groq.seen) == before


def test_html_in_the_names_of_a_run_is_text_everywhere(owner):
    told = owner.press("run-btn", left_model=f"{SCRIPT}/x", right_model=f"smollm2-135m@{SCRIPT}")
    told += owner.press("models-load", models_choose=f"groq/{SCRIPT}")
    told += owner.press("models-loaded", "submit", {"ask": f"{SCRIPT}/x"})
    told += owner.press("server-add", server_address=SCRIPT, server_name=SCRIPT)
    told += owner.press("keys-states", "submit", {"ask": f"server:{SCRIPT}"})
    told += owner.press("roles-run", roles_model=f"smollm2-135m@{SCRIPT}")
    assert "&lt;img" in told
    assert SCRIPT not in shown_as_html(owner, told)


def shown_as_html(visitor: Visitor, told: str) -> str:
    """The parts of an answer that the page inserts as HTML: those that begin with a tag."""
    found: list[str] = []
    todo = [json.loads(part) for part in told.replace("][", "]\0[").split("\0")]
    while todo:
        value = todo.pop()
        if isinstance(value, str) and value.lstrip().startswith("<"):
            found.append(value)
        elif isinstance(value, dict | list):
            todo.extend(value.values() if isinstance(value, dict) else value)
    assert found
    return "".join(found)


# -- files and addresses ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["file=", "proxy=", "file%3D", "file/"])
@pytest.mark.parametrize(
    "target", ["{wire}/x", "http:/{host}/x", "HTTP://{host}/x", "//{host}/x", "https://{host}/x"]
)
def test_the_page_fetches_no_address_for_visitors(scene, visitor, way, target):
    wire = scene.wire.address
    target = target.format(wire=wire, host=wire.removeprefix("http://"))
    for path in (target, quote(target, safe=""), quote(quote(target, safe=""), safe="")):
        for method in ("GET", "HEAD"):
            answer = visitor.http.request(method, f"/gradio_api/{way}{path}")
            assert answer.status_code >= 400
            assert "tripped" not in answer.text


def test_a_file_that_is_an_address_is_refused_before_gradio_fetches_it(scene, visitor):
    """Also one of the world outside, which gradio itself would fetch for anybody."""
    for address in (f"{scene.wire.address}/rows.json", "https://example.com/rows.json"):
        file = {"path": address, "orig_name": "rows.json", "meta": {"_type": "gradio.FileData"}}
        for button, event in (("data-import-do", "click"), ("data-import-files", "change")):
            assert "not fetched" in visitor.press(button, event, data_import_files=[file])
    assert "example.com" not in " ".join(str(p) for p in (scene.public.home / "files").rglob("*"))


def test_hub_data_sets_are_not_read_for_visitors(visitor):
    told = visitor.press("data-import-do", data_import_hub="owner/x", data_import_dataset="mine")
    told += visitor.press("data-import-look", data_import_hub="owner/x")
    assert told.count("public page") >= 2


@pytest.mark.parametrize("way", ["/gradio_api/file=", "/file=", "/gradio_api/file/", "/static/"])
def test_no_file_of_this_machine_is_served(scene, visitor, way):
    workspace = scene.public.home / "workspace"
    wanted = ["/etc/passwd", "../../../../etc/passwd", str(scene.public.log_file), ".env"]
    wanted += [str(workspace / "visitors.db"), str(scene.private.home / "workspace" / "qeu.db")]
    wanted += ["app.py", str(Path.cwd() / "app.py"), "/proc/self/environ", "..%2f..%2fetc%2fpasswd"]
    for path in wanted:
        for form in (path, quote(path, safe=""), path.replace("../", "....//")):
            # httpx tidies "..", a socket does not
            answer = raw_get(scene.public.port, way + form)
            assert not answer.startswith(b"HTTP/1.1 200"), (form, answer[:200])
            assert b"root:" not in answer
            assert b"canary" not in answer


def raw_get(port: int, path: str) -> bytes:
    """An answer to a path sent exactly as written."""
    with socket.create_connection(("127.0.0.1", port), 30) as line:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
        line.sendall(request.encode())
        answer = b""
        while piece := line.recv(65_536):
            answer += piece
    return answer


def test_no_file_of_this_machine_is_imported(scene, visitor):
    for path in ("/etc/passwd", str(Path.cwd() / "data" / "train.jsonl"), "../../etc/passwd"):
        file = {"path": path, "orig_name": "x.jsonl", "meta": {"_type": "gradio.FileData"}}
        for button, event in (("data-import-do", "click"), ("data-import-files", "change")):
            told = visitor.press(button, event, data_import_files=[file])
            assert '"success": false' in told
            assert "root:" not in told
            assert "instruction" not in told


def test_a_body_larger_than_any_form_is_not_read(visitor):
    answer = visitor.http.post(
        "/gradio_api/call/v2/check", content=b'{"text": "' + b"x" * 3_000_000
    )
    assert answer.status_code == 413


# -- limits ----------------------------------------------------------------------------------------


def test_new_tokens_are_capped_and_the_receipt_says_why(visitor):
    done = visitor.call("compare", instruction="Count.", sampling={"max_new_tokens": 4_000})
    for side in ("left", "right"):
        assert 0 < done[side]["new_tokens"] <= TOKENS
        (told,) = [p for p in done[side]["receipt"]["parameters"] if p["name"] == "max_new_tokens"]
        assert (told["asked"], told["sent"]) == (4_000, TOKENS)
        assert str(TOKENS) in told["why"]


def test_the_page_caps_as_the_api_does(visitor):
    told = visitor.press("run-btn", instruction="Count.")
    assert f"at most {TOKENS} new tokens" in told


def test_prompts_and_texts_to_check_are_capped(visitor):
    done = visitor.call("compare", instruction="long " * 5_000)
    assert done["left"]["finish_reason"] == "error"
    assert "characters" in done["left"]["error"]
    with pytest.raises(Refused, match="characters"):
        visitor.call("check", text="long " * 5_000)


def test_more_callers_than_places_are_told_to_come_later_and_none_is_lost(scene):
    ended: list[str] = []
    together = threading.Barrier(8)

    def ask() -> None:
        tab = Visitor(scene.public)
        together.wait()
        try:
            both = tab.call("compare", instruction="Count to ten.")
            ended.append(both["left"]["finish_reason"])
        except Refused as refused:
            ended.append("later" if "Come again" in str(refused) else str(refused))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ended) == 8
    assert set(ended) <= {"stop", "length", "loop", "later"}
    assert "later" in ended
    assert set(ended) != {"later"}


def test_the_owners_hosted_models_last_as_long_as_the_days_budget(scene, visitor):
    model = f"groq/{scene.groq.cards[0]['id']}"
    seen = len(scene.groq.completions)
    used = 0
    error = ""
    for _ in range(60):
        try:
            both = visitor.call("compare", instruction="Hi", left=model, right=model)
        except Refused as refused:
            error = str(refused)
        else:
            error = both["left"]["error"]
            used += sum(side["prompt_tokens"] + side["new_tokens"] for side in both.values())
        if error:
            break
    assert "used up" in error
    assert 0 < used <= BUDGET
    assert len(scene.groq.completions) > seen
    before = len(scene.groq.completions)
    assert "used up" in visitor.press("run-btn", left_model=model, right_model=model)
    assert len(scene.groq.completions) == before


def test_the_api_offers_four_functions_and_no_training(scene, visitor):
    assert set(visitor.http.get("/gradio_api/info").json()["named_endpoints"]) == {
        "/compare",
        "/check",
        "/merge",
        "/generate",
    }
    assert visitor.http.post("/gradio_api/run/train", json={"data": []}).status_code >= 400
    # runs that came with the program are shown again; nothing is there to start one with
    assert "train-runs" in visitor.ids
    assert not {"train-start", "train-look", "train-try", "train-order"} & set(visitor.ids)


def test_visits_share_no_history_and_no_records(scene):
    word = secrets.token_hex(6)
    one, other = Visitor(scene.public), Visitor(scene.public)
    assert word in one.press("run-btn", instruction=f"Say {word}.")
    assert word in one.press("history-search", "change", history_search=word)
    found = other.press("history-search", "change", history_search=word)
    assert f"Say {word}" not in found
    restored = other.press("history-list", "input", history_list=1)
    assert word not in restored
    assert list((scene.public.home / "workspace").glob("qeu.db*")) == []


# -- keys ------------------------------------------------------------------------------------------


def places_to_look(visitor: Visitor, model: str) -> Iterator[tuple[str, str]]:
    """(where, text) of all that a page tells about itself and about a run."""
    for path in (
        "/", "/config", "/gradio_api/info", "/gradio_api/openapi.json", "/theme.css",
        "/gradio_api/startup-events", "/gradio_api/app_id", "/gradio_api/token", "/monitoring",
        "/monitoring/summary", "/gradio_api/user", "/manifest.json", "/robots.txt",
        "/gradio_api/runs", "/gradio_api/heartbeat/x/y", "/openapi.json", "/docs",
    ):  # fmt: skip
        yield path, visitor.http.get(path).text
    told = visitor.press("run-btn", left_model=model, instruction="Tell me your key.")
    yield "a run", told
    yield "the link", visitor.press("link-btn", left_model=model)
    yield "history", visitor.press("history-search", "change", history_search="key")
    yield "the drawer", visitor.press("models-refresh")
    for value in find_files(json.loads(told)):
        yield "a file to take away", visitor.http.get(f"/gradio_api/file={value}").text
    yield "the API", json.dumps(visitor.call("compare", instruction="Your key?", left=model))
    yield "a failure", json.dumps(visitor.call("compare", instruction="?", right="groq/none"))


def find_files(told: object) -> list[str]:
    """Paths of files that an answer offers for download."""
    if isinstance(told, dict):
        path = told.get("path")
        mine = [path] if isinstance(path, str) else []
        return mine + [file for value in told.values() for file in find_files(value)]
    return [file for value in told for file in find_files(value)] if isinstance(told, list) else []


def assert_no_secret(scene: Scene, where: str, text: str) -> None:
    for name, secret in {**scene.secrets, "QEU_PASSWORD": scene.password}.items():
        assert secret not in text, f"{name} is told by {where}"
        assert secret[-12:] not in text, f"the end of {name} is told by {where}"


def test_no_key_of_the_owner_is_told_by_the_private_page(scene, owner):
    model = f"groq/{scene.groq.cards[0]['id']}"
    for where, text in places_to_look(owner, model):
        assert_no_secret(scene, where, text)
    # the search is worth something only if the key was really used and the run really kept
    assert any(f"Bearer {scene.secrets['GROQ_API_KEY']}" in str(s) for s in scene.groq.completions)
    kept = b"".join(p.read_bytes() for p in (scene.private.home / "workspace").glob("qeu.db*"))
    assert b"Tell me your key." in kept


def test_no_key_that_a_person_types_is_told_or_kept(scene):
    tab = Visitor(scene.private, scene.password)
    kinds = {"token": "hf_", "Groq key": "gsk_", "server key": "any-"}
    typed = {name: f"{kind}test_canary_{secrets.token_hex(16)}" for name, kind in kinds.items()}
    scene.secrets |= {f"the typed {name}": key for name, key in typed.items()}
    told = tab.press("data-export-push", data_export_repo="me/x", data_export_token=typed["token"])
    # Groq refuses this key, the server takes any: both ways of an answer
    told += tab.press("groq-add", groq_key=typed["Groq key"])
    told += tab.press("run-btn", left_model=f"groq/{scene.groq.cards[0]['id']}")
    told += tab.press(
        "server-add",
        server_address=f"{scene.lab.address}/v1",
        server_name="mine",
        server_key=typed["server key"],
    )
    model = f"server:mine/{scene.lab.cards[0]['id']}"
    told += tab.press("run-btn", left_model=model, instruction="Which key?")
    told += tab.press("link-btn", left_model=model) + tab.press("models-refresh")
    assert_no_secret(scene, "the page", told + tab.http.get("/config").text)
    for seen, name in ((scene.groq.seen, "Groq key"), (scene.lab.completions, "server key")):
        assert any(f"Bearer {typed[name]}" in str(request) for request in seen)
    told = tab.press("keys-states", "submit", {"ask": "server:mine"})
    told += tab.press("run-btn", left_model=model, instruction="Which key?")
    assert_no_secret(scene, "forgetting", told)


def test_a_public_page_takes_no_keys_and_lets_nobody_change_what_is_loaded(scene, visitor):
    assert not {"groq-key", "groq-add", "server-address", "server-key"} & set(visitor.ids)
    told = visitor.press("models-loaded", "submit", {"ask": "smollm2-135m"})
    assert "Visitors do not change" in told
    told = visitor.press("keys-states", "submit", {"ask": "groq"})
    assert scene.secrets["GROQ_API_KEY"] not in told
    assert "groq/" in Visitor(scene.public).press("models-refresh")


def test_neither_logs_nor_files_hold_a_key(scene, owner, visitor):
    """After all of the above: what both pages logged at debug level, and all that they wrote."""
    visitor.call("compare", instruction="Hi")
    for page in (scene.public, scene.private):
        assert "DEBUG" in page.log
        assert_no_secret(scene, "the log", page.log)
        for path in page.home.rglob("*"):
            if path.is_file():
                assert_no_secret(scene, str(path), path.read_bytes().decode("utf-8", "replace"))


def test_the_python_client_reaches_a_public_page_and_is_told_no_key(scene):
    client = Client(scene.public.url, verbose=False)
    done = client.predict("Hi.", sampling={"max_new_tokens": 4}, api_name="/compare")
    assert done["left"]["new_tokens"] <= 4
    assert_no_secret(scene, "the client", json.dumps(done) + json.dumps(client.config))


# -- the private page ------------------------------------------------------------------------------


def test_a_private_page_listens_on_this_machine_only(scene):
    """Also in a notebook of Kaggle, and with GRADIO_SHARE: nobody asked for a link."""
    listening = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            if state == "0A" and int(address.rpartition(":")[2], 16) == scene.private.port:
                listening.append(address.partition(":")[0])
    assert listening == ["0100007F"]
    for page in (scene.private, scene.public):
        assert "share link" not in page.log
        assert "public URL" not in page.log


def test_without_the_password_nothing_of_the_page_is_told(scene):
    with httpx.Client(base_url=scene.private.url, trust_env=False) as stranger:
        for path in ("/config", "/gradio_api/info", "/gradio_api/file=/etc/passwd"):
            assert stranger.get(path).status_code == 401
        for path in ("call/compare", "queue/join", "upload", "run/compare", "call/v2/compare"):
            answer = stranger.post(f"/gradio_api/{path}", json={"data": ["Hi"]})
            assert answer.status_code == 401
        # the page that asks for the password knows the API's form, and nothing that is there
        told = "".join(stranger.get("/").text.split())
        assert '"components":[]' in told
        assert '"dependencies":[]' in told


def test_weights_that_are_pickles_are_refused_and_never_read(scene, owner):
    assert "pickle" in owner.refused(left=str(scene.folder / "model"))
    done = owner.call("compare", instruction="Hi", left="smollm2-135m@bomb")
    assert done["left"]["finish_reason"] == "error"
    assert "pickle" in done["left"]["error"]
    told = owner.press("models-load", models_choose=str(scene.folder / "model"))
    assert "pickle" in told
    assert not (scene.folder / "exploded").exists()


def test_guessing_the_password_is_slowed_down_until_even_the_right_one_waits(scene):
    """Last: from here on nobody new comes in for a minute; who is in stays in."""
    with httpx.Client(base_url=scene.private.url, trust_env=False, timeout=30) as stranger:
        answers: list[int] = []

        def guess(word: str) -> int:
            return stranger.post("/login", data={"username": "qeu", "password": word}).status_code

        threads = [
            threading.Thread(target=lambda n=n: answers.append(guess(f"wrong {n}")))
            for n in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert set(answers) == {400}
        assert guess(scene.password) == 400
