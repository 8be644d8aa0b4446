"""The command line: its help, its defaults, and one sentence for each mistake."""
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import deep_learning_model as dlm
from conftest import ROOT, SCRIPT


def refusal(capsys, *arguments, call=dlm.parse_options):
    """Call ``call`` with ``arguments``, see it end with status 2, and return its one line on standard error."""
    with pytest.raises(SystemExit) as exit_:
        call(*arguments)
    output = capsys.readouterr()
    assert exit_.value.code == 2
    assert output.out == ""
    assert output.err.startswith("deep_learning_model.py: error: ") and output.err.count("\n") == 1
    return output.err


def test_defaults_are_the_projects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = dlm.parse_options([])
    assert (options.epochs, options.batch_size, options.seed, options.data) == (5, 32, 0, "mnist")
    assert str(options.output_dir) == "." and options.no_show is False


def test_help_names_every_option_with_its_default(run_script, tmp_path):
    result = run_script("--help", cwd=tmp_path)
    assert result.returncode == 0 and result.stderr == ""
    text = " ".join(result.stdout.split())
    for option, default in {"--epochs": "5", "--batch-size": "32", "--learning-rate": "0.00", "--seed": "0",
                            "--output-dir": ".", "--data": "mnist", "--no-show": "False"}.items():
        assert re.search(rf"{option}\b.*?\(default: {re.escape(default)}", text), option
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [
    ["--epochs", "0"], ["--epochs", "-1"], ["--epochs", "2.5"], ["--epochs", "many"], ["--epochs"],
    ["--batch-size", "0"], ["--batch-size", "-32"], ["--batch-size", "1e3"],
    ["--learning-rate", "0"], ["--learning-rate", "-0.1"], ["--learning-rate", "nan"], ["--learning-rate", "inf"],
    ["--seed", "-1"], ["--seed", str(2**32)], ["--seed", "x"],
    ["--epoch", "3"], ["--unknown"], ["surplus"],
])
def test_a_bad_value_is_refused_by_name(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert arguments[0] in refusal(capsys, arguments)


def test_output_folder_is_made_with_its_parents(tmp_path):
    folder = tmp_path / "a b" / "größe"
    dlm.parse_options(["--output-dir", str(folder)])
    assert folder.is_dir() and list(folder.iterdir()) == []


def test_a_file_in_the_output_folders_place_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "--output-dir" in refusal(capsys, ["--output-dir", str(tmp_path / "file")])
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody can write, such as Linux's /proc")
def test_an_unwritable_output_folder_is_refused(capsys):
    assert "--output-dir" in refusal(capsys, ["--output-dir", "/proc/self"])


def arrays(**changes):
    good = {"x_train": np.zeros((6, 28, 28), "uint8"), "y_train": np.arange(6),
            "x_test": np.full((4, 28, 28), 255.0), "y_test": np.arange(4, dtype="uint8")}
    return {name: array for name, array in {**good, **changes}.items() if array is not None}


def test_a_good_npz_is_accepted(tmp_path):
    np.savez(tmp_path / "good.npz", **arrays())
    (x_train, y_train), (x_test, y_test) = dlm.load_data(str(tmp_path / "good.npz"))
    assert x_train.shape == (6, 28, 28) and x_test.shape == (4, 28, 28)
    assert y_train.tolist() == [0, 1, 2, 3, 4, 5] and y_test.tolist() == [0, 1, 2, 3]


NAN = np.zeros((6, 28, 28), "float32")
NAN[3, 5, 5] = np.nan


@pytest.mark.parametrize("name, changes", [
    ("y_test", {"y_test": None}),
    ("x_train", {"x_train": None}),
    ("x_train", {"x_train": np.zeros((6, 27, 28))}),
    ("x_train", {"x_train": np.zeros((6, 784))}),
    ("x_train", {"x_train": np.zeros(())}),
    ("x_train", {"x_train": np.zeros((0, 28, 28)), "y_train": np.zeros(0, int)}),
    ("x_test", {"x_test": np.zeros((4, 28, 28, 3))}),
    ("y_train", {"y_train": np.arange(5)}),
    ("y_train", {"y_train": np.zeros((6, 10), int)}),
    ("y_train", {"y_train": np.arange(6.0)}),
    ("y_train", {"y_train": np.array(list("012345"))}),
    ("y_test", {"y_test": np.array([0, 1, 2, 10])}),
    ("y_test", {"y_test": np.array([0, 1, 2, -1])}),
    ("x_train", {"x_train": NAN}),
    ("x_train", {"x_train": np.full((6, 28, 28), np.inf)}),
    ("x_train", {"x_train": np.full((6, 28, 28), 256)}),
    ("x_test", {"x_test": np.full((4, 28, 28), -1)}),
    ("x_test", {"x_test": np.zeros((4, 28, 28), complex)}),
    ("x_train", {"x_train": np.zeros((6, 28, 28), bool).astype(str)}),
])
def test_bad_arrays_are_refused_by_name(name, changes, capsys, tmp_path):
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    message = refusal(capsys, str(tmp_path / "bad.npz"), call=dlm.load_data)
    assert name in message and "bad.npz" in message


class Trap:
    """An object whose unpickling leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_pickled_objects_are_never_unpickled(capsys, tmp_path):
    np.savez(tmp_path / "pickled.npz", **arrays(x_train=np.array([Trap(str(tmp_path / "sprung"))], dtype=object)))
    assert "pickled.npz" in refusal(capsys, str(tmp_path / "pickled.npz"), call=dlm.load_data)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"some text\n", b"PK\x03\x04 no zip", None])
def test_what_is_no_npz_is_refused(content, capsys, tmp_path):
    path = tmp_path / "data.npz"
    if content is not None:
        path.write_bytes(content)
    message = refusal(capsys, str(path), call=dlm.load_data)
    assert "data.npz" in message and "pickle" not in message  # NumPy takes every unknown file for a pickle


def test_a_truncated_npz_and_an_npy_are_refused(capsys, tmp_path):
    np.savez(tmp_path / "whole.npz", **arrays())
    whole = (tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    np.save(tmp_path / "one.npy", np.zeros((6, 28, 28)))
    for name in "half.npz", "one.npy":
        assert name in refusal(capsys, str(tmp_path / name), call=dlm.load_data)


def test_the_command_refuses_in_one_line_and_writes_nothing(run_script, tmp_path):
    for arguments in ["--epochs", "0"], ["--data", "absent.npz"]:
        result = run_script(*arguments, cwd=tmp_path)
        assert result.returncode == 2 and result.stdout == "" and result.stderr.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


def test_inline_metadata_and_requirements_name_the_same_packages():
    metadata = re.search(r"^# dependencies = \[(.*)\]$", SCRIPT.read_text("utf-8"), re.M)[1]
    assert sorted(re.findall(r'"(.+?)"', metadata)) == sorted((ROOT / "requirements.txt").read_text().split())


def test_importing_the_script_prints_and_writes_nothing(tmp_path):
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import deep_learning_model"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
