"""What one looks at after tuning: effects that are known beforehand, a page, TensorBoard's logs."""

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
from pipeline.report.tuning_effects import MIN_TRIALS, Effect, effects
from pipeline.report.tuning_files import fence
from pipeline.report.tuning_page import write_tuning_page
from tests.test_report import Page

SPACE: dict[str, Any] = {
    "train.learning_rate": {"min": 1e-4, "max": 1.0, "log": True},
    "train.optimizer": ["AdamW", "SGD", {"name": "Adam", "beta_1": 0.8}],
    "train.optimizer.momentum": {"min": 0.0, "max": 0.99, "when": {"train.optimizer": "SGD"}},
    "model.width": [64, 128, 256],
    "model.dropout": {"min": 0.0, "max": 0.5, "step": 0.1},
    "model.l2": {"min": 1e-8, "max": 1e-3, "log": True},
}


def draw(space: dict[str, Any], random: np.random.Generator) -> dict[str, Any]:
    """A configuration from anywhere in the space."""
    found: dict[str, Any] = {}
    for key, searched in space.items():
        when = searched.get("when", {}) if isinstance(searched, dict) else {}
        if any(found.get(other) not in np.atleast_1d(value) for other, value in when.items()):
            continue
        choices = searched.get("choices") if isinstance(searched, dict) else searched
        if choices is not None:
            found[key] = choices[random.integers(len(choices))]
        elif searched.get("log"):
            found[key] = float(np.exp(random.uniform(math.log(searched["min"]), math.log(searched["max"]))))
        else:
            found[key] = float(random.uniform(searched["min"], searched["max"]))
    return found


def loss(overrides: dict[str, Any]) -> float | None:
    """Of the learning rate first, then the width, then the optimizer; of nothing else. High rates diverge."""
    rate = math.log10(overrides["train.learning_rate"])
    if rate > -0.6:
        return None
    sgd = 0.05 if overrides.get("train.optimizer") == "SGD" else 0.0
    return 0.2 + 0.15 * (rate + 2.3) ** 2 + sgd + {64: 0.3, 128: 0.1, 256: 0.0}[overrides["model.width"]]


def row(number: int, overrides: dict[str, Any], score: float | None, **more: Any) -> dict[str, Any]:
    """One trial, with a learning curve that ends at its score."""
    epochs = more.get("epochs", 20)
    curve = [(score or 0.5) * (1 + 1.5 * math.exp(-epoch / 4)) for epoch in range(epochs - 1)]
    history = [*curve, score] if score is not None else [*curve[:3], float("nan")]
    error = None if score is not None else 'The loss is not finite in epoch 4: <b>"nan"</b>.'
    found = {"number": number, "overrides": overrides, "score": score, "error": error, "history": history}
    return found | {"epochs": epochs, "first_epoch": 0, "parent": None, "seconds": 1.2, "how": "alone"} | more


def make_trials(num_trials: int, space: dict[str, Any] = SPACE, noise: float = 0.004, seed: int = 0) -> list[dict]:
    """A random search for the lowest `loss`."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(num_trials):
        overrides = draw(space, random)
        score = loss(overrides)
        score = None if score is None else score + noise * float(random.normal())
        found.append(row(number, overrides, score, how="population of 16"))
    return found


def make_rungs(num_trials: int) -> list[dict]:
    """Hyperband: a third of each rung goes on, for three times as long."""
    rung, found = make_trials(num_trials), []
    rung = [row(one["number"], one["overrides"], one["score"] and one["score"] * 1.6, epochs=2) for one in rung]
    for epochs, factor in ((6, 1.2), (20, 1.0)):
        found += rung
        best = sorted((one for one in rung if one["score"]), key=lambda one: one["score"])[: max(len(rung) // 3, 1)]
        rung = [
            row(
                len(found) + place,
                one["overrides"],
                (loss(one["overrides"]) or 0.0) * factor,
                epochs=epochs,
                first_epoch=one["epochs"],
                parent=one["number"],
            )
            for place, one in enumerate(best)
        ]
        for one in rung:
            one["history"] = found[one["parent"]]["history"] + one["history"][one["first_epoch"] :]
    return found + rung


def save(directory: Path, trials: list[dict], space: dict[str, Any] = SPACE, **more: Any) -> Path:
    """The three files of the artifact."""
    directory.mkdir(parents=True, exist_ok=True)
    ranked = sorted((one for one in trials if one["score"] is not None), key=lambda one: one["score"])
    finalists = [
        {
            "number": one["number"],
            "seeds": [1001, 1002],
            "scores": [one["score"] + 0.003, one["score"] + 0.006],
            "mean": one["score"] + 0.0045,
        }
        for one in ranked[:3]
    ]
    tuning = {
        "algorithm": "random",
        "space": space,
        "seed": 0,
        "trials": len(trials),
        "failed": len(trials) - len(ranked),
        "winner": ranked[0]["number"] if ranked else None,
        "finalists": finalists,
        "noise": 0.012,
        "seconds": 12.3,
        "workers": 1,
        "cut_short": None,
    }
    files = {"trials": trials, "tuning": tuning | more, "best": ranked[0]["overrides"] if ranked else {}}
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return directory


def by_name(trials: list[dict], space: dict[str, Any] = SPACE, noise: float | None = 0.012) -> dict[str, Effect]:
    return {effect.name: effect for effect in effects(trials, space, noise=noise)}


@pytest.mark.parametrize("module", ["tuning_files", "tuning_axes", "tuning_anova", "tuning_effects", "tuning_page"])
def test_examples_run(module: str) -> None:
    found = doctest.testmod(importlib.import_module(f"pipeline.report.{module}"))
    assert found.attempted
    assert not found.failed


def test_effects_find_the_known_order_directions_and_what_diverges() -> None:
    found = effects(make_trials(200), SPACE, noise=0.012)
    names = [effect.name for effect in found]
    assert names[:3] in (["learning_rate", "width", "optimizer"], ["width", "learning_rate", "optimizer"])
    told = {effect.name: effect for effect in found}
    assert [name for name in names if told[name].beyond_noise] == names[:3]
    assert told["width"].verdict == "more is better"
    assert told["width"].spread == pytest.approx(0.3, rel=0.2)
    # The lowest is at 10 ** -2.3, half way down a valley: no direction.
    assert told["learning_rate"].verdict == f"best near {told['learning_rate'].best}"
    assert 0.002 < float(told["learning_rate"].best or 0) < 0.012
    assert told["optimizer"].best in ("AdamW", "Adam(beta_1=0.8)")
    failing = re.fullmatch(r"(\d+) of \1 fail from ([\d.]+) up", told["learning_rate"].failing)
    assert failing
    assert 0.25 <= float(failing[2]) < 0.3
    assert all(not told[name].failing for name in names if name != "learning_rate")
    assert sum(effect.share or 0 for effect in found) <= 1 + 1e-9


def test_shares_are_those_of_a_function_whose_shares_are_known() -> None:
    # Of a + 2 b + 2 a' b' with independent uniform values, centered: variances 1/12, 4/12, and 4/144 of both together.
    random = np.random.default_rng(3)
    values = random.random((400, 4))
    scores = values[:, 0] + 2 * values[:, 1] + 2 * (values[:, 0] - 0.5) * (values[:, 1] - 0.5)
    trials = [row(n, dict(zip("abcd", map(float, at), strict=True)), float(scores[n])) for n, at in enumerate(values)]
    told = by_name(trials, {key: {"min": 0.0, "max": 1.0} for key in "abcd"}, noise=None)
    whole = 1 / 12 + 4 / 12 + 4 / 144
    assert told["a"].share == pytest.approx(1 / 12 / whole, abs=0.05)
    assert told["b"].share == pytest.approx(4 / 12 / whole, abs=0.05)
    assert max(told["c"].share or 0, told["d"].share or 0) < 0.01


def test_meaningless_keys_are_seldom_told_from_chance() -> None:
    space = {f"k{at}": {"min": 0.0, "max": 1.0} for at in range(6)}
    called = 0
    for seed in range(6):
        random = np.random.default_rng(seed)
        trials = [row(n, draw(space, random), float(random.normal())) for n in range(16)]
        called += sum(bool(effect.beyond_noise) for effect in effects(trials, space))
    assert called <= 0.15 * 6 * 6


def test_an_effect_below_the_seed_noise_is_called_so() -> None:
    space = {"a": {"min": 0.0, "max": 1.0}, "b": [1, 2]}
    random = np.random.default_rng(0)
    trials = [row(n, made := draw(space, random), 0.5 + 0.01 * made["a"]) for n in range(64)]
    assert by_name(trials, space, noise=0.001)["a"].beyond_noise
    told = by_name(trials, space, noise=0.1)["a"]
    assert (told.beyond_noise, told.verdict) == (False, "less than seed noise")


def test_a_conditional_key_counts_where_it_exists_only() -> None:
    space = {"opt": ["A", "B"], "momentum": {"min": 0.0, "max": 1.0, "when": {"opt": ["B"]}}}
    random = np.random.default_rng(1)
    trials = [row(n, made := draw(space, random), made.get("momentum", 0.5)) for n in range(80)]
    told = by_name(trials, space, noise=None)
    assert told["momentum"].verdict == "less is better"
    # The means over momentum are equal, so the choice that it hangs on does nothing by itself.
    assert told["momentum"].share > 0.8 > 0.2 > (told["opt"].share or 0)


def test_one_exploded_trial_hides_nothing() -> None:
    trials = make_trials(64)
    worst = next(trial for trial in trials if trial["score"] is not None)
    worst["score"] = 1e12
    told = by_name(trials)
    assert (told["width"].best, told["width"].beyond_noise) == ("256", True)
    assert fence([0.0, 1.0, 1.0, 1.0]) == 1.0


def test_higher_rungs_do_not_count() -> None:
    trials = make_rungs(54)
    assert any(trial["parent"] is not None for trial in trials)
    first = [trial for trial in trials if trial["parent"] is None]
    assert effects(trials, SPACE) == effects(first, SPACE)


@pytest.mark.parametrize(
    ("trials", "verdict"),
    [
        ([], "too few trials to tell: 0, of at least 8"),
        (make_trials(MIN_TRIALS - 1), "too few"),
        ([row(n, draw(SPACE, np.random.default_rng(n)), 0.5) for n in range(20)], "all scores are equal"),
        ([row(n, make_trials(1)[0]["overrides"], 0.1 * n) for n in range(20)], "one value only"),
        ([row(n, draw(SPACE, np.random.default_rng(n)), None) for n in range(20)], "too few"),
    ],
)
def test_what_cannot_be_told_is_said(trials: list[dict], verdict: str) -> None:
    found = effects(trials, SPACE)
    assert {effect.key for effect in found} == set(SPACE)
    assert all(effect.verdict.startswith(verdict) and not effect.beyond_noise for effect in found)


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
