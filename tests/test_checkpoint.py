"""A checkpoint is there whole or not at all; what is damaged, foreign or not writable is said, and harms nothing."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from pipeline.training import Checkpoints
from pipeline.training.checkpoint import Writer
from pipeline.training.checkpoint_file import Snapshot, read, write

OWN, OTHER = "0123456789abcdef", "fedcba9876543210"
DTYPES = st.sampled_from(["float32", "float64", "int64", "uint32", "uint8", "bool", "float16"])
ARRAYS = arrays_of.arrays(DTYPES, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
SNAPSHOTS = st.builds(
    Snapshot,
    st.integers(0, 10**11),
    st.fixed_dictionaries({"loss": st.lists(st.floats(allow_nan=False))}),
    st.dictionaries(st.text(max_size=5), ARRAYS, max_size=4),
)


def snapshot(step: int, rows: int = 3) -> Snapshot:
    return Snapshot(step, {"loss": [0.1 * step]}, {"a": np.full(rows, step, np.float32)})


def checkpoints(folder: Path, said: list[str], every_steps: int | None = None) -> Checkpoints:
    return Checkpoints(folder, every_seconds=None, every_steps=every_steps, warn=said.append)


def write_all(folder: Path, said: list[str], *steps: int) -> None:
    with Writer(checkpoints(folder, said), OWN) as writer:
        for step in steps:
            writer.write(snapshot(step))


def newest(folder: Path, said: list[str]) -> int | None:
    found = Writer(checkpoints(folder, said), OWN).newest()
    return None if found is None else found.step


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def name(step: int, fingerprint: str = OWN) -> str:
    return f"{fingerprint}-{step:012d}.checkpoint"


@contextlib.contextmanager
def full_disk(num_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# the file


@given(SNAPSHOTS)
@settings(max_examples=100, deadline=None)
def test_what_is_read_is_what_was_written(tmp_path_factory: pytest.TempPathFactory, snapshot: Snapshot) -> None:
    path = tmp_path_factory.getbasetemp() / "same.checkpoint"
    write(path, snapshot, OWN)
    found = read(path, OWN)
    assert (found.step, found.state, list(found.arrays)) == (snapshot.step, snapshot.state, list(snapshot.arrays))
    for key, array in snapshot.arrays.items():
        assert (found.arrays[key].dtype, found.arrays[key].shape) == (array.dtype, array.shape)
        assert found.arrays[key].tobytes() == array.tobytes()


def test_a_variable_of_half_precision_is_kept_too(tmp_path: Path) -> None:
    array = keras.Variable([[1.5, -2.0]], dtype="bfloat16").numpy()
    write(tmp_path / "half", Snapshot(1, {}, {"a": array}), OWN)
    found = read(tmp_path / "half", OWN).arrays["a"]
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, (1, 2), array.tobytes())


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_one_bit_that_is_wrong_is_noticed(tmp_path_factory: pytest.TempPathFactory, place: float, bit: int) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.checkpoint"
    write(path, snapshot(7), OWN)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        read(path, OWN)


def test_a_file_cut_anywhere_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "cut"
    write(path, snapshot(7), OWN)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="damaged"):
            read(path, OWN)


def test_a_checkpoint_of_another_training_is_refused_though_its_name_is_right(tmp_path: Path) -> None:
    write(tmp_path / "renamed", snapshot(7), OTHER)
    with pytest.raises(ValueError, match=f"another training.*{OTHER}.*{OWN}"):
        read(tmp_path / "renamed", OWN)


# the folder


def test_the_newest_is_read_and_the_one_before_it_is_kept(tmp_path: Path) -> None:
    said: list[str] = []
    write_all(tmp_path, said, 5, 9, 10, 1000)
    assert names(tmp_path) == [name(10), name(1000)]
    assert newest(tmp_path, said) == 1000
    assert said == []


def test_an_empty_or_missing_folder_holds_none(tmp_path: Path) -> None:
    said: list[str] = []
    assert newest(tmp_path, said) is newest(tmp_path / "missing", said) is None
    assert said == []


def test_a_damaged_newest_one_gives_way_to_the_one_before_and_is_replaced(tmp_path: Path) -> None:
    said: list[str] = []
    write_all(tmp_path, said, 10, 20)
    (tmp_path / name(20)).write_bytes((tmp_path / name(20)).read_bytes()[:-1])
    assert newest(tmp_path, said) == 10
    assert len(said) == 1
    assert name(20) in said[0]
    assert "The one before it is tried" in said[0]
    write_all(tmp_path, said, 15)
    assert names(tmp_path) == [name(10), name(15)]
    assert newest(tmp_path, said) == 15


def test_when_both_are_damaged_training_begins_anew_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    write_all(tmp_path, said, 10, 20)
    (tmp_path / name(20)).write_bytes(b"")
    (tmp_path / name(10)).write_bytes(b"nothing of ours")
    assert newest(tmp_path, said) is None
    assert len(said) == 2
    assert "Training begins anew" in said[1]


def test_those_of_other_trainings_are_named_and_neither_used_nor_touched(tmp_path: Path) -> None:
    said: list[str] = []
    write(tmp_path / name(50, OTHER), snapshot(50), OTHER)
    (tmp_path / "notes.checkpoint").write_text("mine")
    before = (tmp_path / name(50, OTHER)).read_bytes()
    assert newest(tmp_path, said) is None
    assert len(said) == 1
    assert name(50, OTHER) in said[0]
    write_all(tmp_path, said, 1, 2, 3)
    assert names(tmp_path) == sorted([name(2), name(3), name(50, OTHER), "notes.checkpoint"])
    assert (tmp_path / name(50, OTHER)).read_bytes() == before


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / f".tmp-1-{name(7)}").write_bytes(b"half")
    assert newest(tmp_path, []) is None
    write_all(tmp_path, [], 8)
    assert names(tmp_path) == [name(8)]


def test_clear_removes_checkpoints_and_nothing_else(tmp_path: Path) -> None:
    write_all(tmp_path, [], 8)
    (tmp_path / f".tmp-1-{name(7)}").write_bytes(b"half")
    (tmp_path / "notes.checkpoint").write_text("mine")
    Checkpoints(tmp_path).clear()
    assert names(tmp_path) == ["notes.checkpoint"]


@pytest.mark.parametrize(
    ("every_steps", "steps", "due"), [(5, 4, False), (5, 5, True), (5, 12, True), (None, 99, False)]
)
def test_due_by_steps(tmp_path: Path, every_steps: int | None, steps: int, due: bool) -> None:
    assert Writer(checkpoints(tmp_path, [], every_steps), OWN).due(steps) is due


def test_due_by_steps_counts_from_the_checkpoint_that_is_gone_on_from(tmp_path: Path) -> None:
    write_all(tmp_path, [], 12)
    writer = Writer(checkpoints(tmp_path, [], 5), OWN)
    assert writer.newest() is not None
    assert [writer.due(step) for step in (12, 14, 15)] == [False, False, True]


def test_due_by_seconds(tmp_path: Path) -> None:
    assert Writer(Checkpoints(tmp_path, every_seconds=0.0), OWN).due(1)
    assert not Writer(Checkpoints(tmp_path, every_seconds=3600.0), OWN).due(1)


# the disk


def test_a_full_disk_is_said_once_and_costs_no_checkpoint_that_was_there(tmp_path: Path) -> None:
    said: list[str] = []
    write_all(tmp_path, said, 1, 2)
    with full_disk(2000), Writer(checkpoints(tmp_path, said), OWN) as writer:
        for step in (3, 4, 5):
            writer.write(snapshot(step, rows=5000))
    assert names(tmp_path) == [name(1), name(2)]
    assert len(said) == 1
    assert "could not be written" in said[0]
    assert "File too large" in said[0]
    assert newest(tmp_path, said) == 2


def test_writing_works_again_when_there_is_space_and_the_next_failure_is_said_again(tmp_path: Path) -> None:
    said: list[str] = []
    with full_disk(2000), Writer(checkpoints(tmp_path, said), OWN) as writer:
        for step, rows in enumerate([5000, 5000, 3, 5000, 3]):
            writer.write(snapshot(step, rows))
    assert len(said) == 2
    assert newest(tmp_path, said) == 4


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "file").write_text("in the way")
    write_all(tmp_path / "file" / "checkpoints", said, 1)
    assert len(said) == 1
    assert "could not be written" in said[0]


def test_without_a_reporter_pythons_warnings_are_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="could not be written"):
        with Writer(Checkpoints(tmp_path / "file"), OWN) as writer:
            writer.write(snapshot(1))
