"""Which pair the page begins with, and the reason it gives."""

import json
from dataclasses import dataclass

import pytest

from qeu.backends.memory import has_gpu
from qeu.cli.models import tell_defaults
from qeu.core.settings import Settings
from qeu.services.defaults import (
    AdapterChoice,
    DefaultSide,
    Machine,
    choose_adapter,
    choose_defaults,
    look_at_machine,
)

GB = 10**9
HERE = {"phi-2": 0, "llama-3-8b": 0}
LARGE_GPU = Machine(True, 40 * GB, HERE)
GROQ = "groq/llama-3.3-70b-versatile"
SHIPPED = AdapterChoice("thinks-first", target="both")


def pair(*args) -> tuple[str, str]:
    found = choose_defaults(*args)
    return found.left.model, found.right.model


class TestPair:
    def test_a_gpu_with_room_and_weights_gets_phi_2_and_llama_3(self) -> None:
        found = choose_defaults(LARGE_GPU)
        assert (found.left.model, found.right.model) == ("phi-2", "llama-3-8b")
        assert found.code == "pair"
        assert found.facts["free"] == "40.0"
        # BONSAI: both in 4 bits share a card of 16 GB
        assert 6 < float(found.facts["needed"]) < 12

    def test_weights_that_are_here_come_before_those_of_a_download(self) -> None:
        machine = Machine(True, 40 * GB, {"phi-2": 0, "llama-3-8b": 16 * GB, "llama-3-8b-4bit": 0})
        found = choose_defaults(machine)
        assert found.right.model == "llama-3-8b-4bit"
        assert found.code == "pair"

    def test_a_download_is_told_with_its_size(self) -> None:
        machine = Machine(True, 40 * GB, {"phi-2": 5_560_000_000, "llama-3-8b": 16 * GB})
        found = choose_defaults(machine)
        assert found.code == "pair_fetch"
        assert found.facts["fetch"] == "21.6"
        assert "21.6 GB" in tell_defaults(found)

    @pytest.mark.parametrize("room", [0, 3 * GB, 6 * GB])
    def test_a_gpu_without_room_for_both_gets_the_embedded_model(self, room: int) -> None:
        found = choose_defaults(Machine(True, room, HERE), "", SHIPPED)
        assert (found.left.model, found.right.model) == (
            "smollm2-135m",
            "smollm2-135m@thinks-first",
        )
        assert found.why == "no_room"
        assert f"{room / GB:.1f} GB free" in tell_defaults(found)

    @pytest.mark.parametrize("fetch", [{}, {"phi-2": 0}, {"llama-3-8b": 0}])
    def test_a_gpu_without_weights_says_that_the_hub_is_silent(self, fetch: dict) -> None:
        found = choose_defaults(Machine(True, 40 * GB, fetch), "", SHIPPED)
        assert found.left.model == "smollm2-135m"
        assert found.why == "no_weights"
        assert "Hub" in tell_defaults(found)


class TestTeacher:
    def test_stands_on_the_right_beside_the_embedded_model(self) -> None:
        found = choose_defaults(Machine(), GROQ, SHIPPED)
        assert (found.left.model, found.right.model) == ("smollm2-135m", GROQ)
        assert found.code == "teacher"
        assert GROQ in tell_defaults(found)

    def test_stands_beside_phi_2_where_a_gpu_runs_it(self) -> None:
        assert pair(LARGE_GPU, GROQ) == ("phi-2", GROQ)

    def test_needs_no_room_for_a_second_local_model(self) -> None:
        assert pair(Machine(True, 5 * GB, HERE), GROQ) == ("phi-2", GROQ)

    @pytest.mark.parametrize(
        "machine", [Machine(True, GB, HERE), Machine(True, 40 * GB, {"llama-3-8b": 0})]
    )
    def test_stands_beside_the_embedded_model_where_phi_2_cannot_run(
        self, machine: Machine
    ) -> None:
        assert pair(machine, GROQ) == ("smollm2-135m", GROQ)


class TestEmbedded:
    def test_without_gpu_and_key_the_adapter_is_on_the_right_as_it_learned(self) -> None:
        found = choose_defaults(Machine(), "", SHIPPED)
        assert found.right == DefaultSide("smollm2-135m@thinks-first", "both")
        assert found.left == DefaultSide("smollm2-135m")
        assert (found.code, found.why) == ("adapter", "no_gpu")

    def test_without_an_adapter_it_stands_on_both_sides(self) -> None:
        found = choose_defaults(Machine())
        assert found.left == found.right == DefaultSide("smollm2-135m")
        assert (found.code, found.why) == ("alone", "no_gpu")

    def test_the_shipped_adapter_comes_before_others(self) -> None:
        others = [AdapterChoice("aaa"), SHIPPED, AdapterChoice("zzz")]
        assert choose_adapter(others) == SHIPPED

    def test_an_adapter_of_another_base_is_left_out(self) -> None:
        of_phi = AdapterChoice("thinks-first", base="phi-2")
        own = AdapterChoice("mine")
        assert choose_adapter([of_phi]) is None
        assert choose_adapter([of_phi, own]) == own


EVERY = [
    choose_defaults(machine, teacher, adapter)
    for machine in (
        Machine(),
        Machine(True, GB, HERE),
        Machine(True, 40 * GB, {}),
        LARGE_GPU,
        Machine(True, 40 * GB, {"phi-2": 1, "llama-3-8b": 1}),
    )
    for teacher in ("", GROQ)
    for adapter in (None, SHIPPED)
]


@pytest.mark.parametrize("defaults", EVERY, ids=lambda d: f"{d.code}-{d.why}-{d.left.model}")
def test_every_choice_explains_itself_in_one_line_and_as_json(defaults) -> None:
    told = tell_defaults(defaults)
    assert "{" not in told
    assert "\n" not in told
    assert told.endswith(".")
    again = json.loads(json.dumps(defaults.to_json()))
    assert again["right"]["model"] == defaults.right.model
    assert again["code"] == defaults.code


def test_the_cases_above_are_all_there_are() -> None:
    assert {d.code for d in EVERY} == {"pair", "pair_fetch", "teacher", "adapter", "alone"}
    assert {d.why for d in EVERY} == {"", "no_gpu", "no_room", "no_weights"}


@dataclass
class NoMemory:
    """A machine that must not be asked."""

    def free_bytes(self) -> int:
        raise AssertionError("asked for free memory where there is no GPU")

    def loaded(self) -> list:
        raise AssertionError("asked for loaded models where there is no GPU")


def test_a_machine_without_a_gpu_is_not_looked_at_any_further() -> None:
    assert look_at_machine(Settings(device="cpu"), NoMemory()) == Machine()
    if not has_gpu():
        assert look_at_machine(Settings(), NoMemory()) == Machine()
