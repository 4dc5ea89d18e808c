"""The pool: which server answers, what it offers, what is missing, and whose key goes where."""

from dataclasses import replace

import pytest

from qeu.backends.catalog import find_model
from qeu.backends.hosted_pool import IDLE_S, LIST_S, HostedPool
from qeu.backends.keyring import Keyring
from qeu.core.errors import QeuError
from tests.backends.hosted_tools import KEY, QUICK, RawServer, keyring_for, open_raw, reply, row
from tests.wire_server import WireServer
from tests.wire_shapes import KINDS

LLAMA = "llama-3.3-70b-versatile"


class FakeClock:
    now = 100.0

    def __call__(self):
        return self.now


def lists(server: WireServer) -> int:
    return len([seen for seen in server.seen if seen.path.endswith("/models")])


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_of_a_server_is_found_out(kind):
    with WireServer(kind) as server:
        provider = "groq" if kind == "groq" else "server"
        pool, keyring = HostedPool(QUICK), keyring_for(server)
        assert pool.kind_of(provider, keyring).kind == kind
        before = len(server.seen)
        assert pool.kind_of(provider, keyring).kind == kind
        assert len(server.seen) == before


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/version", b'{"version": "0.6"}', "vllm"),
        ("/api/version", b'{"version": "0.12"}', "ollama"),
        ("/props", b'{"default_generation_settings": {"n_ctx": 512}}', "llama.cpp"),
        ("/openapi.json", b'{"paths": {"/load_model": {}, "/v1/responses": {}}}', "transformers"),
        ("/version", b"1.2.3", "openai"),
        ("/props", b"<html>", "openai"),
        ("/nothing", b"{}", "openai"),
    ],
)
def test_a_server_that_lists_nothing_is_known_by_its_own_paths(path, body, kind):
    def answer(connection, request):
        found = request.split()[1].decode() == path
        connection.sendall(reply("200 OK" if found else "404 Not Found", body if found else b"{}"))

    with RawServer(answer) as server:
        model = open_raw(server)
    assert model.provider.kind == kind
    assert model.context == (512 if kind == "llama.cpp" else 0)


def test_a_list_tells_names_contexts_and_what_they_are_fit_for():
    offered = [LLAMA, "whisper-large-v3", "llama-3.1-8b-instant"]
    with WireServer("groq", models=offered) as server:
        pool, keyring = HostedPool(QUICK), keyring_for(server)
        cards = pool.list_models("groq", keyring)
        assert pool.default_model("groq", keyring) == f"groq/{LLAMA}"
    assert [card.id for card in cards] == ["llama-3.1-8b-instant", LLAMA, "whisper-large-v3"]
    assert [card.chat for card in cards] == [True, True, False]
    assert cards[1].ref == f"groq/{LLAMA}"
    assert cards[1].context > 0
    assert (cards[0].fitness.writes, cards[1].fitness.translates) == (("en",), ("en", "ja", "zh"))


def test_a_list_is_asked_for_once_a_minute():
    clock = FakeClock()
    with WireServer("groq") as server:
        pool, keyring = HostedPool(QUICK, clock), keyring_for(server)
        pool.list_models("groq", keyring)
        pool.open(find_model(f"groq/{LLAMA}"), keyring)
        assert lists(server) == 1
        pool.list_models("groq", keyring, refresh=True)
        assert lists(server) == 2
        clock.now += LIST_S + 1
        pool.list_models("groq", keyring)
        assert lists(server) == 3


def test_models_of_one_account_share_a_budget_and_accounts_do_not():
    with WireServer("groq") as server:
        pool = HostedPool(QUICK)
        mine, yours = keyring_for(server), keyring_for(server, "other-key")
        models = [
            pool.open(find_model(f"groq/{name}"), keyring)
            for name, keyring in ((LLAMA, mine), ("llama-3.1-8b-instant", mine), (LLAMA, yours))
        ]
    budgets = [model._budget for model in models]
    assert budgets[0] is budgets[1]
    assert budgets[0] is not budgets[2]


def test_a_key_goes_to_its_own_address_only():
    with WireServer("openai", key=KEY) as mine, WireServer("openai") as other:
        keyring = Keyring(
            {"server": KEY}, {"server": f"{mine.address}/v1", "server:lab": f"{other.address}/v1"}
        )
        pool = HostedPool(QUICK)
        for ref in ("server/some-model", "server:lab/some-model"):
            assert pool.open(find_model(ref), keyring).generate([row()])[0].error == ""
        assert all(seen.headers["authorization"] == f"Bearer {KEY}" for seen in mine.completions)
        assert other.seen
        assert not any("authorization" in seen.headers for seen in other.seen)


def test_without_a_key_groq_says_where_to_put_one():
    with pytest.raises(QeuError) as found:
        HostedPool().open(find_model("groq/any"), Keyring())
    assert str(found.value) == (
        "No key for Groq. Set GROQ_API_KEY or type one in the Models drawer."
    )


def test_without_an_address_a_server_cannot_be_asked():
    with pytest.raises(QeuError, match="No address for server:lab"):
        HostedPool().open(find_model("server:lab/any"), Keyring())


def test_a_model_that_the_account_does_not_have_is_told_with_close_ones():
    with WireServer("groq") as server, pytest.raises(QeuError) as found:
        HostedPool(QUICK).open(find_model("groq/llama-3.3-70b"), keyring_for(server))
    assert "Groq does not offer 'llama-3.3-70b'" in str(found.value)
    assert LLAMA in str(found.value)


def test_a_server_that_offers_nothing_says_so():
    with WireServer("vllm", models=[]) as server, pytest.raises(QeuError, match="no model at all"):
        HostedPool(QUICK).open(find_model("server/any"), keyring_for(server))


def test_a_wrong_key_is_told_before_anything_is_asked():
    with WireServer("groq", key="another") as server:
        with pytest.raises(QeuError, match=r"Groq refuses the key \(401\)"):
            HostedPool(QUICK).open(find_model(f"groq/{LLAMA}"), keyring_for(server))
        assert server.completions == []


def test_a_server_that_wants_a_key_and_got_none_asks_for_one():
    with WireServer("openai", key="k") as server, pytest.raises(QeuError, match="asks for a key"):
        HostedPool(QUICK).open(find_model("server/some-model"), keyring_for(server, ""))


def test_nobody_listening_is_told_with_the_address():
    with RawServer(lambda connection, request: None) as gone:
        address = gone.address
    keyring = Keyring({}, {"server": address})
    with pytest.raises(QeuError, match="cannot be reached: it refuses the connection"):
        HostedPool(QUICK).open(find_model("server/any"), keyring)


def test_a_mended_server_is_asked_again_at_once():
    answers = iter([reply("500 Oops", b"{}"), reply("200 OK", b'{"data": [{"id": "m"}]}')])

    def answer(connection, request):
        listing = b"/models" in request
        connection.sendall(next(answers) if listing else reply("404 Not Found", b"{}"))

    with RawServer(answer) as server:
        pool = HostedPool(QUICK)
        keyring = Keyring({}, {"server": server.address})
        with pytest.raises(QeuError, match="500"):
            pool.list_models("server", keyring)
        assert [card.id for card in pool.list_models("server", keyring)] == ["m"]


@pytest.mark.parametrize("body", [b"<html>Hello</html>", b'{"data": "no"}', b"[]", b"7", b"{}"])
def test_a_list_that_is_none_is_told(body):
    with RawServer(lambda connection, request: connection.sendall(reply("200 OK", body))) as server:
        keyring = Keyring({}, {"server": server.address})
        with pytest.raises(QeuError, match="cannot be read"):
            HostedPool(QUICK).list_models("server", keyring)


def test_entries_of_a_list_that_are_no_models_are_left_out():
    body = b'{"data": [1, {"id": 7}, {"name": "x"}, {"id": "good"}, {"id": ""}]}'
    with RawServer(lambda connection, request: connection.sendall(reply("200 OK", body))) as server:
        keyring = Keyring({}, {"server": server.address})
        cards = HostedPool(QUICK).list_models("server", keyring)
    assert [card.id for card in cards] == ["good"]


def test_a_list_without_end_is_left():
    def answer(connection, request):
        connection.sendall(reply("200 OK", b'{"data": ["'))
        while True:
            connection.sendall(b"x" * 65_536)

    with RawServer(answer) as server:
        keyring = Keyring({}, {"server": server.address})
        with pytest.raises(QeuError, match="more than 8,000,000 bytes"):
            HostedPool(QUICK).list_models("server", keyring)


def test_a_redirect_is_not_followed_and_no_key_goes_there():
    def away(connection, request):
        connection.sendall(reply("307 Moved", b"", f"Location: {other.address}/models"))

    with RawServer(lambda connection, request: None) as other, RawServer(away) as server:
        keyring = Keyring({"server": KEY}, {"server": server.address})
        with pytest.raises(QeuError, match="which is not followed"):
            HostedPool(QUICK).list_models("server", keyring)
        assert other.requests == []


def test_a_bare_host_gets_the_usual_path():
    with WireServer("openai") as server:
        keyring = Keyring({}, {"server": server.address})
        cards = HostedPool(QUICK).list_models("server", keyring)
    assert [card.id for card in cards] == ["some-model"]


def test_an_unused_key_is_let_go():
    clock = FakeClock()
    with WireServer("groq") as server:
        pool, keyring = HostedPool(QUICK, clock), keyring_for(server)
        model = pool.open(find_model(f"groq/{LLAMA}"), keyring)
        clock.now += IDLE_S + 1
        pool.list_models("groq", keyring_for(server, "other-key"))
        assert model._client._key == ""
        again = pool.open(find_model(f"groq/{LLAMA}"), keyring)
        assert again.generate([row()])[0].error == ""
        pool.forget("groq", keyring)
        assert again._client._key == ""


def test_no_repr_tells_a_key():
    with WireServer("groq") as server:
        pool, keyring = HostedPool(QUICK), keyring_for(server)
        model = pool.open(find_model(f"groq/{LLAMA}"), keyring)
    told = repr([pool, keyring, model, model._client, vars(model), pool._doors])
    assert KEY not in told


def test_a_silent_list_ends_after_the_connect_time():
    def silent(connection, request):
        connection.recv(1)

    late = r"did not give its list of models within 0\.3 s"
    with RawServer(silent) as server, pytest.raises(QeuError, match=late):
        open_raw(server, replace(QUICK, connect_s=0.3))
