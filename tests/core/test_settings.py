"""Settings read from an environment."""

from dataclasses import fields
from pathlib import Path

import pytest

from qeu.core.errors import UsageError
from qeu.core.settings import Settings


def test_an_empty_environment_gives_a_private_page_on_this_machine():
    settings = Settings.from_env({})
    assert (settings.host, settings.port, settings.public) == ("127.0.0.1", 7860, False)
    assert settings.home == Path("workspace")
    assert settings == Settings()


def test_every_setting_is_read_from_its_name():
    environ = {
        "QEU_HOME": "/data/ws",
        "QEU_CACHE": "~/c",
        "QEU_ADAPTERS": "/data/a",
        "QEU_HOST": "0.0.0.0",
        "QEU_PORT": "8080",
        "QEU_PUBLIC": "1",
        "QEU_DEVICE": "cpu",
        "QEU_DTYPE": "float32",
        "QEU_SHARE": "1",
        "QEU_PASSWORD": "a long word",
        "QEU_PUBLIC_BUDGET": "100000",
        "QEU_PUBLIC_TOKENS": "128",
        "QEU_PUBLIC_QUEUE": "4",
        "QEU_IDLE_MINUTES": "30",
        "QEU_MCP": "1",
    }
    settings = Settings.from_env(environ)
    assert {name for name, _, _ in Settings.table()} == set(environ)
    assert settings == Settings(
        Path("/data/ws"),
        Path("~/c").expanduser(),
        Path("/data/a"),
        "0.0.0.0",
        8080,
        True,
        "cpu",
        "float32",
        True,
        "a long word",
        100_000,
        128,
        4,
        30,
        True,
    )
    assert all(getattr(settings, f.name) != f.default for f in fields(Settings))


def test_blank_values_are_as_good_as_none():
    assert Settings.from_env({"QEU_PORT": " ", "QEU_PUBLIC": ""}) == Settings()


def test_the_cache_folder_is_resolved_and_lies_outside_the_workspace():
    assert Settings().cache_dir == Path.home() / ".cache" / "qeu"


@pytest.mark.parametrize("host", [{}, {"QEU_HOST": "127.0.0.1"}, {"QEU_HOME": "/data"}])
def test_a_space_is_public_whatever_else_is_set(host):
    settings = Settings.from_env({"SPACE_ID": "qeu/playground", **host})
    assert settings.public
    assert settings.host == host.get("QEU_HOST", "0.0.0.0")


def test_only_qeu_public_itself_opens_a_space_to_its_owner():
    assert not Settings.from_env({"SPACE_ID": "a/b", "QEU_PUBLIC": "0"}).public


@pytest.mark.parametrize(
    ("word", "public"), [("1", True), ("Yes", True), ("off", False), ("0", False)]
)
def test_switches_take_the_usual_words(word, public):
    assert Settings.from_env({"QEU_PUBLIC": word}).public is public


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("QEU_PORT", "0"),
        ("QEU_PORT", "65536"),
        ("QEU_PORT", "http"),
        ("QEU_PORT", "-1"),
        ("QEU_PORT", "²"),
        ("QEU_PORT", "9" * 5_000),
        ("QEU_PUBLIC", "maybe"),
        ("QEU_DEVICE", "tpu"),
        ("QEU_DTYPE", "int9"),
        ("QEU_SHARE", "link"),
        ("QEU_PASSWORD", "short"),
        ("QEU_PUBLIC_BUDGET", "-1"),
        ("QEU_PUBLIC_BUDGET", "1e6"),
        ("QEU_PUBLIC_BUDGET", "9" * 5_000),
        ("QEU_PUBLIC_TOKENS", "0"),
        ("QEU_PUBLIC_TOKENS", "4097"),
        ("QEU_PUBLIC_QUEUE", "0"),
        ("QEU_PUBLIC_QUEUE", "many"),
        ("QEU_IDLE_MINUTES", "0.5"),
        ("QEU_IDLE_MINUTES", "10081"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(name, value):
    with pytest.raises(UsageError, match=name):
        Settings.from_env({name: value})


@pytest.mark.parametrize(
    ("environ", "public"),
    [
        ({"QEU_SHARE": "1"}, True),
        ({"QEU_SHARE": "1", "QEU_PASSWORD": " "}, True),
        ({"QEU_SHARE": "1", "QEU_PASSWORD": "a long word"}, False),
        ({"QEU_SHARE": "1", "QEU_PASSWORD": "a long word", "QEU_PUBLIC": "1"}, True),
        ({"QEU_PASSWORD": "a long word"}, False),
        ({"QEU_PASSWORD": "a long word", "SPACE_ID": "a/b"}, True),
    ],
)
def test_a_share_link_is_public_unless_a_password_guards_it(environ, public):
    assert Settings.from_env(environ).public is public


def test_a_share_link_to_a_private_page_without_a_password_is_refused():
    with pytest.raises(UsageError, match="QEU_PASSWORD"):
        Settings.from_env({"QEU_SHARE": "1", "QEU_PUBLIC": "0"})


def test_the_password_is_never_shown():
    word = "correct horse"
    settings = Settings.from_env({"QEU_PASSWORD": word})
    assert settings.password == word
    assert word not in repr(settings) + str(settings) + f"{Settings.table()}"
    with pytest.raises(UsageError) as refused:
        Settings.from_env({"QEU_PASSWORD": "tiny42"})
    assert "tiny42" not in str(refused.value)


def test_a_bad_number_is_told_with_its_limits():
    with pytest.raises(UsageError, match=r"'0'.* from 1 to 4096"):
        Settings.from_env({"QEU_PUBLIC_TOKENS": "0"})
    with pytest.raises(UsageError, match=r"a port from 1 to 65535"):
        Settings.from_env({"QEU_PORT": "0"})


def test_the_table_names_default_and_meaning_of_each():
    table = {name: (default, meaning) for name, default, meaning in Settings.table()}
    assert table["QEU_PUBLIC"][0] == "0"
    assert table["QEU_CACHE"][0] == "~/.cache/qeu"
    assert table["QEU_PASSWORD"][0] == "none"
    assert all(meaning.endswith(".") for _, meaning in table.values())
