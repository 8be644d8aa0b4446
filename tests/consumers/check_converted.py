"""Convert the saved model to other formats, run these and compare the probabilities.

    python check_converted.py FORMAT...

The current folder holds mnist_cnn_model.h5, expected.npz and snippets.json, the pages' code, whose
snippet for the format runs first. Prints one line.
"""

import json
import sys

import numpy as np


def tflite(images):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter("mnist_cnn_model.tflite")
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(source["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(target["index"])


def savedmodel(images):
    """As TensorFlow Serving reads it."""
    import tensorflow as tf

    loaded = tf.saved_model.load("serving/1")  # which must outlive the call
    return loaded.serve(images).numpy()


READERS = {"tflite": tflite, "savedmodel": savedmodel}  # of the others, the page's code reads


def main(*formats):
    expected = np.load("expected.npz")
    with open("snippets.json") as file:
        snippets = json.load(file)
    done = []
    for format_ in formats:
        session = {}
        exec(snippets["load"], session)
        session["images"] = expected["images"]
        exec(snippets[format_], session)
        if format_ in READERS:
            probabilities = READERS[format_](expected["images"])
        else:
            probabilities = session["probabilities"]
        assert probabilities.shape == expected["probabilities"].shape
        difference = np.abs(probabilities - expected["probabilities"]).max()
        assert difference <= 1e-5, f"{format_}: probabilities differ by {difference}"
        done.append(f"{format_} to {difference:.0e}")
    print("probabilities by", ", ".join(done))


main(*sys.argv[1:])
