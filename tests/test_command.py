"""The command line: its help, its defaults, and one line for each wrong option."""

import ast
import os
import re
import subprocess
import sys

import pytest

import deep_learning_model as dlm
from conftest import IMPORT, refusal, run_here


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


def test_importing_the_script_prints_and_writes_nothing_and_changes_only_the_environment(tmp_path):
    """The threads are half of the cores that the process may use, whatever cpu_count says."""
    before = """
import os, platform, socket
environment = dict(os.environ)
os.sched_getaffinity = lambda _: set(range(7))
os.cpu_count = lambda: 64
platform.machine = lambda: "x86_64"
"""
    after = """
print(socket.getdefaulttimeout())
print({name: os.environ[name] for name in os.environ if environment.get(name) != os.environ[name]})
"""
    kept = {
        name: value for name, value in os.environ.items() if name[:3] not in ("TF_", "KER", "XLA")
    }
    kept["TF_CPP_MIN_LOG_LEVEL"] = "2"  # the user's own choice
    command = [sys.executable, "-c", before + IMPORT + after]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=kept)
    first, second = result.stdout.splitlines()
    assert (result.returncode, first) == (0, "None")
    changed = ast.literal_eval(second)
    changed.pop("TF2_BEHAVIOR", None)  # which TensorFlow sets
    threads = {"TF_ENABLE_ONEDNN_OPTS": "1", "TF_NUM_INTRAOP_THREADS": "3"}
    xla = {"XLA_FLAGS": "--xla_disable_hlo_passes=cudnn-fused-convolution-rewriter"}
    assert changed == {"KERAS_BACKEND": "tensorflow", **xla, **threads}
    assert list(tmp_path.iterdir()) == []
