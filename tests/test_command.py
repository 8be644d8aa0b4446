"""The command line: its help, its defaults, and one line for each wrong option."""

import os
import re
import subprocess
import sys
import tomllib

import pytest

import deep_learning_model as dlm
from conftest import IMPORT, ROOT, SCRIPT, refusal, run_here


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
        assert re.search(rf"{option} .*?" + (default and rf"\({re.escape(default)}\)"), text), (
            option
        )


WRONG = """
--epochs 0, --epochs 2.5, --epochs, --batch-size -32, --batch-size 1e3, --learning-rate 0,
--learning-rate nan, --learning-rate inf, --seed -1, --seed 4294967296, --seed x,
--validation-split 1, --validation-split -0.1, --validation-split nan, --validation-split 10%,
--no-augmentation=1, --architecture rnn, --data, --model mnist_cnn_model.h5,
--epok 3, surplus
"""


@pytest.mark.parametrize("arguments", [words.split() for words in WRONG.split(",")])
def test_a_wrong_option_is_named_in_one_line(arguments, capsys):
    with pytest.raises((SystemExit, dlm.InputError)) as error:
        dlm.parse_args(arguments)
    output = capsys.readouterr()
    said = output.err
    if error.type is dlm.InputError:  # which ends the script as test_main.py tells
        said = f"deep_learning_model.py: error: {error.value}\n"
    else:
        assert error.value.code == 2
    assert said.startswith("deep_learning_model.py: error: ") and said.count("\n") == 1
    assert arguments[0].partition("=")[0] in said and output.out == ""


@pytest.mark.parametrize("source", ["mnist", "in/digits.v1.npz", "a-train.csv.gz", "folder/"])
def test_the_models_name_tells_data_and_network(source):
    args = dlm.parse_args(["--data", source, "--architecture", "dnn"])
    names = {"in/digits.v1.npz": "digits.v1", "a-train.csv.gz": "a-train", "folder/": "folder"}
    assert str(args.model_path) == f"{names.get(source, source)}_dnn_model.h5"
    assert dlm.parse_args(["--data", "a.csv", "--data", source]).data == ["a.csv", source]


def test_an_output_folder_that_can_not_be_used_is_refused_before_the_training(tmp_path):
    (tmp_path / "file").write_text("mine")
    arguments = ["--data", "absent.npz", "--output-dir", tmp_path / "file"]
    assert str(tmp_path / "file") in refusal(run_here, *arguments)
    assert (tmp_path / "file").read_text() == "mine"
    if os.name == "posix" and os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        arguments[-1] = tmp_path / "locked"
        assert "write-protected" in refusal(run_here, *arguments)


def test_importing_the_script_prints_writes_and_changes_nothing(tmp_path):
    """But for what TensorFlow sets by itself."""
    before = "import os, socket; import tensorflow; environment = dict(os.environ)\n"
    after = "print(socket.getdefaulttimeout(), dict(os.environ) == environment)"
    ours = ("TF_", "KERAS", "XLA", "MPL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    command = [sys.executable, "-c", before + IMPORT + after]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=kept)
    assert (result.returncode, result.stdout) == (0, "None True\n"), result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_run_sets_what_makes_it_fast_but_for_what_the_user_has_set(tmp_path):
    code = """
import os, platform, runpy, sys
platform.machine, os.cpu_count = lambda: "x86_64", lambda: 6
sys.argv[1:] = ["--help"]
try:
    runpy.run_path(SCRIPT, run_name="__main__")
finally:
    print([os.environ.get(name) for name in NAMES])
"""
    names = ["KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS"]
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["TF_ENABLE_ONEDNN_OPTS"] = "0"
    code = code.replace("SCRIPT", repr(str(SCRIPT))).replace("NAMES", repr(names))
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert result.stdout.splitlines()[-1] == "['tensorflow', '0', '3']"


def test_the_packages_stand_alike_in_the_script_and_in_the_requirements():
    text = SCRIPT.read_text("utf-8")
    block = text.partition("# /// script\n")[2].partition("# ///\n")[0]
    metadata = tomllib.loads(re.sub("^# ", "", block, flags=re.M))
    requirements = (ROOT / "requirements.txt").read_text().split()
    assert metadata["dependencies"] == requirements and "3.11" in metadata["requires-python"]


@pytest.mark.parametrize("version", ["2.15.0", "3.6.0"])
def test_a_keras_that_reports_wrong_figures_is_refused(version, tmp_path, monkeypatch):
    monkeypatch.setattr(dlm.keras, "__version__", version)
    message = refusal(run_here, "--output-dir", tmp_path / "new")
    assert version in message and "3.7" in message and list(tmp_path.iterdir()) == []
