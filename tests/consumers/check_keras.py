"""Run by a consumer's own Python, 3.6 or later: open the saved model with its Keras and compare.

    python check_keras.py MODULE [fit] [tf1]

MODULE is keras, tensorflow.keras or tf_keras; the current folder holds mnist_cnn_model.h5,
expected.npz and snippets.json, the pages' code. TensorFlow 1 (tf1) has no GradientTape in a
session. Prints one line.
"""

import json
import sys

import numpy as np


def check_probabilities(given, expected):
    assert np.shape(given) == (10000, 10), np.shape(given)
    difference = np.abs(given - expected["probabilities"]).max()
    assert difference <= 1e-5, "probabilities differ by {}".format(difference)
    return "probabilities to {:.0e}".format(difference)


def check_evaluation(model, expected):
    results = model.evaluate(expected["images"], expected["labels"], batch_size=100, verbose=0)
    wanted = [expected["loss"], expected["accuracy"]]
    assert np.allclose(results, wanted, 0, 1e-5), "evaluate says {}, not {}".format(results, wanted)
    return "evaluate"


def check_grad_cam(snippets, session):
    """With each of the outputs that programs take for the model's. model.output may be a list."""
    model = session["model"]
    maps = model.get_layer("conv_2").output
    first = model.output[0] if isinstance(model.output, list) else model.output
    for output in first, model.outputs[0], model.layers[-1].output:
        session["inside"] = session["keras"].Model(model.inputs, [maps, output])
        exec(snippets["gradient"], session)
        assert session["gradient"] is not None, "no gradient"
        hot = (np.array(session["heatmap"]).max(axis=(1, 2)) > 0).mean()
        assert hot > 0.9, "heat in {:.0%} of the images".format(hot)
    return "Grad-CAM"


def check_replacing(snippets, session):
    before = [np.array(weight) for weight in session["model"].get_weights()]
    exec(snippets["replace"], session)
    after = session["tuned"].get_weights()
    assert session["tuned"].output_shape == (None, 5)
    assert not all(np.array_equal(a, b) for a, b in zip(before[:-2], after)), "nothing was trained"
    return "another last layer"


def check_fine_tuning(model, expected):
    images, labels = expected["images"], expected["labels"]
    model.fit(expected["x_train"], expected["y_train"], epochs=2, batch_size=32, verbose=0)
    tuned = model.evaluate(images, labels, batch_size=100, verbose=0)[1]
    # Adam at its default rate, on these few images, cost ten models 0.02 to 0.45% in 20 runs.
    message = "two more epochs took the accuracy to {}".format(tuned)
    assert tuned >= expected["accuracy"] - 0.01, message
    return "fit"


def main(module, *further):
    expected = np.load("expected.npz")
    with open("snippets.json") as file:
        snippets = json.load(file)
    session = {}
    exec(snippets["load"].replace("import keras", "import {} as keras".format(module)), session)
    model, session["images"] = session["model"], expected["images"][:100]

    done = [check_probabilities(model.predict(expected["images"], verbose=0), expected)]
    done.append(check_evaluation(model, expected))
    exec(snippets["inside"], session)
    assert session["conv_2"].shape == (100, 11, 11, 64)
    assert np.abs(session["probabilities"] - expected["probabilities"][:100]).max() <= 1e-5
    done.append("look inside")
    if session["keras"].backend.backend() == "tensorflow" and "tf1" not in further:
        done.append(check_grad_cam(snippets, session))
    if "fit" in further:
        done.append(check_fine_tuning(model, expected))
    session["images"] = session["images"][:1]
    done.append(check_replacing(snippets, session))
    session["model"] = session["keras"].models.load_model("mnist_cnn_model.h5")
    session["images"] = expected["images"]
    exec(snippets["sequential"], session)
    done.append("Sequential, " + check_probabilities(session["probabilities"], expected))
    print(", ".join(done))


main(*sys.argv[1:])
