"""The command line: its help, its defaults, and one sentence for each mistake."""
import os
import re
import subprocess
import sys

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
    assert (options.epochs, options.batch_size, options.seed, options.data) == (5, 32, 0, ["mnist"])
    assert (options.architecture, options.format, options.validation_split) == ("cnn", "h5", 0)
    assert str(options.output_dir) == "." and options.no_show is False


def test_help_names_every_option_with_its_default(run_script, tmp_path):
    result = run_script("--help", cwd=tmp_path)
    assert result.returncode == 0 and result.stderr == ""
    text = " ".join(result.stdout.split())
    for option, default in {"--epochs": "5", "--batch-size": "32", "--learning-rate": "0.00", "--seed": "0",
                            "--output-dir": ".", "--data": "['mnist']", "--no-show": "False", "--validation-split": "0", "--augmentation": "-1",
                            "--architecture": "cnn", "--format": "h5"}.items():
        assert re.search(rf"{option}\b.*?\(default: {re.escape(default)}", text), option
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [
    ["--epochs", "0"], ["--epochs", "-1"], ["--epochs", "2.5"], ["--epochs", "many"], ["--epochs"],
    ["--batch-size", "0"], ["--batch-size", "-32"], ["--batch-size", "1e3"],
    ["--learning-rate", "0"], ["--learning-rate", "-0.1"], ["--learning-rate", "nan"], ["--learning-rate", "inf"],
    ["--seed", "-1"], ["--seed", str(2**32)], ["--seed", "x"],
    ["--validation-split", "1"], ["--validation-split", "-0.1"], ["--validation-split", "nan"], ["--validation-split", "10%"],
    ["--augmentation", "-2"], ["--augmentation", "2.1"], ["--augmentation", "strong"],
    ["--architecture", "rnn"], ["--format", "onnx"], ["--data"],
    ["--epoch", "3"], ["--unknown"], ["surplus"],
])
def test_a_bad_value_is_refused_by_name(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert arguments[0] in refusal(capsys, arguments)


def test_what_is_refused_is_quoted_in_one_line(capsys):
    assert "unrecognized arguments: a b" in refusal(capsys, ["a\n\n\tb\r"])


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
