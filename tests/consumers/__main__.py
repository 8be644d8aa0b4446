"""Open the saved model in the programs that its users have, and compare each with the script.

    .venv/bin/python tests/consumers             all consumers
    .venv/bin/python tests/consumers --own       only those that this Python can host
    .venv/bin/python tests/consumers NAME...     only these

Takes mnist_cnn_model.h5 and metrics.json of a default run from the current folder. For each
consumer makes an environment (kept in --cache for the next time), opens the .h5 in it by the front
page's code and compares the probabilities of the 10,000 test images, to 1e-5, and what ``evaluate``
says. Prints a line a consumer and a summary; the exit status is 1 if one failed. A consumer is
skipped, and said to be, where its Python or program is missing.
"""

import argparse
import contextlib
import functools
import http.server
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(HERE.parent)]
import deep_learning_model as dlm  # noqa: E402
import pages  # noqa: E402

# The front page's code that consumers run, by a word of it.
SNIPPETS = {
    "load": "load_model(",
    "inside": "keras.Model(model.inputs, tensors",
    "gradient": "GradientTape",
    "replace": "Dense(5",
    "savedmodel": ".export(",
    "tflite": "TFLiteConverter",
    "openvino": "import openvino",
}
TFJS = "4.22.0"
OWN_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


class Consumer(NamedTuple):
    name: str
    pythons: tuple  # versions that can host it, the best first
    requirements: str
    command: str  # for the environment's Python, in this folder; FOLDER is where the model is
    backend: str = "tensorflow"
    page: str = ""  # a word of the front page's commands that come first


NEWEST = ("3.11", "3.12", "3.13")
NEW = "tensorflow tf_keras jax torch==2.13.0 ai-edge-litert openvino"
# The lowest versions that requirements.txt allows, with their last corrections. Keras before 3.7
# doesn't evaluate rightly when several steps run in one call.
LOWEST = re.sub(r">=(\S+)\s+", r"==\1.* ", (ROOT / "requirements.txt").read_text()) + "keras==3.7.*"
KERAS = "check_keras.py keras FOLDER"
TF_KERAS = "check_keras.py tensorflow.keras FOLDER"
TF_215 = "tensorflow==2.15.1 coremltools==9.0"
TF_115 = "tensorflow==1.15.5 protobuf<3.21"
KERAS_224 = TF_115 + " keras==2.2.4 h5py<3"
CONVERTED = "check_converted.py "
CONSUMERS = [
    Consumer("Keras 3 newest on TensorFlow", NEWEST, NEW, KERAS + " fit"),
    Consumer("Keras 3 newest on JAX", NEWEST, NEW, KERAS + " fit", "jax"),
    Consumer("Keras 3 newest on PyTorch", NEWEST, NEW, KERAS + " fit", "torch"),
    Consumer("tf_keras newest", NEWEST, NEW, "check_keras.py tf_keras FOLDER fit"),
    Consumer("SavedModel", NEWEST, NEW, CONVERTED + "savedmodel FOLDER"),
    Consumer("OpenVINO", NEWEST, NEW, CONVERTED + "openvino FOLDER"),
    Consumer("TensorFlow Lite", NEWEST, NEW, CONVERTED + "tflite FOLDER"),
    Consumer("LiteRT", NEWEST, NEW, CONVERTED + "litert FOLDER"),
    Consumer("ONNX", NEWEST, NEW, CONVERTED + "onnx FOLDER", page="tf2onnx.convert"),
    Consumer("ONNX, from_keras", NEWEST, NEW, CONVERTED + "from_keras FOLDER"),
    Consumer("Keras, lowest version", ("3.11", "3.12"), LOWEST, KERAS + " fit"),
    Consumer("Keras 3.6", ("3.11", "3.12"), "tensorflow==2.18.1 keras==3.6.0", KERAS),
    Consumer("Keras 3.0", ("3.11", "3.12"), "tensorflow==2.16.2 keras==3.0.5", KERAS),
    Consumer("TensorFlow 2.15", ("3.11", "3.10"), TF_215, TF_KERAS + " fit"),
    Consumer("Core ML (coremltools)", ("3.11", "3.10"), TF_215, CONVERTED + "coreml FOLDER"),
    Consumer("TensorFlow 2.10", ("3.10", "3.9"), "tensorflow==2.10.1 numpy<2", TF_KERAS),
    Consumer("TensorFlow 2.4", ("3.8", "3.7"), "tensorflow==2.4.4", TF_KERAS),
    Consumer("TensorFlow 1.15", ("3.7", "3.6"), TF_115, TF_KERAS + " tf1"),
    Consumer("Keras 2.2.4 on TensorFlow 1.15", ("3.7", "3.6"), KERAS_224, KERAS + " tf1"),
]


class Missing(Exception):
    """What a consumer needs isn't on this machine."""


def find_python(versions):
    """Return path and version of the first of ``versions`` on this machine, or raise Missing."""
    root = Path(os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv")), "versions")
    for version in versions:
        own = sys.executable if version == OWN_VERSION else None
        found = root.glob(f"{version}.*/bin/python")
        for candidate in [own, *found, shutil.which(f"python{version}")]:
            check = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
            if candidate and run([candidate, "-c", check], check=False).strip() == version:
                return str(candidate), version
    raise Missing(f"no Python {' or '.join(versions)}")


def run(command, check=True, **kwargs):
    """Run a command and return what it printed; if it fails, raise RuntimeError with its end."""
    command, usual = list(map(str, command)), {"capture_output": True, "text": True}
    result = subprocess.run(command, stdin=subprocess.DEVNULL, **usual, **kwargs)
    if check and result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()
        raise RuntimeError(" ".join(lines[-2:])[-300:])
    return result.stdout


def environment(pythons, requirements, cache):
    """Return the Python of an environment with these requirements, made in ``cache`` if need be."""
    python, version = find_python(pythons)
    folder = cache / re.sub(r"\W+", "-", f"python {version} {requirements}").strip("-")
    place = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run([python, "-m", "venv", folder])
        run([place, "-m", "pip", "install", "-q", *requirements.split()])
        (folder / "complete").touch()
    return place


def npm_folder(cache):
    """Return a folder in ``cache`` in which TensorFlow.js is installed."""
    if not (shutil.which("npm") and shutil.which("node")):
        raise Missing("no Node.js")
    folder = cache / f"tfjs-{TFJS}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        install = [shutil.which("npm"), "install", "--ignore-scripts", "--prefix", folder]
        run([*install, f"@tensorflow/tfjs@{TFJS}"])
        (folder / "complete").touch()
    return folder


def prepare(folder):
    """Lay into ``folder`` the model, the page's code and the model's answers to the test images."""
    model, _ = dlm.load_model(Path("mnist_cnn_model.h5"))
    shutil.copy("mnist_cnn_model.h5", folder)
    snippets = {name: pages.block(word) for name, word in SNIPPETS.items()}
    (folder / "snippets.json").write_text(json.dumps(snippets))
    metrics = json.loads(Path("metrics.json").read_text())
    (x_train, y_train), (x_test, y_test), _ = dlm.load_data(["mnist"])
    images = dlm.normalize(x_test)
    probabilities = model.predict(images, batch_size=100, verbose=0)
    np.savez(
        folder / "expected.npz",
        images=images,
        labels=y_test,
        probabilities=probabilities,
        loss=metrics["test_loss"],
        accuracy=metrics["test_accuracy"],
        x_train=dlm.normalize(x_train[:6000]),
        y_train=y_train[:6000],
    )
    small = {"x_train": x_train[:600], "y_train": y_train[:600]}
    np.savez(folder / "small.npz", x_test=x_test[:300], y_test=y_test[:300], **small)
    images[:1000].tofile(folder / "images.bin")
    probabilities[:1000].tofile(folder / "probabilities.bin")


def run_page(word, folder, python):
    """Run the page's commands that hold a word, with an environment as the page's .venv."""
    link = folder / ".venv"
    link.unlink(missing_ok=True)
    link.symlink_to(Path(python).parent.parent)
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-euo", "pipefail", "-c", pages.block(word)]
    run(command, cwd=folder, env={**os.environ, "PATH": path})


def check_consumer(consumer, folder, cache, discard):
    python = environment(consumer.pythons, consumer.requirements, cache)
    if consumer.page:
        run_page(consumer.page, folder, python)
    command = consumer.command.replace("FOLDER", str(folder)).split()
    # TensorFlow has set TF2_BEHAVIOR here, which would turn version 1 into 2.
    variables = {name: value for name, value in os.environ.items() if name != "TF2_BEHAVIOR"}
    variables |= {"KERAS_BACKEND": consumer.backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    variables["CUDA_VISIBLE_DEVICES"] = "-1"
    lines = run([python, *command], cwd=HERE, env=variables).strip().splitlines()
    sharers = [other for other in CONSUMERS if other.requirements == consumer.requirements]
    if discard and consumer == sharers[-1] and consumer.requirements != LOWEST:
        shutil.rmtree(python.parent.parent)
    return lines[-1]


def check_lowest(folder, cache):
    """Train the script on a few images in its lowest versions, and read a picture there."""
    python = environment(("3.11", "3.12"), LOWEST, cache)
    script = [python, ROOT / "deep_learning_model.py", "--no-show", "--output-dir", folder]
    run([*script, "--data", folder / "small.npz", "--epochs", "2"])
    metrics = json.loads((folder / "metrics.json").read_text())
    accuracy, evaluated = metrics["test_accuracy"], metrics["epochs"]["val_accuracy"][-1]
    if not abs(accuracy - evaluated) < 1e-6 or accuracy < 0.6:
        raise RuntimeError(f"test accuracy {accuracy}, {evaluated} after the last epoch")
    dlm.load_model(folder / "small_cnn_model.h5")

    digit = np.load(folder / "small.npz")["x_test"][0, ..., 0]
    dlm.Image.fromarray(255 - digit).resize((280, 280)).save(folder / "digit.png")
    model = folder / "mnist_cnn_model.h5"
    said = run([*script, "--model", model, "--predict", folder / "digit.png"])
    if "digit.png: 7 (" not in said:
        raise RuntimeError(said)
    return f"test accuracy {accuracy:.2%} with 600 images, 7 recognized"


def check_conversion(folder, cache):
    python, _ = find_python(("3.11", "3.12"))
    run_page("tensorflowjs_converter", folder, python)
    return "converted"


def check_node(folder, cache):
    if not (folder / "web").exists():
        raise Missing("the converted model isn't there")
    modules = npm_folder(cache) / "node_modules"
    env = {**os.environ, "NODE_PATH": str(modules)}
    return run(["node", HERE / "check_tfjs.js", folder], env=env).strip().splitlines()[-1]


@contextlib.contextmanager
def served(folder, results):
    """Serve ``folder`` on a local port and give that; what a page posts goes to ``results``."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_POST(self):
            results.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


BROWSER_OPTIONS = """
--headless --no-sandbox --disable-quic --no-first-run --disable-background-networking
--disable-component-update --disable-sync --enable-unsafe-swiftshader --remote-debugging-port=0
""".split()


def check_browser(folder, cache):
    names = "chromium", "chromium-browser", "google-chrome"
    browser = next(filter(None, map(shutil.which, names)), None)
    if not browser:
        raise Missing("no Chromium")
    if not (folder / "web").exists():
        raise Missing("the converted model isn't there")
    shutil.copy(npm_folder(cache) / "node_modules/@tensorflow/tfjs/dist/tf.min.js", folder)
    shutil.copy(HERE / "browser.html", folder)
    results = queue.Queue()
    with served(folder, results) as port:
        profile = f"--user-data-dir={folder / 'browser'}"
        command = [browser, *BROWSER_OPTIONS, profile, f"http://127.0.0.1:{port}/browser.html"]
        null = subprocess.DEVNULL
        page = subprocess.Popen(command, stdin=null, stdout=null, stderr=null)
        try:
            result = results.get(timeout=180)
        except queue.Empty:
            result = "the page said nothing for three minutes"
        finally:
            page.terminate()
            page.wait()
    if not result.startswith("PASSED: 1000 of 1000"):
        raise RuntimeError(result)
    return result


def main():
    extra = {
        "the script in its lowest versions": check_lowest,
        "TensorFlow.js converter": check_conversion,
        "TensorFlow.js in Node": check_node,
        "TensorFlow.js in Chromium": check_browser,
    }
    parser = argparse.ArgumentParser(prog="tests/consumers", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="parts of consumers' names; by default all")
    add("--own", action="store_true", help="leave out what needs another version of Python")
    cache = Path.home() / ".cache" / "mnist-consumers"
    add("--cache", type=Path, default=cache, help=f"for environments and the model ({cache})")
    add("--discard", action="store_true", help="delete each environment after its last use")
    options = parser.parse_args()
    folder = options.cache / "model"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    prepare(folder)

    checks = {
        consumer.name: functools.partial(check_consumer, consumer, discard=options.discard)
        for consumer in CONSUMERS
    }
    checks.update(extra)
    needs_other = {c.name for c in CONSUMERS if OWN_VERSION not in c.pythons}
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    print()
    for name, check in checks.items():
        if options.names and not any(part.lower() in name.lower() for part in options.names):
            continue
        try:
            if options.own and name in needs_other:
                raise Missing("needs another version of Python")
            outcome, detail = "passed", check(folder, options.cache)
        except Missing as reason:
            outcome, detail = "skipped", str(reason)
        except Exception as error:
            outcome, detail = "failed", f"{type(error).__name__}: {error}"
        counts[outcome] += 1
        print(f"{outcome}: {name}: {detail}", flush=True)
    print("\n" + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()
