"""What the Train tab shows of runs, plans and examples: HTML from folders and plans, no browser."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from qeu.core.length_stats import make_histogram
from qeu.services.train_examples import ShownExample, ShownPiece
from qeu.services.train_order import TrainOrder
from qeu.services.train_plan import ExampleRef, TrainPlan
from qeu.services.train_probe_run import ProbeResult
from qeu.store.run_folders import METRICS
from qeu.ui.strings import LANGUAGES
from qeu.ui.train_compare_view import compare_html
from qeu.ui.train_live_view import curves_html, head_html, log_html, samples_html
from qeu.ui.train_plan_view import plan_html, probe_html
from qeu.ui.train_reader import MOST_POINTS, RunReader, read_run
from qeu.ui.train_runs_view import runs_html
from qeu.ui.train_tokens_view import examples_html
from tests.ui.train_runs import make_run


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.fixture
def reader() -> RunReader:
    return RunReader()


def listed(runs, reader: RunReader, **more) -> str:
    views = [read_run(run) for run in runs]
    curves = {view.name: reader.curves(view.folder) for view in views}
    options = {"chosen": [], "asked": "", "more": 0, "language": "en", "may_change": True} | more
    may_change = options.pop("may_change")
    return runs_html(views, curves, *options.values(), may_change=may_change)


class TestList:
    def test_a_run_says_how_far_it_is_and_what_it_came_to(self, tmp_path, reader):
        run = make_run(tmp_path, "poems", "running", step=23, left_s=84.4, phase="samples")
        told = plain(listed([run], reader))
        assert "learning" in told
        assert (
            "step 23 of 60 · writing samples · 1 min left · loss 2.540 · validation 2.100" in told
        )

    @pytest.mark.parametrize(
        ("state", "deeds"),
        [
            ("queued", ["keep", "discard", "refill"]),
            ("running", ["keep", "discard", "refill"]),
            ("saving", ["keep", "discard", "refill"]),
            ("finished", ["evaluate", "delete", "refill"]),
            ("stopped", ["resume", "delete", "refill"]),
            ("failed", ["resume", "delete", "refill"]),
        ],
    )
    def test_only_what_can_be_done_is_offered(self, tmp_path, reader, state, deeds):
        html = listed([make_run(tmp_path, "poems", state)], reader)
        found = re.findall(r'class="q-deed" data-do="(\w+)"', html)
        assert found == deeds

    def test_a_public_page_offers_nothing(self, tmp_path, reader):
        run = make_run(tmp_path, "poems", "stopped")
        html = listed([run], reader, may_change=False)
        assert re.findall(r'data-do="(\w+)"', html) == ["choose"]

    def test_what_cannot_be_taken_back_is_asked_about(self, tmp_path, reader):
        html = listed([make_run(tmp_path, "poems")], reader, asked="delete poems")
        assert re.findall(r'data-do="(\w+)"', html) == ["choose", "delete_sure", "never_mind"]

    def test_a_process_that_is_gone_is_an_interrupted_run(self, tmp_path, reader):
        run = make_run(tmp_path, "poems", "running")
        run.write_status(replace(run.written_status(), owner="1:never"))
        html = listed([run], reader)
        assert 'data-state="interrupted"' in html
        assert "resume" in re.findall(r'data-do="(\w+)"', html)

    def test_a_broken_folder_is_told_and_hides_nothing(self, tmp_path, reader):
        broken, fine = make_run(tmp_path, "broken"), make_run(tmp_path, "fine")
        (broken.path / "run.json").write_text("{", "utf-8")
        told = plain(listed([broken, fine], reader))
        assert "run.json of broken cannot be read" in told
        assert "fine" in told


class TestLive:
    def test_every_curve_has_its_picture(self, tmp_path, reader):
        run = make_run(tmp_path, "poems")
        html = curves_html([read_run(run)], {"poems": reader.curves(run)}, 0.6, True, "en")
        assert html.count("<figure") == 7
        assert "keeps the rules" in html
        assert ">100%<" in html

    def test_several_runs_share_the_pictures(self, tmp_path, reader):
        runs = [make_run(tmp_path, name) for name in ("one", "two")]
        curves = {run.name: reader.curves(run) for run in runs}
        html = curves_html([read_run(run) for run in runs], curves, 0.0, False, "en")
        assert html.count("<figure") == 7
        assert "one: training" in html
        assert "two: training" in html

    def test_a_run_that_failed_says_its_class_and_the_next_step(self, tmp_path):
        run = make_run(
            tmp_path, "poems", "failed", trouble="nan", message="The loss is NaN at step 7.",
            advice="Lower the learning rate.",
        )  # fmt: skip
        told = plain(head_html([read_run(run)], "en"))
        assert "The loss was no number The loss is NaN at step 7. Lower the learning rate." in told

    def test_samples_are_shown_by_step_and_as_text(self, tmp_path, reader):
        run = make_run(tmp_path, "poems")
        samples, view = reader.samples(run), read_run(run)
        last, first = (samples_html(view, samples, step, "en") for step in (None, 0))
        assert "Asked at 40?" in last
        assert "Asked at 0?" in first
        assert "<img" not in last
        assert re.findall(r'data-do="step" data-value="(\d+)"', first) == ["20"]
        assert "step 0: the base" in first

    def test_samples_say_what_they_keep_and_break(self, tmp_path, reader):
        run = make_run(tmp_path, "poems", step=0)
        row = reader.samples(run)[0]["samples"][0] | {"leak": True, "closed": False, "loop": None}
        told = plain(samples_html(read_run(run), [{"step": 0, "samples": [row]}], None, "en"))
        assert "✓ rules ✗ leak ✗ not ended" in told

    def test_the_log_is_text(self, tmp_path):
        run = make_run(tmp_path, "poems")
        (run.path / "train.log").write_text("<script>alert(1)</script>", "utf-8")
        assert "<script" not in log_html([read_run(run)], "en")


class TestCompare:
    def test_settings_that_differ_and_last_figures(self, tmp_path, reader):
        runs = [make_run(tmp_path, "one"), make_run(tmp_path, "two", seed=8, step=20)]
        curves = {run.name: reader.curves(run) for run in runs}
        told = plain(compare_html([read_run(run) for run in runs], curves, "en"))
        assert "seed 7 8" in told
        assert "Steps done 40 20" in told
        assert "training 2.200 2.600" in told
        assert "layout " not in told

    def test_one_run_has_nothing_beside_it(self, tmp_path):
        assert compare_html([read_run(make_run(tmp_path, "one"))], {}, "en") == ""


class TestReader:
    def test_a_run_of_many_steps_is_thinned_out(self, tmp_path, reader):
        run = make_run(tmp_path, "long", step=0)
        line = '{{"kind":"train","step":{},"time":"","loss":{},"memory":1}}\n'
        text = "".join(line.format(step, step / 10_000) for step in range(1, 20_001))
        (run.path / METRICS).write_text(text + '{"kind":"validation","step":7,"loss":1.5}\n')
        curves = reader.curves(run)
        loss = curves.of("train", "loss")
        assert len(loss) <= MOST_POINTS
        assert loss[-1][0] == 20_000
        assert all(abs(value - step / 10_000) < 0.01 for step, value in loss)
        assert curves.of("validation", "loss") == [(7, 1.5)]

    def test_what_is_appended_is_seen(self, tmp_path, reader):
        run = make_run(tmp_path, "poems")
        assert reader.curves(run).last("train", "loss") == pytest.approx(2.2)
        reader._kept.clear()  # as after a rest
        run.add_metric("train", 41, {"loss": 1.0})
        assert reader.curves(run).last("train", "loss") == 1.0

    def test_an_unchanged_file_is_not_read_again(self, tmp_path, reader, monkeypatch):
        run = make_run(tmp_path, "poems")
        first = reader.curves(run)
        monkeypatch.setattr(Path, "read_text", None)
        assert reader.curves(run) is first


PLAN = TrainPlan(
    TrainOrder("poems", "smollm2-135m", "demo"),
    matched=30,
    examples=27,
    left_out={"no_reasoning": 3},
    field_tokens={"instruction": 400, "reasoning": 600},
    learned=580,
    lengths=make_histogram([100] * 20 + [700] * 7, (0, 256, 512, 1024)),
    cuts={512: {"nothing": 20, "answer_lost": 7}, 1024: {"nothing": 27}},
    keep_length=700,
    rows=10,
    time_s=120.0,
    notes=("Set max_length to 700 to keep 99% of the examples whole; it is 512.",),
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plan_in_every_language(language):
    html = plan_html(PLAN, language)
    assert 'data-do="length" data-value="700"' in html
    assert re.search(r'class="q-chosen"><th scope="row">512<', html)


def test_a_plan_in_words():
    told = plain(plan_html(PLAN, "en"))
    assert "27 examples of 30 records" in told
    assert "3 without a reasoning, where it is to be learned" in told
    assert "512 20 7 1,024 27 ·" in told
    assert "2 min" in told


def test_problems_come_first_and_as_text():
    html = plan_html(replace(PLAN, problems=("Name <b> is taken.",)), "en")
    assert html.startswith('<div class="q-problems" role="alert">')
    assert "<b> is" not in html


@pytest.mark.parametrize("fits", [True, False])
def test_a_tried_step_gives_its_verdict(fits):
    html = probe_html(ProbeResult(fits, "A step of 512 tokens takes 2.1 s."), "en")
    assert ("it fits" in plain(html)) == fits
    assert "512 tokens takes 2.1 s" in html
    assert probe_html(None, "en") == ""


def test_tokens_are_tinted_cut_and_grey_where_only_read():
    pieces = (
        ShownPiece("Add", 1, "instruction", False),
        ShownPiece("🙂", 3, "reasoning", True),
        ShownPiece("\n5 < 6", 1, "output", True),
        ShownPiece("<|end|>", 1, "end", True, control=True),
    )
    example = ShownExample(ExampleRef("median", 1, "1EN", 6), pieces, 3, limit=4)
    html = examples_html([example], "en")
    assert '<i class="q-token f-instruction" title="question' in html
    assert 'class="q-token f-reasoning q-learned q-joined"' in html
    before, after = html.split("q-token-cut")
    assert "🙂" in before
    assert "5 &lt; 6" in after
    assert "&lt;|end|&gt;" in after
    assert 'data-example="median" open' in html


def test_a_character_that_the_cut_would_halve_is_cut_off():
    pieces = (ShownPiece("a", 1, "output", True), ShownPiece("🙂", 3, "output", True))
    example = ShownExample(ExampleRef("longest", 1, "1EN", 4), pieces, 3, limit=2)
    assert [p.text for p in example.split()[0]] == ["a"]
    assert [p.text for p in example.split()[1]] == ["🙂"]
