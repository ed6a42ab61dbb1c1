"""An artifact is whole or absent, a run belongs to one process, and file hashes notice every change."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.hashing import FileHashes
from pipeline.runs import Run, translate_os_errors

ROOT = Path(__file__).parents[1]

HOLD_THE_LOCK = """
import sys, time
from pathlib import Path
from pipeline.runs import Run
with Run(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""

WRITE_UNTIL_KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.runs import Run
run = Run(Path(sys.argv[1]))
with run.lock(), run.write("ingest", "f1") as writing:
    (writing.directory / "half.bin").write_bytes(b"x" * 1000)
    os.kill(os.getpid(), signal.SIGKILL)
"""

TENSORFLOW_STARTS = re.compile(r"WARNING: All log messages before|[IW]\d+[ :]")

# A file may not grow beyond a limit: the kernel refuses the write in the middle of it, as it does on a full disk.
WRITE_BEYOND_A_LIMIT = """
import resource, signal, sys
from pathlib import Path
from pipeline.errors import RunError
from pipeline.runs import Run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
run = Run(Path(sys.argv[1]))
try:
    with run.write("ingest", "f1") as writing:
        (writing.directory / "rows.bin").write_bytes(b"x" * 1_000_000)
except RunError as error:
    print(error.__cause__.errno, error.fix)
"""

WEIGHTS_BEYOND_A_LIMIT = """
import resource, signal, sys
from pathlib import Path
import keras
from pipeline.errors import RunError
from pipeline.model_steps import save_weights
from pipeline.runs import Run
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
model = keras.Sequential([keras.Input((300,)), *[keras.layers.Dense(20) for _ in range(12)]])
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
run = Run(Path(sys.argv[1]))
try:
    with run.write("train", "f1") as writing:
        save_weights(model, writing.directory / "model.weights.h5")
except RunError as error:
    print(error.__cause__.errno, error.fix)
"""


@contextmanager
def holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that holds the lock."""
    command = [sys.executable, "-c", HOLD_THE_LOCK, str(directory)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def python(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, str(directory)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "runs" / "adult")


def write_artifact(run: Run, stage: str = "ingest", fingerprint: str = "f1", content: str = "rows") -> Path:
    with run.write(stage, fingerprint) as writing:
        (writing.directory / "rows.csv").write_text(content)
        (writing.directory / "train").mkdir()
        (writing.directory / "train" / "label.bin").write_bytes(b"1234")
        writing.manifest["summary"] = {"rows": 3}
    return run.artifact(stage, fingerprint)


def left_behind(run: Run) -> list[str]:
    """Everything below the run, the lock's own file apart."""
    return sorted(str(path.relative_to(run.directory)) for path in run.directory.rglob("*") if path.name != ".lock")


def test_an_artifact_has_a_manifest_that_tells_its_files(run: Run) -> None:
    artifact = write_artifact(run)
    manifest = run.manifest("ingest", "f1")
    assert manifest is not None
    assert manifest["files"] == {"rows.csv": 4, "train/label.bin": 4}
    assert (manifest["stage"], manifest["fingerprint"], manifest["summary"]) == ("ingest", "f1", {"rows": 3})
    assert manifest == json.loads((artifact / "manifest.json").read_text())


def test_nothing_stands_at_its_place_before_the_artifact_is_whole(run: Run) -> None:
    with run.write("ingest", "f1") as writing:
        (writing.directory / "rows.csv").write_text("rows")
        assert not run.artifact("ingest", "f1").exists()
        assert run.manifest("ingest", "f1") is None
    assert run.manifest("ingest", "f1") is not None


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_inside_leaves_nothing(run: Run, error: BaseException) -> None:
    with pytest.raises(type(error)), run.write("ingest", "f1") as writing:
        (writing.directory / "rows.csv").write_text("rows")
        raise error
    assert left_behind(run) == ["ingest"]
    assert run.manifest("ingest", "f1") is None


def test_an_exception_inside_leaves_the_other_artifacts_alone(run: Run) -> None:
    write_artifact(run)
    with pytest.raises(ValueError, match="no"), run.write("ingest", "f2"):
        raise ValueError("no")
    assert run.fingerprints("ingest") == ["f1"]


@pytest.mark.parametrize("name", ["rows.csv", "train/label.bin", "manifest.json"])
def test_an_artifact_with_a_deleted_file_is_not_whole(run: Run, name: str) -> None:
    (write_artifact(run) / name).unlink()
    assert run.manifest("ingest", "f1") is None
    assert run.fingerprints("ingest") == []


@pytest.mark.parametrize("name", ["rows.csv", "train/label.bin", "manifest.json"])
def test_an_artifact_with_a_file_cut_short_is_not_whole(run: Run, name: str) -> None:
    os.truncate(write_artifact(run) / name, 3)
    assert run.manifest("ingest", "f1") is None


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"files": 3}', '{"files": null}', "not json"])
def test_a_damaged_manifest_is_none(run: Run, text: str) -> None:
    (write_artifact(run) / "manifest.json").write_text(text)
    assert run.manifest("ingest", "f1") is None


def test_an_artifact_whose_published_model_is_gone_is_not_whole(run: Run, tmp_path: Path) -> None:
    published = tmp_path / "saved_models" / "1"
    published.mkdir(parents=True)
    with run.write("export", "f1") as writing:
        writing.manifest["published"] = [str(published)]
    assert run.manifest("export", "f1") is not None
    published.rmdir()
    assert run.manifest("export", "f1") is None


def test_a_damaged_artifact_is_replaced(run: Run) -> None:
    artifact = write_artifact(run)
    (artifact / "rows.csv").unlink()
    (artifact / "stray.txt").write_text("left over")
    write_artifact(run, content="other rows")
    assert run.manifest("ingest", "f1") is not None
    assert (artifact / "rows.csv").read_text() == "other rows"
    assert not (artifact / "stray.txt").exists()


def test_fingerprints_come_oldest_first(run: Run) -> None:
    for place, fingerprint in enumerate(["f3", "f1", "f2"]):
        os.utime(write_artifact(run, fingerprint=fingerprint), (1000 + place, 1000 + place))
    assert run.fingerprints("ingest") == ["f3", "f1", "f2"]
    assert run.fingerprints("split") == []


def test_a_process_killed_while_writing_leaves_only_litter_which_the_next_lock_removes(run: Run) -> None:
    write_artifact(run, "split", "f0")
    assert python(WRITE_UNTIL_KILLED, run.directory).returncode == -signal.SIGKILL
    assert run.manifest("ingest", "f1") is None
    assert run.fingerprints("ingest") == []
    assert [name for name in left_behind(run) if name.endswith("half.bin")]
    with run.lock():
        assert os.listdir(run.directory / "ingest") == []
    assert run.fingerprints("split") == ["f0"]


def test_a_second_process_is_refused_the_lock_and_told_who_holds_it(run: Run) -> None:
    with holder(run.directory) as process:
        with pytest.raises(RunError, match=f"in use by another process \\(pid {process.pid}\\)"), run.lock():
            pass


def test_a_refused_process_removes_nothing_of_the_holder(run: Run) -> None:
    with holder(run.directory):
        growing = run.directory / "ingest" / ".tmp-f1-1"
        growing.mkdir(parents=True)
        with pytest.raises(RunError), run.lock():
            pass
        assert growing.exists()


def test_the_lock_is_free_after_its_holder_was_killed(run: Run) -> None:
    with holder(run.directory) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with run.lock():
            assert (run.directory / ".lock").read_text() == str(os.getpid())


def test_the_lock_is_free_after_an_exception(run: Run) -> None:
    with pytest.raises(ValueError, match="no"), run.lock():
        raise ValueError("no")
    with run.lock():
        pass


def test_two_runs_do_not_hinder_each_other(tmp_path: Path) -> None:
    with Run(tmp_path / "a").lock(), Run(tmp_path / "b").lock():
        assert (tmp_path / "a" / ".lock").exists()


def test_a_file_where_a_folder_is_needed_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    for directory in (tmp_path / "runs", tmp_path / "runs" / "adult"):
        with pytest.raises(RunError, match="file"), Run(directory).lock():
            pass
        with pytest.raises(RunError, match="file"), Run(directory).write("ingest", "f1"):
            pass
    assert (tmp_path / "runs").read_text() == "a file"


@pytest.mark.parametrize(("code", "stage"), [(WRITE_BEYOND_A_LIMIT, "ingest"), (WEIGHTS_BEYOND_A_LIMIT, "train")])
def test_a_file_that_may_not_grow_is_never_published(run: Run, code: str, stage: str) -> None:
    result = python(code, run.directory)
    said = [line for line in result.stderr.splitlines() if not TENSORFLOW_STARTS.match(line)]
    assert (result.returncode, said) == (0, [])
    number, _, fix = result.stdout.partition(" ")
    assert int(number) == errno.EFBIG
    assert fix.strip()
    assert left_behind(run) == [stage]


def test_a_full_disk_is_a_run_error_that_tells_how_to_go_on(run: Run) -> None:
    with pytest.raises(RunError) as caught, run.write("ingest", "f1") as writing:
        (writing.directory / "rows.csv").write_text("rows")
        Path("/dev/full").write_text("the kernel answers every write here as a full disk does")
    assert "no space left on the disk" in str(caught.value)
    assert "Free some space and run again" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert left_behind(run) == ["ingest"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR])
def test_what_the_system_refuses_names_the_file_and_a_way_out(tmp_path: Path, number: int) -> None:
    with pytest.raises(RunError, match="rows.arrow") as caught, translate_os_errors(tmp_path):
        raise OSError(number, os.strerror(number), "rows.arrow")
    assert str(tmp_path) in str(caught.value)
    assert caught.value.fix


def test_other_errors_of_the_system_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), translate_os_errors(tmp_path):
        (tmp_path / "missing").read_text()


def test_a_hash_depends_on_content_only(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in "abc")
    first.write_text("rows")
    second.write_text("rows")
    third.write_text("rowz")
    hashes = FileHashes()
    assert hashes.of(first) == hashes.of(second)
    assert hashes.of(first) != hashes.of(third)
    assert len(hashes.of(first)) == 32


def test_a_hash_is_remembered_across_processes(tmp_path: Path) -> None:
    file, remembered = tmp_path / "rows.csv", tmp_path / "deep" / ".hashes.json"
    file.write_text("rows")
    os.utime(file, ns=(10**18, 10**18))
    hashes = FileHashes(remembered)
    before = hashes.of(file)
    hashes.save()
    file.write_text("SWOR")  # as long as before and as old: only a hash that was remembered can still be the same
    os.utime(file, ns=(10**18, 10**18))
    assert FileHashes(remembered).of(file) == before
    assert FileHashes().of(file) != before


def test_a_change_of_size_or_of_time_is_noticed(tmp_path: Path) -> None:
    file, remembered = tmp_path / "rows.csv", tmp_path / ".hashes.json"
    found = set()
    for content, moment in (("rows", 1), ("rowz", 2), ("rows and more", 2)):
        file.write_text(content)
        os.utime(file, ns=(moment, moment))
        hashes = FileHashes(remembered)
        found.add(hashes.of(file))
        hashes.save()
    assert len(found) == 3


@pytest.mark.parametrize("text", ["", "{", "not json"])
def test_a_damaged_memory_of_hashes_costs_only_time(tmp_path: Path, text: str) -> None:
    file, remembered = tmp_path / "rows.csv", tmp_path / ".hashes.json"
    file.write_text("rows")
    remembered.write_text(text)
    assert FileHashes(remembered).of(file) == FileHashes().of(file)


def test_a_memory_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    hashes = FileHashes(tmp_path / "file" / ".hashes.json")
    hashes.of(tmp_path / "file")
    hashes.save()
    assert (tmp_path / "file").read_text() == ""


def test_a_missing_file_has_no_hash(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileHashes().of(tmp_path / "missing")
