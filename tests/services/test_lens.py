"""The next-token view on real (tiny) models: it shows what the engine did, and computes it once."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import qeu
from qeu.backends.base import Row
from qeu.core.errors import QeuError, UsageError
from qeu.core.record import Record
from qeu.core.roles import ROLES
from qeu.core.sampling import Sampling
from qeu.core.settings import Settings
from qeu.services.asks import Ask
from qeu.services.lens import Lens, put_token, redraw
from qeu.services.lens_reader import LensSide
from qeu.services.limited_engines import LimitedModel
from qeu.services.public_limits import PublicLimits
from qeu.services.runs import Run
from tests.backends.tiny_engine import build_adapter, tiny_local
from tests.services.lens_engines import TinyEngines, ask_of, with_seed, write, written

ROOT = Path(qeu.__file__).parent.parent
DRAWN = {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "repetition_penalty": 1.2}
GREEDY = {"greedy": True, "repetition_penalty": 1.2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lens")


@pytest.fixture(scope="module")
def engines(folder):
    models = {"a": tiny_local(folder, adapters=folder / "adapters"), "b": tiny_local(folder, "phi")}
    build_adapter(folder / "llama", folder / "adapters" / "learned")
    found = TinyEngines(models, folder / "adapters")
    for name, model in models.items():
        model.name = name
        model._aliases = ("tiny-llama", "tiny-phi")
    return found


class TestLook:
    @pytest.mark.parametrize("sampling", [DRAWN, GREEDY], ids=["drawn", "greedy"])
    def test_the_chosen_token_is_the_one_that_was_written_everywhere(self, engines, sampling):
        lens, told = Lens(), 0
        for seed in range(4):
            side = written(engines, with_seed(ask_of("a", **sampling), seed))
            for position, token in enumerate(side.token_ids):
                picture = lens.look(engines, side, position).picture
                assert picture.chosen == picture.written == token
                assert not picture.find(token).removed_by
                told += 1
        assert told > 40

    def test_other_positions_and_settings_of_a_text_compute_nothing(self, engines):
        lens, side = Lens(), written(engines, ask_of("a", **DRAWN))
        before = engines.passes
        look = lens.look(engines, side, 0)
        assert engines.passes == before + 1
        lens.look(engines, side, 7)
        lens.look(engines, side)
        lens.surprise(engines, side)
        hotter = redraw(look, replace(look.sampling, temperature=3.0, top_k=0, top_p=1.0))
        assert engines.passes == before + 1
        assert hotter.picture.entropy_after > look.picture.entropy_after
        assert hotter.picture.entropy_before == look.picture.entropy_before
        assert hotter.picture.written == look.picture.written
        assert redraw(hotter, look.sampling) == look

    def test_the_end_of_the_prompt_needs_no_text(self, engines):
        ask = ask_of("a", **DRAWN)
        look = Lens().look(engines, LensSide(ask))
        assert (look.position, look.picture.written, look.tokens) == (0, None, ())
        assert look.picture.chosen == write(engines, ask).token_ids[0]
        assert json.loads(json.dumps(look.to_json())) == look.to_json()

    def test_behind_the_end_nothing_is_written(self, engines):
        side = written(engines, ask_of("a", **DRAWN))
        look = Lens().look(engines, side)
        assert look.position == len(side.token_ids) == len(look.tokens)
        assert look.picture.written is None

    @pytest.mark.parametrize("position", [-1, 25])
    def test_a_position_outside_is_refused(self, engines, position):
        side = written(engines, ask_of("a", **DRAWN))
        with pytest.raises(UsageError, match=r"Choose 0 .* to 24"):
            Lens().look(engines, side, position)

    def test_a_text_without_its_tokens_is_cut_again_and_says_so(self, engines):
        side = written(engines, ask_of("a", **GREEDY))
        stored = replace(side, token_ids=(), completion="The capital of")
        look = Lens().look(engines, stored, 1)
        assert "".join(token.shown for token in look.tokens) == "The␣capital␣of"
        assert any("cut into tokens again" in note for note in look.notes)

    def test_adapters_have_pictures_of_their_own(self, engines):
        lens = Lens()
        base, adapted = (lens.look(engines, LensSide(ask_of(m))) for m in ("a", "a@learned"))
        assert base.picture != adapted.picture
        assert adapted.picture.chosen == write(engines, ask_of("a@learned")).token_ids[0]

    def test_a_prompt_at_the_limit_of_the_context(self, engines):
        model = engines.models["b"]

        def tokens(words: int) -> int:
            return model.prepare(ask_of("b", "a " * words).prompt()).tokens

        base, each = 2 * tokens(100) - tokens(200), (tokens(200) - tokens(100)) // 100
        words = (model.context - base) // each
        assert 0 <= model.context - tokens(words) < each
        full = LensSide(ask_of("b", "a " * words))
        assert Lens().look(engines, full).picture.remaining > 0
        with pytest.raises(QeuError, match="Shorten the text"):
            Lens().look(engines, LensSide(ask_of("b", "a " * (words + each))))

    def test_hosted_models_are_told_apart_from_what_can_be_looked_into(self, engines):
        for name in ("groq/llama", "server/x"):
            with pytest.raises(QeuError, match=r"tells no probabilities .* read it"):
                Lens().look(engines, LensSide(ask_of(name)))

    def test_a_public_page_may_look_by_its_own_rules(self, engines, folder):
        limits = PublicLimits(Settings(adapters=folder / "none", public=True))
        model = LimitedModel(engines.models["a"], limits, hosted=False)
        guarded = replace(engines, models={})
        guarded.models["a"] = model
        look = Lens().look(guarded, LensSide(ask_of("a", **DRAWN)))
        assert look.picture == Lens().look(engines, LensSide(ask_of("a", **DRAWN))).picture
        with pytest.raises(QeuError, match="No adapter is offered"):
            Lens().look(guarded, LensSide(ask_of("a@learned")))

    def test_a_look_that_is_stopped_says_so(self, engines):
        stop = threading.Event()
        stop.set()
        with pytest.raises(QeuError, match="stopped"):
            Lens().look(engines, LensSide(ask_of("a", "Stopped")), stop=stop)

    def test_what_is_kept_stays_below_its_limit(self, engines):
        lens = Lens(limit_bytes=engines.models["a"].score_bytes * 3)
        for at in range(6):
            lens.look(engines, LensSide(ask_of("a", f"Question {at}")))
        assert lens._cache.memory_bytes == engines.models["a"].score_bytes * 3


class TestSurprise:
    def test_it_is_the_probability_of_each_token_without_any_settings(self, engines):
        lens, side = Lens(), written(engines, ask_of("a", **DRAWN))
        told = lens.surprise(engines, side)
        assert [token.token.id for token in told.tokens] == list(side.token_ids)
        for position, token in enumerate(told.tokens):
            seen = lens.look(engines, side, position).picture.find(token.token.id)
            assert 2**-token.bits == pytest.approx(seen.before, rel=1e-3)

    def test_reasoning_and_answer_are_apart(self, engines):
        text = "First read the question.\n<|response|>The answer is 156."
        side = LensSide(ask_of("a", target="both"), completion=text)
        told = Lens().surprise(engines, side)
        shown = {
            part: "".join(one.token.shown for one in told.tokens if one.part == part)
            for part in ("reasoning", "marker", "answer")
        }
        assert shown["reasoning"].startswith("First␣read")
        assert "<|response|>" in shown["marker"]
        assert "156" in shown["answer"]
        assert [mean.part for mean in told.means] == ["reasoning", "answer"]
        for mean in told.means:
            bits = [one.bits for one in told.tokens if one.part == mean.part]
            assert mean.bits == pytest.approx(sum(bits) / len(bits))

    def test_without_a_text_there_is_nothing_to_read(self, engines):
        with pytest.raises(UsageError, match="no text"):
            Lens().surprise(engines, LensSide(ask_of("a")))


class TestTwoSides:
    def test_base_and_adapter_part_where_their_texts_do(self, engines):
        left, right = (written(engines, ask_of(m, **GREEDY)) for m in ("a", "a@learned"))
        told = Lens().compare_two(engines, left, right)
        at = told.first_divergence
        assert left.token_ids[:at] == right.token_ids[:at]
        assert left.token_ids[at] != right.token_ids[at]
        assert not told.why
        assert max(one.divergence for one in told.left) > 0.01
        # what both read alike: the same tokens behind the same prompt
        for one, two in zip(told.left[:at], told.right[:at], strict=True):
            assert one.bits == pytest.approx(two.other_bits, abs=1e-4)

    def test_each_side_reads_the_other_text_behind_its_own_prompt(self, engines):
        left = written(engines, ask_of("a", "First read", **DRAWN))
        right = written(engines, ask_of("a@learned", "The capital", **DRAWN))
        lens = Lens()
        two = lens.compare_two(engines, left, right)
        for tokens, writer, other in ((two.left, left, right), (two.right, right, left)):
            own = Lens().surprise(engines, writer)
            read = Lens().surprise(engines, LensSide(other.ask, writer.token_ids))
            assert [one.bits for one in tokens] == [one.bits for one in own.tokens]
            assert [one.other_bits for one in tokens] == [one.bits for one in read.tokens]

    def test_a_side_beside_itself_learned_nothing(self, engines):
        side = written(engines, ask_of("a", **GREEDY))
        told = Lens().compare_two(engines, side, side)
        assert told.first_divergence is None
        assert all(one.divergence == 0 and one.bits == one.other_bits for one in told.left)

    def test_long_texts_are_compared_in_blocks_with_the_same_result(self, engines):
        left, right = (written(engines, ask_of(m, **DRAWN)) for m in ("a", "a@learned"))
        whole = Lens().compare_two(engines, left, right)
        lens, before = Lens(text_bytes=engines.models["a"].score_bytes * 5), engines.passes
        in_blocks = lens.compare_two(engines, left, right)
        blocks = sum(-(-(len(side.token_ids) + 1) // 5) for side in (left, right))
        assert engines.passes - before == 2 * blocks > 8
        for one, two in zip(whole.left, in_blocks.left, strict=True):
            assert one.divergence == pytest.approx(two.divergence, abs=1e-4)

    def test_different_tokenizers_are_explained(self, engines):
        left, right = written(engines, ask_of("a", **GREEDY)), written(engines, ask_of("b"))
        told = Lens().compare_two(engines, left, right)
        assert "different tokens" in told.why
        assert told.first_divergence is None
        assert {one.divergence for one in (*told.left, *told.right)} == {None}
        assert all(one.bits >= 0 for one in told.right)

    def test_no_pass_is_needed_after_a_comparison(self, engines):
        left, right = (written(engines, ask_of(m, **DRAWN)) for m in ("a", "a@learned"))
        lens = Lens()
        lens.compare_two(engines, left, right)
        before = engines.passes
        lens.look(engines, left, 3)
        lens.look(engines, right)
        assert engines.passes == before


class TestPutToken:
    def test_the_written_token_goes_on_as_it_did(self, engines):
        ask = ask_of("a", **DRAWN)
        side = written(engines, ask)
        look = Lens().look(engines, side, 6)
        again = write(engines, put_token(side, look, [side.token_ids[6]]))
        assert again.token_ids == side.token_ids

    def test_another_token_changes_what_follows_and_nothing_before(self, engines):
        side = written(engines, ask_of("a", **DRAWN))
        look = Lens().look(engines, side, 6)
        other = next(one.token for one in look.picture.candidates if one.token != side.token_ids[6])
        ask = put_token(side, look, [other])
        told = write(engines, ask)
        assert told.token_ids[:7] == (*side.token_ids[:6], other)
        assert told.new_tokens == len(told.token_ids) == 24
        assert any("the first 7 of the text" in note for note in told.receipt.notes)
        # and what was written then can be put under the lens in turn
        forked = LensSide.of(ask, told)
        for position in range(7, 24):
            picture = Lens().look(engines, forked, position).picture
            assert picture.chosen == told.token_ids[position]

    def test_the_text_begins_with_what_was_there(self, engines):
        side = written(engines, ask_of("a", **GREEDY))
        look = Lens().look(engines, side, 3)
        words = engines.models["a"].shown_tokens.encode(" 12 times 13")
        pieces: list[str] = []
        ask = put_token(side, look, words)
        row = Row(ask.prompt(), ask.sampling, begun=ask.begun)
        (told,) = engines.models["a"].generate([row], lambda piece: pieces.append(piece.text))
        assert "".join(pieces) == told.text
        assert " 12 times 13" in told.text
        assert told.tokens_per_s > 0

    def test_an_end_token_ends_the_text(self, engines):
        side = written(engines, ask_of("a", **GREEDY))
        look = Lens().look(engines, side, 3)
        (end,) = engines.models["a"].shown_tokens.encode("<|eot_id|>", specials=True)
        told = write(engines, put_token(side, look, [end]))
        assert (told.finish_reason, told.token_ids) == ("stop", (*side.token_ids[:3], end))

    def test_behind_a_full_text_there_is_room_again(self, engines):
        side = written(engines, ask_of("a", **GREEDY))
        look = Lens().look(engines, side)
        ask = put_token(side, look, [40])
        assert ask.sampling.max_new_tokens == 25 + 24
        full = replace(look, sampling=Sampling(max_new_tokens=4_096))
        full = replace(full, tokens=look.tokens * 171, position=24 * 171)
        with pytest.raises(UsageError, match="the most that one may have"):
            put_token(side, full, [40])

    @pytest.mark.parametrize("tokens", [[], [-1], [10**6]])
    def test_tokens_that_are_none_are_refused(self, engines, tokens):
        side = written(engines, ask_of("a", **GREEDY))
        with pytest.raises(UsageError, match=r"no token to put|does not exist"):
            put_token(side, Lens().look(engines, side, 3), tokens)


@pytest.fixture(scope="module")
def real(embedded_path):
    from qeu.backends.engines import open_engines

    settings = Settings(cache=embedded_path.parent, adapters=ROOT / "adapters")
    return open_engines(settings, {})


@pytest.mark.slow
class TestEmbeddedModel:
    """The embedded model and the shipped adapter, in float32 and alone in their batches."""

    def sides(self, engines, models, **sampling):
        asks = [
            Ask(
                str(at), model, Record("How is bread made?"), ROLES["assistant"], "answer",
                Sampling(max_new_tokens=32, **sampling), layout="chat",
            )
            for at, model in enumerate(models)
        ]  # fmt: skip
        with Run(engines, asks, exact=True) as run:
            assert run.wait(300)
            lives = list(run.live.values())
        assert [live.error for live in lives] == [""] * len(lives)
        return [LensSide.of(live.ask, live.generation, exact=True) for live in lives]

    @pytest.mark.parametrize("sampling", [GREEDY, {"temperature": 0.8, "seed": 3}], ids=str)
    def test_the_picture_chooses_what_the_engine_wrote_at_each_position(self, real, sampling):
        (side,) = self.sides(real, ["smollm2-135m"], **sampling)
        lens = Lens()
        for position, token in enumerate(side.token_ids):
            picture = lens.look(real, side, position).picture
            assert picture.chosen == token, position
        assert len(side.token_ids) == 32

    def test_what_the_adapter_changed_begins_where_the_texts_part(self, real):
        models = ["smollm2-135m", "smollm2-135m@thinks-first"]
        left, right = self.sides(real, models, **GREEDY)
        lens = Lens()
        two = lens.compare_two(real, left, right)
        at = two.first_divergence
        assert left.token_ids[:at] == right.token_ids[:at]
        assert left.token_ids[at] != right.token_ids[at]
        for side in (left, right):
            assert lens.look(real, side, at).picture.chosen == side.token_ids[at]
        assert two.left_means[0].divergence > 0.01
        assert two.left_means[0].other_bits > two.left_means[0].bits
