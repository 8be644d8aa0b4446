"""The command line: its help, its defaults, and one sentence for each mistake."""

import os
import platform
import re
import subprocess
import sys

import pytest

import deep_learning_model as dlm
from conftest import IMPORT, ROOT, SCRIPT, refusal


def complaint(capsys, arguments):
    """Parse ``arguments``, see that end with status 2, and return the line on standard error."""
    with pytest.raises(SystemExit) as exit_:
        dlm.parse_options(arguments)
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
    for option, default in {
        "--epochs": "5",
        "--batch-size": "32",
        "--learning-rate": "0.00",
        "--seed": "0",
        "--output-dir": ".",
        "--data": "['mnist']",
        "--no-show": "False",
        "--validation-split": "0",
        "--no-augmentation": "False",
        "--architecture": "cnn",
        "--format": "h5",
    }.items():
        assert re.search(rf"{option}\b.*?\(default: {re.escape(default)}", text), option
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--epochs", "0"],
        ["--epochs", "-1"],
        ["--epochs", "2.5"],
        ["--epochs", "many"],
        ["--epochs"],
        ["--batch-size", "0"],
        ["--batch-size", "-32"],
        ["--batch-size", "1e3"],
        ["--learning-rate", "0"],
        ["--learning-rate", "-0.1"],
        ["--learning-rate", "nan"],
        ["--learning-rate", "inf"],
        ["--seed", "-1"],
        ["--seed", str(2**32)],
        ["--seed", "x"],
        ["--validation-split", "1"],
        ["--validation-split", "-0.1"],
        ["--validation-split", "nan"],
        ["--validation-split", "10%"],
        ["--no-augmentation=1"],
        ["--architecture", "rnn"],
        ["--format", "onnx"],
        ["--data"],
        ["--epoch", "3"],
        ["--unknown"],
        ["surplus"],
    ],
)
def test_a_bad_value_is_refused_by_name(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert arguments[0].partition("=")[0] in complaint(capsys, arguments)
    assert list(tmp_path.iterdir()) == []


def test_output_folder_is_made_with_its_parents(tmp_path):
    folder = tmp_path / "a b" / "größe"
    dlm.make_folder(folder)
    assert folder.is_dir() and list(folder.iterdir()) == []


def test_a_file_in_the_output_folders_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "--output-dir" in refusal(dlm.make_folder, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(
    not os.path.isdir("/proc/self"),
    reason="needs a folder that nobody can write, such as Linux's /proc",
)
def test_an_unwritable_output_folder_is_refused_before_any_long_work(run_script):
    result = run_script("--output-dir", "/proc/self")
    assert (result.returncode, result.stdout) == (2, "") and result.stderr.count("\n") == 1
    assert "--output-dir /proc/self" in result.stderr


@pytest.mark.parametrize(
    "source, architecture, name",
    [
        ("mnist", "cnn", "mnist_cnn_model.h5"),
        ("fashion_mnist", "cnn-dropout", "fashion_mnist_cnn_dropout_model.h5"),
        ("a/digits.v1.npz", "cnn", "digits.v1_cnn_model.h5"),
        ("a/digits.v2.npz", "cnn", "digits.v2_cnn_model.h5"),
        ("my-train.csv.gz", "dnn", "my-train_dnn_model.h5"),
        ("a/my.folder/", "cnn", "my.folder_cnn_model.h5"),
    ],
)
def test_the_models_name_tells_data_and_network(source, architecture, name):
    options = dlm.parse_options(["--data", source, "--architecture", architecture])
    assert dlm.model_file(options) == name


def test_inline_metadata_and_requirements_name_the_same_packages():
    text = SCRIPT.read_text("utf-8")
    assert '# requires-python = ">=3.11"' in text
    metadata = re.search(r"^# dependencies = \[(.*)\]$", text, re.M)[1]
    requirements = (ROOT / "requirements.txt").read_text().split()
    assert sorted(re.findall(r'"(.+?)"', metadata)) == sorted(requirements)


def test_importing_the_script_prints_writes_and_changes_nothing(tmp_path):
    before = """
import os, signal, socket
before = os.fstat(2)
environment = dict(os.environ)
handler = signal.getsignal(signal.SIGINT)
"""
    after = """
print(socket.getdefaulttimeout(), signal.getsignal(signal.SIGINT) == handler)
changed = {name for name in os.environ if environment.get(name) != os.environ[name]}
print(os.fstat(2) == before, changed)
"""
    variables = {
        name: value for name, value in os.environ.items() if name[:3] not in ("TF_", "KER")
    }
    variables["TF_NUM_INTRAOP_THREADS"] = "7"  # the user's own choice, which stays
    command = [sys.executable, "-c", before + IMPORT + after]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=variables)
    first, second = result.stdout.splitlines()
    assert (result.returncode, first) == (0, "None True") and second.startswith("True {")
    changed = set(re.findall(r"'(\w+)'", second)) - {"TF2_BEHAVIOR"}  # which TensorFlow sets
    assert all(name.startswith(("TF_", "KERAS_BACKEND")) for name in changed), changed
    assert "TF_NUM_INTRAOP_THREADS" not in changed
    assert ("TF_ENABLE_ONEDNN_OPTS" in changed) == (platform.machine() in ("x86_64", "AMD64"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cores, threads", [(1, 1), (2, 1), (6, 3), (7, 3)])
def test_threads_are_half_of_the_cores_that_the_process_may_use(cores, threads, tmp_path):
    """As sched_getaffinity tells, whatever cpu_count says; without TensorFlow, to be quick."""
    (tmp_path / "tensorflow.py").write_text("raise ImportError")
    code = f"""
import os, platform, sys
os.sched_getaffinity = lambda _: set(range({cores}))
os.cpu_count = lambda: 64
platform.machine = lambda: "x86_64"
sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]
try:
    import deep_learning_model
except ImportError:
    print(os.environ["TF_NUM_INTRAOP_THREADS"])
"""
    variables = {name: value for name, value in os.environ.items() if name[:3] != "TF_"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, env=variables)
    assert int(result.stdout) == threads


@pytest.mark.skipif(os.name != "posix", reason="aborts as POSIX does")
@pytest.mark.parametrize(
    "end, said", [("os.abort()", "my last words\n"), ("raise ImportError('no AVX')", "no AVX")]
)
def test_the_last_words_of_a_failing_import_reach_the_user(end, said, run_script, tmp_path):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(
        "import os\nos.write(2, b'I0000 00:00:1 1 port.cc:1] a note\\nmy last words\\n')\n" + end
    )
    result = run_script("--help", env={"PYTHONPATH": str(tmp_path)})
    assert result.returncode != 0 and said in result.stderr and "my last words" in result.stderr
    assert "a note" not in result.stderr
