"""Merge, label, rules, check, split, stats, review on a workspace: preview, apply, undo."""

import json
import threading
from dataclasses import replace

import pytest

from qeu.backends.base import EchoBackend
from qeu.core.errors import QeuError
from qeu.core.labels import Label
from qeu.core.prompts import render
from qeu.core.roles import ROLES
from qeu.services.data_check import CheckOptions, check_dataset
from qeu.services.data_english_out import preview_english_out, run_english_out
from qeu.services.data_labels import Given, LabelOptions, preview_labels, run_labels
from qeu.services.data_merge import MergeOptions, merge_files, preview_merge
from qeu.services.data_review import set_status
from qeu.services.data_rules import dump_rules, load_rules, parse_rules, preview_rules, run_rules
from qeu.services.data_split import SplitOptions, split_dataset
from qeu.services.data_stats import TokenCounter, dataset_stats
from qeu.store.changes import edit_record
from qeu.store.datasets import Stopped, find_dataset
from qeu.store.filters import Filter
from qeu.store.findings import read_findings
from qeu.store.queries import count_matching, find_by_seq, read_facets, read_page
from qeu.store.undo import undo
from qeu.store.workspace import Workspace
from tests.store.dataset_rows import fill

EN = ["Who wrote Hamlet?", "Write a poem about rain.", "Why is the sky blue?"]
JA = [
    "ハムレットを書いたのは誰ですか。",
    "雨についての詩を書いてください。",
    "なぜ空は青いのですか。",
]


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "qeu.db")
    yield made
    made.close()


def write(path, questions):
    rows = [{"instruction": q, "input": "", "output": "Shakespeare."} for q in questions]
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path):
    return [write(tmp_path / "en.json", EN), write(tmp_path / "ja.json", JA)]


def seqs(workspace, dataset, **where):
    rows = read_page(workspace, dataset, Filter(**where), limit=1000).rows
    return [row.record.seq for row in rows]


def test_a_merge_is_previewed_done_recognised_and_undone(workspace, files):
    preview = preview_merge(files)
    assert preview.plan.languages == ("en", "ja")
    assert [row["seq"] for row in preview.sample] == ["1EN", "1JA", "2EN", "2JA", "3EN", "3JA"]
    assert workspace.read("SELECT * FROM events") == []
    report = merge_files(workspace, files, "both", MergeOptions(licence="mit"))
    assert (report.imported, report.unchanged) == (6, 0)
    dataset = find_dataset(workspace, "both")
    assert "日本語で答える" in find_by_seq(workspace, dataset, "2JA")[0].record.reasoning
    assert merge_files(workspace, files, "both").unchanged == 6
    ranged = merge_files(workspace, files, "part", MergeOptions(rows=(2, 3), sentences={}))
    assert ranged.imported == 4
    assert seqs(workspace, find_dataset(workspace, "part")) == ["2EN", "2JA", "3EN", "3JA"]
    undo(workspace, dataset)
    assert seqs(workspace, dataset) == []


def test_a_merge_says_what_does_not_fit(workspace, files, tmp_path):
    longer = write(tmp_path / "long.json", [*JA, "猫はどこにいますか。"])
    notes = preview_merge([files[0], longer]).plan.problems()
    assert "en: 3, ja: 4" in notes[0]
    with pytest.raises(QeuError, match="same language"):
        merge_files(workspace, [files[0], files[0]], "d")
    with pytest.raises(QeuError, match="two files"):
        merge_files(workspace, files[:1], "d")
    with pytest.raises(QeuError, match="no range"):
        merge_files(workspace, files, "d", MergeOptions(rows=(3, 2)))
    holey = tmp_path / "holey.json"
    holey.write_text(json.dumps([{"instruction": q} for q in (JA[0], "", JA[2])]))
    report = merge_files(workspace, [files[0], holey], "d")
    assert seqs(workspace, find_dataset(workspace, "d")) == ["1EN", "1JA", "3EN", "3JA"]
    assert [bad.row for bad in report.rejected] == [2]


def test_labels_are_previewed_set_queued_and_undone(workspace, files):
    merge_files(workspace, files, "d")
    dataset = find_dataset(workspace, "d")
    preview = preview_labels(workspace, dataset)
    assert preview.matched == 6
    assert preview.fields["category"] == 2
    assert any(one.seq == "2JA" and one.after == "creative" for one in preview.sample)
    before = read_facets(workspace, dataset)
    assert run_labels(workspace, dataset).changed == preview.changed
    assert seqs(workspace, dataset, category=("creative",)) == ["2EN", "2JA"]
    assert run_labels(workspace, dataset).changed == 0
    undo(workspace, dataset)
    assert read_facets(workspace, dataset) == before
    with pytest.raises(QeuError, match="'colour'"):
        LabelOptions(fields=("colour",))


def test_what_a_model_is_unsure_of_is_queued_and_what_it_did_not_see_stays(workspace, files):
    merge_files(workspace, files, "d")
    dataset = find_dataset(workspace, "d")
    rows = read_page(workspace, dataset).rows
    sure = {"1EN": 0.9, "1JA": 0.3, "2EN": 0.2, "2JA": 0.1, "3EN": 0.4}
    given = {
        row.id: Given(1, {"category": Label("math", sure[row.record.seq], "log-probability")})
        for row in rows
        if row.record.seq in sure
    }
    options = LabelOptions(("category",), keep_unsure=True, given=given, model="llama-3-8b")
    run_labels(workspace, dataset, options)
    assert seqs(workspace, dataset, category=("math",)) == ["1EN"]
    queue = Filter(review=("category",))
    assert count_matching(workspace, dataset, queue) == 4
    assert workspace.events("dataset/d")[-1].data["model"] == "llama-3-8b"
    undo(workspace, dataset)
    edit_record(workspace, dataset, rows[1].id, rows[1].version + 2, "category", "code")
    again = {number: Given(one.version + 2, one.labels) for number, one in given.items()}
    run_labels(workspace, dataset, LabelOptions(("category",), given=again))
    # 1JA was changed by hand since the model saw it, 3JA it never saw
    assert seqs(workspace, dataset, category=("math",)) == ["1EN", "2EN", "2JA", "3EN"]
    assert count_matching(workspace, dataset, queue) == 3
    assert set_status(workspace, dataset, queue, "accepted").changed == 3
    assert count_matching(workspace, dataset, queue) == 0
    assert count_matching(workspace, dataset, Filter(status=("accepted",))) == 3
    assert workspace.events("dataset/d")[-1].kind == "review"


def test_the_april_rules_are_idempotent_and_undone(workspace):
    dataset = fill(workspace, 60)
    rules = load_rules()
    assert [rule.when["category"] for rule in rules] == [("open_qa",), ("creative",)]
    preview = preview_rules(workspace, dataset, rules)
    assert (preview.matched, preview.changed, len(preview.sample)) == (60, 20, 10)
    assert preview.sample[0].after.endswith(rules[1].sentence)
    assert run_rules(workspace, dataset, rules).changed == 20
    assert run_rules(workspace, dataset, rules).changed == 0
    assert count_matching(workspace, dataset, Filter(search="needlessly")) == 10
    event = workspace.events("dataset/demo")[-1]
    assert event.data["rules"][0]["when"] == {"category": "open_qa", "uniqueness": "simple"}
    undo(workspace, dataset)
    assert preview_rules(workspace, dataset, rules) == preview
    only = Filter(language=("en",))
    assert run_rules(workspace, dataset, rules, only).changed == 10


def test_rules_go_through_yaml_and_bad_yaml_is_told(tmp_path):
    rules = load_rules()
    assert parse_rules(dump_rules(rules)) == rules
    cases = {"rules: [": "not YAML at line", "a: &x 1\nb: *x": "aliases", "": "no rules",
             "!!python/object/apply:os.system ['true']": "not YAML",
             "rules: 5": "no rules"}  # fmt: skip
    for text, message in cases.items():
        with pytest.raises(QeuError, match=message):
            parse_rules(text)
    with pytest.raises(QeuError, match="cannot be read"):
        load_rules(tmp_path / "none.yaml")


def test_a_check_counts_and_becomes_a_filter_until_a_record_changes(workspace):
    dataset = fill(workspace, 6)
    rows = read_page(workspace, dataset).rows
    edit_record(workspace, dataset, rows[0].id, 1, "output", "Well: 2 + 2 = 5.")
    edit_record(workspace, dataset, rows[3].id, 1, "output", "")
    edit_record(workspace, dataset, rows[3].id, 2, "instruction", rows[0].record.instruction)
    report = check_dataset(workspace, dataset, CheckOptions(output_language="en"))
    assert (report.counts["wrong_sum"], report.counts["empty_output"]) == (1, 1)
    assert report.seqs["near_duplicate"] == ["4EN", "5JA"]
    assert report.by_category["wrong_sum"] == {"open_qa": 1}
    assert seqs(workspace, dataset, check="wrong_sum") == ["1EN"]
    assert seqs(workspace, dataset, check="any")[0] == "1EN"
    found = read_findings(workspace, read_page(workspace, dataset).rows[0])
    assert [(f.name, f.place, f.spans) for f in found] == [("wrong_sum", "output", ((6, 15),))]
    edit_record(workspace, dataset, rows[0].id, 2, "output", "Well: 2 + 2 = 4.")
    assert seqs(workspace, dataset, check="wrong_sum") == []
    assert json.dumps(report.to_json())


def test_a_split_keeps_parallel_rows_together_and_is_undone(workspace, tmp_path):
    files = [tmp_path / "en.json", tmp_path / "ja.json"]
    write(files[0], [f"What is fact number {n} of {chr(97 + n % 26) * 9}?" for n in range(60)])
    write(files[1], [f"{chr(0x4E00 + 37 * n) * 9}の事実は何ですか。" for n in range(60)])
    merge_files(workspace, files, "d")
    dataset = find_dataset(workspace, "d")
    options = SplitOptions(validation=0.2, test=0.1, seed=5)
    planned = split_dataset(workspace, dataset, options, apply=False)
    assert count_matching(workspace, dataset, Filter(split=("",))) == 120
    done = split_dataset(workspace, dataset, options)
    assert done.counts == planned.counts
    assert abs(done.counts["validation"] - 24) <= 4
    parts = {row.record.seq: row.split for row in read_page(workspace, dataset, limit=200).rows}
    assert all(parts[f"{n}EN"] == parts[f"{n}JA"] for n in range(1, 61))
    assert done.nearest
    assert all(parts[seq] == part != "train" for seq, part, _, _ in done.nearest)
    assert all(parts[train] == "train" for _, _, train, _ in done.nearest)
    undo(workspace, dataset)
    assert count_matching(workspace, dataset, Filter(split=("",))) == 120
    with pytest.raises(QeuError, match="nothing to train on"):
        split_dataset(workspace, dataset, SplitOptions(0.5, 0.5))


class HeadedBackend(EchoBackend):
    """A token a character, and two in front of every prompt."""

    def prepare(self, prompt):
        made = super().prepare(prompt)
        return replace(made, token_ids=(0, 0, *made.token_ids))


def test_stats_count_characters_and_the_table(workspace):
    dataset = fill(workspace, 30)
    stats = dataset_stats(workspace, dataset)
    assert (stats.records, stats.licences, stats.tokens) == (30, {"mit": 30}, {})
    assert stats.table == {"en": {"open_qa": 10}, "ja": {"creative": 10}, "zh": {"math": 10}}
    assert sum(stats.characters["output"].counts) == 30
    some = dataset_stats(workspace, dataset, Filter(language=("en",)))
    assert (some.records, some.table) == (10, {"en": {"open_qa": 10}})
    assert json.dumps(stats.to_json())


def test_stats_count_tokens_of_fields_and_of_whole_records_as_training_renders_them(workspace):
    dataset = fill(workspace, 3, input="", reasoning="", output="12345")
    counter = TokenCounter(HeadedBackend(), "bonsai-v2")
    stats = dataset_stats(workspace, dataset, counter=counter, limits=(50, 5000))
    tokens = stats.tokens
    assert stats.counted_by == ("echo", "bonsai-v2")
    assert list(tokens) == ["question", "reasoning", "output", "record"]
    assert tokens["output"].longest == 5
    assert tokens["reasoning"].counts[0] == 3
    assert tokens["question"].longest == stats.characters["question"].longest
    records = [row.record for row in read_page(workspace, dataset).rows]
    record = max(records, key=lambda r: len(r.question))
    rendered = render(record, "bonsai-v2", ROLES["assistant"], "both")
    whole = 2 + len(rendered.prompt.text) + len(rendered.completion_text) + 1
    assert tokens["record"].longest == whole
    assert stats.longer == {50: 3, 5000: 0}
    told = stats.to_json()
    assert told["tokens_of"] == {"model": "echo", "layout": "bonsai-v2"}
    assert told["longer"][0] == {"tokens": 50, "records": 3, "share": 1.0}
    for bad in (0, -1, 10**9):
        with pytest.raises(QeuError, match="limit of"):
            dataset_stats(workspace, dataset, limits=(bad,))


def test_long_work_can_be_stopped(workspace):
    dataset = fill(workspace, 30)
    stop = threading.Event()
    stop.set()
    runs = (
        lambda: run_rules(workspace, dataset, load_rules(), stop=stop),
        lambda: preview_labels(workspace, dataset, stop=stop),
        lambda: check_dataset(workspace, dataset, stop=stop),
        lambda: split_dataset(workspace, dataset, stop=stop),
        lambda: dataset_stats(workspace, dataset, stop=stop),
    )
    for run in runs:
        with pytest.raises(Stopped):
            run()
    assert len(workspace.read("SELECT id FROM events")) == 1


def test_japanese_in_english_out_keeps_the_content_and_queues_what_is_missing(workspace, files):
    merge_files(workspace, files, "d")
    dataset = find_dataset(workspace, "d")
    first, second = (find_by_seq(workspace, dataset, seq)[0] for seq in ("1JA", "3JA"))
    edit_record(workspace, dataset, second.id, second.version, "output", "光が散らばるからです。")
    outputs = {first.id: "It was written by Shakespeare."}
    preview = preview_english_out(workspace, dataset, outputs)
    assert (preview.changed, preview.fields["input"]) == (3, 3)
    run_english_out(workspace, dataset, outputs, model="groq/llama", licence="llama3")
    record = find_by_seq(workspace, dataset, "1JA")[0].record
    assert (record.input, record.output) == (JA[0], outputs[first.id])
    assert record.instruction == "Answer the following question in English."
    assert record.language == "ja"
    assert "3JA" in seqs(workspace, dataset, review=("english",))
    assert "1JA" not in seqs(workspace, dataset, review=("english",))
    assert find_by_seq(workspace, dataset, "1EN")[0].record.instruction == EN[0]
    assert run_english_out(workspace, dataset, outputs).changed == 0
    undo(workspace, dataset)
    assert find_by_seq(workspace, dataset, "1JA")[0].record == first.record
