"""What one looks at after tuning: a page, TensorBoard's logs."""

from __future__ import annotations

import base64
import copy
import doctest
import html
import importlib
import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import RunError
from pipeline.report.hparams import write_hparams
from pipeline.report.tuning_axes import axes_of, axis_of
from pipeline.report.tuning_effects import effects
from pipeline.report.tuning_page import write_tuning_page
from tests.searching import SPACE, draw, make_rungs, make_trials, row, save
from tests.test_report import Page


@pytest.mark.parametrize("module", ["tuning_files", "tuning_axes", "tuning_anova", "tuning_effects", "tuning_page"])
def test_examples_run(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"pipeline.report.{module}"))
    assert found.attempted
    assert not found.failed


choices = st.lists(
    st.one_of(st.integers(-5, 5), st.floats(-2, 2), st.text(max_size=5), st.booleans(), st.none(), st.just([8, 8])),
    min_size=1,
    max_size=4,
)
ranges = st.builds(
    lambda low, width, log: {"min": low, "max": low + width, "log": log},
    st.floats(1e-6, 10),
    st.floats(0.1, 1e4),
    st.booleans(),
)


@settings(max_examples=12, deadline=None)
@given(st.dictionaries(st.text("ab.0_<", min_size=1, max_size=9), st.one_of(choices, ranges), max_size=4), st.data())
def test_any_space_has_a_page_logs_and_effects_in_their_bounds(
    tmp_path_factory: pytest.TempPathFactory, space: dict[str, Any], data: st.DataObject
) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    scores = data.draw(st.lists(st.one_of(st.none(), st.floats(-1, 1e9), st.just(math.inf)), max_size=14))
    trials = [row(number, draw(space, random), score) for number, score in enumerate(scores)]
    for effect in effects(trials, space, noise=0.1):
        assert effect.share is None or 0 <= effect.share <= 1 + 1e-9
        assert effect.verdict
    for axis in axes_of(space, trials):
        places = [axis.place_in(trial["overrides"]) for trial in trials]
        assert all(place is not None and 0 <= place <= 1 for place in places)
    directory = save(tmp_path_factory.mktemp("any"), trials, space)
    Page(write_tuning_page(directory, "any"))
    assert len(list(write_hparams(directory).glob("trial-*"))) == len(trials)


def test_values_beyond_the_space_widen_the_axis_and_other_kinds_have_no_place() -> None:
    axis = axis_of("a", {"min": 0.1, "max": 1.0, "log": True}, [0.001, {"name": "CosineDecay"}])
    assert (axis.low, axis.place(0.001), axis.place({"name": "CosineDecay"})) == (0.001, 0.0, None)
    assert axis_of("a", [2, 1], [3.0]).texts == ("1", "2", "3")
    assert axis_of("a", [1, True, "1"], [1.0]).choices == ("1.0", "true", '"1"')


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    trials = make_trials(16)
    trials[3]["how"] = "<script>alert(1)</script>"
    directory = save(tmp_path_factory.mktemp("page"), trials, cut_short="the budget of 10m")
    return Page(write_tuning_page(directory, "<b>adult</b>"))


def test_the_page_is_well_formed_self_contained_and_escapes(page: Page) -> None:
    assert not page.open
    assert "<b>adult</b>" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert not page.all("script")
    assert not page.all("link")
    sources = [image["src"] or "" for image in page.all("img")]
    assert len(sources) == 2 + len(SPACE)
    assert all(source.startswith("data:image/svg+xml;base64,") for source in sources)
    for source in sources:
        ElementTree.fromstring(base64_text(source))


def test_the_page_tells_the_winner_and_how_sure_it_is(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "16 trials, 2 of them failed" in text
    assert "Cut short by the budget of 10m." in text
    assert "Differences of two scores below 0.012 are seed noise. Of two finalists' means, those below 0.0085." in text
    assert "no other finalist comes that near" in text
    assert 'The loss is not finite in epoch 4: <b>"nan"</b>.' in text


def test_trials_are_ranked_and_failed_ones_come_last(tmp_path: Path) -> None:
    trials = make_trials(16)
    text = words(write_tuning_page(save(tmp_path, trials), "a"))
    ranks = re.findall(r"(\d+)(?: winner| finalist)? (?:failed|[\d.]+) (?:4 of )?20 1.2 population", text)
    order = sorted(trials, key=lambda trial: (trial["score"] is None, trial["score"] or 0))
    assert list(map(int, ranks)) == [trial["number"] for trial in order]


def words(path: Path) -> str:
    """What a page says, with a space between cells."""
    body = path.read_text(encoding="utf-8").partition("<body>")[2]
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", body)).split())


def base64_text(source: str) -> str:
    return base64.b64decode(source.partition(",")[2]).decode()


def test_finalists_within_the_noise_are_named_and_failed_ones_come_last(tmp_path: Path) -> None:
    finalists = [
        {"number": 5, "seeds": [1, 2], "scores": [None, 0.2], "mean": None},
        {"number": 1, "seeds": [1, 2], "scores": [0.301, 0.303], "mean": 0.302},
        {"number": 2, "seeds": [1, 2], "scores": [0.3, 0.3], "mean": 0.3},
    ]
    directory = save(tmp_path, make_trials(9), finalists=finalists, winner=2, noise=0.01)
    text = words(write_tuning_page(directory, "a"))
    assert "The winner leads by 0.002: another finalist may be as good." in text
    assert re.search(r"trial 2 .* winner trial 1 .* \+0.002, seed noise trial 5 .* failed 0.2 failed", text)


@pytest.mark.parametrize(
    ("trials", "more", "words"),
    [
        ([], {}, "No trial was made."),
        (make_trials(1), {"finalists": [], "noise": None}, "No finalist was trained again"),
        ([row(0, {"model.width": 64}, None)], {}, "No trial succeeded."),
        (make_trials(3), {"noise": None}, "The seed noise was not measured"),
        (make_rungs(9), {"algorithm": "hyperband"}, "goes on from"),
    ],
)
def test_searches_of_any_size_have_a_page(trials: list[dict], more: dict, words: str, tmp_path: Path) -> None:
    assert words in Page(write_tuning_page(save(tmp_path, trials, **more), "small")).text


def test_equal_files_make_equal_pages_and_logs(tmp_path: Path) -> None:
    save(tmp_path, make_trials(12))
    first = write_tuning_page(tmp_path, "a").read_bytes(), logged(write_hparams(tmp_path))
    assert first == (write_tuning_page(tmp_path, "a").read_bytes(), logged(write_hparams(tmp_path)))


def logged(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_two_hundred_trials_of_twelve_keys_take_five_seconds(tmp_path: Path) -> None:
    space = SPACE | {f"model.more_{at}": {"min": 0.0, "max": 1.0} for at in range(6)}
    save(tmp_path, make_trials(200, space), space)
    write_tuning_page(save(tmp_path / "warm", make_trials(9)), "warm")
    started = time.process_time()
    write_tuning_page(tmp_path, "large")
    assert time.process_time() - started < 5
    assert (tmp_path / "tuning.html").stat().st_size < 5e6


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("trials", None, "trials.json cannot be read"),
        ("trials", '[{"number": 0}]', "entry 0 is no trial"),
        ("trials", "[{", "trials.json is damaged"),
        ("tuning", "[]", "it holds a list"),
        ("tuning", "{}", "it has no space"),
        ("best", None, "best.json cannot be read"),
    ],
)
def test_missing_and_damaged_files_are_named(name: str, content: str | None, words: str, tmp_path: Path) -> None:
    save(tmp_path, make_trials(3))
    path = tmp_path / f"{name}.json"
    path.unlink() if content is None else path.write_text(content)
    for write in (lambda: write_tuning_page(tmp_path, "a"), lambda: write_hparams(tmp_path)):
        with pytest.raises(RunError) as caught:
            write()
        assert words in str(caught.value)
        assert caught.value.fix


def test_tensorboard_reads_the_logs_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2
    from tensorboard.util import tensor_util

    trials = make_trials(9)
    assert sum(trial["score"] is None for trial in trials) > 0
    write_hparams(save(tmp_path, trials))
    (tmp_path / "tensorboard" / "stale").touch()
    folder = write_hparams(tmp_path)
    assert not (folder / "stale").exists()
    assert len(list(folder.rglob("*tfevents*"))) == 10
    for trial in trials:
        events = EventAccumulator(str(folder / f"trial-{trial['number']:04d}"), size_guidance={"tensors": 0}).Reload()
        losses = [(e.step, tensor_util.make_ndarray(e.tensor_proto).item()) for e in events.Tensors("val_loss")]
        assert [step for step, _ in losses] == list(range(1, len(trial["history"]) + 1))
        np.testing.assert_allclose([value for _, value in losses], trial["history"], rtol=1e-6)
        assert ("score" in events.Tags()["tensors"]) == (trial["score"] is not None)
        found = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        session = plugin_data_pb2.HParamsPluginData.FromString(found).session_start_info
        assert set(session.hparams) == set(trial["overrides"])
        assert session.hparams["train.learning_rate"].number_value == trial["overrides"]["train.learning_rate"]


def test_the_hparams_dashboard_lists_every_trial_with_its_score(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.context import RequestContext
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams import api_pb2
    from tensorboard.plugins.hparams.backend_context import Context
    from tensorboard.plugins.hparams.list_session_groups import Handler

    trials = make_trials(16)
    folder = write_hparams(save(tmp_path, trials))
    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(folder))
    provider = data_provider.MultiplexerDataProvider(multiplexer.Reload(), str(folder))
    context, asking = Context(TBContext(data_provider=provider)), RequestContext()
    experiment = context.experiment_from_metadata(
        asking, "", True, context.hparams_metadata(asking, ""), context.hparams_from_data_provider(asking, "", None)
    )
    assert {info.name for info in experiment.hparam_infos} == set(SPACE)
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=99,
        include_metrics=True,
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
        col_params=[api_pb2.ColParams(metric=api_pb2.MetricName(tag="score"))],
    )
    groups = Handler(asking, context, "", request).run().session_groups
    assert {group.name for group in groups} == {f"trial {trial['number']}" for trial in trials}
    for group in groups:
        trial = trials[int(group.name.split()[1])]
        failed = trial["score"] is None
        assert group.sessions[0].status == (api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS)
        scores = [value.value for value in group.metric_values if value.name.tag == "score"]
        assert scores == pytest.approx([] if failed else [trial["score"]])


def test_nothing_loads_tensorflow_and_importing_is_cheap(tmp_path: Path) -> None:
    save(tmp_path, make_trials(12))
    program = f"""
import sys
from pathlib import Path
from pipeline.report import hparams, tuning_page
assert not {{"matplotlib", "sklearn", "scipy", "tensorboard"}} & set(sys.modules), sorted(sys.modules)
tuning_page.write_tuning_page(Path({str(tmp_path)!r}), "a")
hparams.write_hparams(Path({str(tmp_path)!r}))
assert not {{"tensorflow", "keras"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_is_given_is_not_changed() -> None:
    trials, space = make_trials(12), copy.deepcopy(SPACE)
    before = json.dumps(trials)
    effects(trials, space)
    assert (json.dumps(trials), space) == (before, SPACE)
