"""Lay into a folder what the consumers take: the model, its answers, and the pages' code.

    python prepare.py FOLDER

takes mnist_cnn_model.h5 and metrics.json of a default run from the current folder.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS.parent), str(TESTS)]
import deep_learning_model as dlm  # noqa: E402
import pages  # noqa: E402

# The pages' code that consumers run, by a word of it.
SNIPPETS = {
    "load": "load_model(",
    "inside": "keras.Model(model.inputs, tensors",
    "gradient": "GradientTape",
    "replace": "Dense(5",
    "sequential": "Sequential(model.layers",
    "savedmodel": ".export(",
    "tflite": "TFLiteConverter",
    "openvino": "import openvino",
    "onnx": "InferenceSession",
}
FILES = {"onnx.sh": "tf2onnx.convert", "tfjs.sh": "tensorflowjs_converter"}
FILES["snippet.js"] = "loadLayersModel"

folder = Path(sys.argv[1])
model, _ = dlm.load_model(Path("mnist_cnn_model.h5"))
metrics = json.loads(Path("metrics.json").read_text())
(x_train, y_train), (x_test, y_test), _ = dlm.load_data(["mnist"])
images = dlm.normalize(x_test)
probabilities = model.predict(images, batch_size=100, verbose=0)
expected = {"images": images, "labels": y_test, "probabilities": probabilities}
expected |= {"loss": metrics["test_loss"], "accuracy": metrics["test_accuracy"]}
training = {"x_train": dlm.normalize(x_train[:6000]), "y_train": y_train[:6000]}
np.savez(folder / "expected.npz", **expected, **training)
images[:1000].tofile(folder / "images.bin")
probabilities[:1000].tofile(folder / "probabilities.bin")
shutil.copy("mnist_cnn_model.h5", folder)
(folder / "tests").symlink_to(TESTS)  # whose requirement files the pages' commands name
for name, word in FILES.items():
    (folder / name).write_text(pages.block(word))
snippets = {name: pages.block(word) for name, word in SNIPPETS.items()}
(folder / "snippets.json").write_text(json.dumps(snippets))
