"""Convert the saved model to another format, run that and compare the probabilities.

    python check_converted.py FORMAT FOLDER

FORMAT is a function below; FOLDER holds mnist_cnn_model.h5, expected.npz and snippets.json, the
front page's code: its snippet for the format, if there is one, runs first. Prints one line.
"""

import json
import os
import sys

import numpy as np


def interpret(interpreter, images):
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(source["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(target["index"])


def tflite(session, images):
    interpreter = session["tf"].lite.Interpreter("mnist_cnn_model.tflite")
    return interpret(interpreter, images)


def litert(session, images):
    """Of what tflite wrote."""
    from ai_edge_litert.interpreter import Interpreter

    return interpret(Interpreter("mnist_cnn_model.tflite"), images)


def onnx(session, images):
    """Written by the front page's command, in which tf2onnx 1.17 names the input images:0."""
    return run_onnx("mnist_cnn_model.onnx", images)


def from_keras(session, images):
    import tf2onnx

    tf2onnx.convert.from_keras(session["model"], output_path="from_keras.onnx")
    return run_onnx("from_keras.onnx", images)


def run_onnx(path, images):
    import onnxruntime

    network = onnxruntime.InferenceSession(path)
    return network.run(None, {network.get_inputs()[0].name: images})[0]


def openvino(session, images):
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    return session["openvino"].compile_model(session["network"], "CPU", precise)(images)[0]


def savedmodel(session, images):
    """As TensorFlow Serving reads it."""
    import tensorflow as tf

    loaded = tf.saved_model.load("serving")  # which must outlive the call
    return loaded.serve(images).numpy()


def coreml(session, images):
    """Only the steps are compared, for only a Mac could run it."""
    import coremltools

    inputs = [coremltools.TensorType(shape=(1, 28, 28, 1))]
    program = coremltools.convert(session["model"], inputs=inputs).get_spec().mlProgram
    blocks = program.functions["main"].block_specializations.values()
    steps = [operation.type for block in blocks for operation in block.operations]
    wanted = ["conv", "max_pool", "conv", "max_pool", "linear", "linear", "softmax"]
    assert [step for step in steps if step in wanted] == wanted, steps


def main(format_, folder):
    os.chdir(folder)
    expected = np.load("expected.npz")
    with open("snippets.json") as file:
        snippets = json.load(file)
    session = {}
    exec(snippets["load"], session)
    exec(snippets.get(format_, ""), session)
    probabilities = globals()[format_](session, expected["images"])
    if probabilities is None:
        print("the steps are as expected")
    else:
        assert probabilities.shape == expected["probabilities"].shape
        difference = np.abs(probabilities - expected["probabilities"]).max()
        assert difference <= 1e-5, f"probabilities differ by {difference}"
        print(f"probabilities to {difference:.0e}")


main(*sys.argv[1:])
