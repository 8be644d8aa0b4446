"""Errors, files and options: the command line, and what a run and an import set."""

import io
import os
import re
import subprocess
import sys
import tomllib

import pytest

import deep_learning_model as dlm
from conftest import ROOT, SCRIPT, draw_bar, refusal, run_here


def test_help_names_every_option_and_its_default(capsys):
    with pytest.raises(SystemExit) as exit_:
        dlm.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert exit_.value.code == 0
    assert "None" not in text and "['mnist']" not in text and "False" not in text
    defaults = "--epochs 5 --batch-size 32 --learning-rate 0.003 --seed 0 --validation-split 0"
    defaults += " --data mnist --architecture cnn --output-dir . --no-augmentation --no-show"
    defaults += " --predict --draw --model OUTPUT_DIR/mnist_cnn_model.h5"
    for option, default in re.findall(r"(--\S+)(?: (?!--)(\S+))?", defaults):
        shown = re.search(rf"{option} [^(]*" + (default and rf"\({re.escape(default)}\)"), text)
        assert shown, option


WRONG = """
--epochs 0, --batch-size -32, --learning-rate 0, --learning-rate nan, --learning-rate inf,
--seed -1, --seed 4294967296, --validation-split 1, --validation-split -0.1,
--validation-split nan, --model mnist_cnn_model.h5
"""


@pytest.mark.parametrize("arguments", [words.split() for words in WRONG.split(",")])
def test_a_wrong_value_is_refused_with_the_options_name(arguments):
    assert arguments[0] in refusal(dlm.parse_args, arguments)


@pytest.mark.parametrize("option", ["--epok=3", "--epochs=2.5", "--architecture=rnn", "surplus"])
def test_a_wrong_option_is_named_in_one_line(option, capsys):
    with pytest.raises(SystemExit) as exit_:
        dlm.parse_args([option])
    said = capsys.readouterr().err
    assert exit_.value.code == 2 and said.count("\n") == 1 and option.partition("=")[0] in said
    assert said.startswith("deep_learning_model.py: error: ")


@pytest.mark.parametrize("source", ["mnist", "in/digits.v1.npz", "a-train.csv.gz", "folder/"])
def test_the_models_name_tells_data_and_network(source):
    args = dlm.parse_args(["--data", source, "--architecture", "dnn"])
    names = {"in/digits.v1.npz": "digits.v1", "a-train.csv.gz": "a-train", "folder/": "folder"}
    assert str(args.model_path) == f"{names.get(source, source)}_dnn_model.h5"
    assert dlm.parse_args(["--data", "a.csv", "--data", source]).data == ["a.csv", source]


def test_an_output_folder_that_can_not_be_used_is_refused_before_the_training(tmp_path):
    (tmp_path / "file").write_text("mine")
    arguments = ["--data", "absent.npz", "--output-dir", tmp_path / "file"]
    assert repr(str(tmp_path / "file")) in refusal(run_here, *arguments)
    assert (tmp_path / "file").read_text() == "mine"
    if os.name == "posix" and os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        arguments[-1] = tmp_path / "locked"
        assert "write-protected" in refusal(run_here, *arguments)


def test_an_output_folder_within_the_data_is_refused(tmp_path):
    """Else the next run would take its figures for a class."""
    draw_bar(tmp_path / "pictures" / "train" / "a" / "0.png")
    for output in "results", "train/a/b":
        output = tmp_path / "pictures" / output
        message = refusal(run_here, "--data", tmp_path / "pictures", "--output-dir", output)
        assert f"{output}" in message and not output.exists()


def output_of(code, folder, **environment):
    """Return what a program prints, in a folder; a run's settings are those given alone."""
    ours = ("TF_", "KERAS", "XLA", "MPL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    usual = {"capture_output": True, "text": True, "check": True, "env": kept | environment}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, **usual).stdout


def test_importing_the_script_changes_nothing(tmp_path):
    """But for what TensorFlow sets by itself."""
    code = f"""
import os, socket, sys, tensorflow
environment = dict(os.environ)
sys.path.insert(0, {str(ROOT)!r})
import deep_learning_model
print(socket.getdefaulttimeout(), dict(os.environ) == environment)
"""
    assert output_of(code, tmp_path) == "None True\n"
    assert list(tmp_path.iterdir()) == []


def test_a_run_sets_what_makes_it_fast_unless_the_user_has(tmp_path):
    names = ["KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"]
    names.append("TF_CPP_MIN_LOG_LEVEL")
    code = f"""
import os, platform, runpy, sys
platform.machine, os.cpu_count = lambda: "x86_64", lambda: 6
sys.argv[1:] = ["--help"]
try:
    runpy.run_path({str(SCRIPT)!r}, run_name="__main__")
except SystemExit:
    print([os.environ.get(name) for name in {names}])
"""
    lines = output_of(code, tmp_path, TF_CPP_MIN_LOG_LEVEL="2").splitlines()
    assert lines[-1] == "['tensorflow', '1', '3', '2']"


@pytest.mark.parametrize("cell, epochs", [({}, 5), ({"__file__": str(SCRIPT)}, 2)])
def test_pasted_into_a_notebook_the_script_takes_its_defaults(cell, epochs, monkeypatch):
    """With %run it has a file and its own options. A notebook's output can't be reconfigured."""
    options = ["--epochs", "2"] if cell else ["-f", "kernel.json"]
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", *options])
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    definitions, start, end = SCRIPT.read_text("utf-8").rpartition('\nif __name__ == "__main__":')
    cell = {"__name__": "__main__", **cell}
    exec(definitions, cell)
    parsed = []
    cell["main"] = lambda argv: parsed.append(dlm.parse_args(argv))
    exec(start + end, cell)
    assert parsed[0].epochs == epochs and parsed[0].data == ["mnist"]


def test_script_and_requirements_name_the_same_packages():
    text = SCRIPT.read_text("utf-8")
    block = text.partition("# /// script\n")[2].partition("# ///\n")[0]
    metadata = tomllib.loads(re.sub("^# ", "", block, flags=re.M))
    requirements = (ROOT / "requirements.txt").read_text().split()
    assert metadata["dependencies"] == requirements and "3.11" in metadata["requires-python"]


def test_a_keras_that_reports_wrong_figures_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(dlm.keras, "__version__", "3.6.0")
    message = refusal(run_here, "--output-dir", tmp_path / "new")
    assert "3.6.0" in message and "3.7" in message and list(tmp_path.iterdir()) == []
