"""Keys and addresses: what is read, what is refused, and that nothing shows a key."""

import json
from dataclasses import asdict

import pytest

from qeu.backends.keyring import GROQ_ADDRESS, Keyring, checked_address
from qeu.core.errors import UsageError

KEY = "gsk_never_shown"


def test_the_environment_names_keys_and_servers():
    ring = Keyring.from_env(
        {
            "GROQ_API_KEY": f" {KEY} ",
            "OPENAI_API_KEY": "sk-other",
            "QEU_SERVERS": "http://localhost:8000/v1, lab=https://gpu.example:8443/v1/,",
        }
    )
    assert ring.providers == ("groq", "server", "server:lab")
    assert (ring.key("groq"), ring.address("groq")) == (KEY, GROQ_ADDRESS)
    assert (ring.key("server"), ring.address("server")) == ("sk-other", "http://localhost:8000/v1")
    assert ring.address("server:lab") == "https://gpu.example:8443/v1"


def test_a_key_is_never_sent_to_a_server_it_was_not_given_for():
    ring = Keyring.from_env({"OPENAI_API_KEY": "sk", "QEU_SERVERS": "lab=http://elsewhere/v1"})
    assert ring.key("server:lab") is None
    assert ring.providers == ("server:lab",)


def test_an_empty_environment_offers_nothing():
    assert Keyring.from_env({"GROQ_API_KEY": "  ", "QEU_SERVERS": " , "}).providers == ()


def test_nothing_that_is_printed_holds_the_key():
    ring = Keyring().with_key("groq", KEY).with_server("http://localhost:1/v1")
    for shown in (repr(ring), str(ring), f"{ring}", ring.identity("groq")):
        assert KEY not in shown
    assert "localhost" in repr(ring)
    # only who takes it apart on purpose gets it
    assert KEY in json.dumps(asdict(ring))


def test_one_identity_a_key_and_address():
    one = Keyring().with_key("groq", KEY)
    assert one.identity("groq") == Keyring().with_key("groq", KEY).identity("groq")
    assert one.identity("groq") != Keyring().with_key("groq", "gsk_second").identity("groq")
    lab = Keyring().with_server("http://a/v1", "lab")
    assert lab.identity("server:lab") != Keyring().with_server("http://b/v1", "lab").identity(
        "server:lab"
    )


def test_an_empty_key_and_without_take_it_away():
    ring = Keyring().with_key("groq", KEY).with_server("http://a/v1", "lab")
    assert ring.with_key("groq", " ").providers == ("server:lab",)
    assert ring.without("groq").providers == ("server:lab",)
    assert ring.without("server:lab").providers == ("groq",)


@pytest.mark.parametrize("key", ["two words", "schlüssel", "line\nbreak", "zero\x00"])
def test_what_cannot_be_a_key_is_refused_without_repeating_it(key):
    with pytest.raises(UsageError, match="not a key") as raised:
        Keyring().with_key("groq", key)
    assert key not in str(raised.value)


@pytest.mark.parametrize(
    "address", ["", "localhost:8000", "ftp://a", "file:///etc/passwd", "http://", "http://a:99999"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(UsageError, match="not the address of a server"):
        checked_address(address)


@pytest.mark.parametrize("address", ["http://me:pw@host/v1", "http://h/v1?key=s", "http://h/#s"])
def test_secrets_have_no_place_in_an_address(address):
    with pytest.raises(UsageError, match="must not hold") as raised:
        checked_address(address)
    assert "pw" not in str(raised.value)


@pytest.mark.parametrize("name", ["a b", "ü", "a/b", "a:b", "../x"])
def test_a_server_has_a_plain_name(name):
    with pytest.raises(UsageError, match="cannot name a server"):
        Keyring().with_server("http://a/v1", name)
