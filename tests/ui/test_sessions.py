"""What the server remembers of pages, and what it lets go of."""

from types import SimpleNamespace

from qeu.ui.sessions import Sessions


def page(name: str) -> SimpleNamespace:
    return SimpleNamespace(session_hash=name)


class Ended:
    """Counts how often it was told to end."""

    def __init__(self) -> None:
        self.times = 0

    def stop(self) -> None:
        self.times += 1


def test_a_page_keeps_its_session_until_it_goes():
    sessions = Sessions()
    session = sessions.of(page("a"))
    assert sessions.of(page("a")) is session
    session.runs["compare"] = run = Ended()  # type: ignore[assignment]
    workspace = session.own_workspace()
    sessions.end(page("a"))
    assert run.times == 1
    assert sessions.of(page("a")) is not session
    sessions.end(page("never seen"))
    assert workspace is session.workspace


def test_a_tab_stands_in_the_language_it_was_last_filled_in():
    session = Sessions().of(page("a"))
    assert not session.has_opened("train")
    # the page is built in English
    assert not session.open_tab("train", "en")
    assert session.has_opened("train")
    assert session.open_tab("train", "ja")
    assert not session.open_tab("train", "ja")
    assert not session.has_opened("dataset")
    assert session.open_tab("dataset", "ja")


def test_of_too_many_the_longest_unused_ends():
    sessions = Sessions(most=3)
    runs = {}
    for name in "abc":
        sessions.of(page(name)).runs["x"] = runs[name] = Ended()  # type: ignore[assignment]
    sessions.of(page("a"))
    for name in "de":
        sessions.of(page(name))
    assert {name: run.times for name, run in runs.items()} == {"a": 0, "b": 1, "c": 1}
