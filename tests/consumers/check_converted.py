"""Convert the saved model to another format, run that and compare the probabilities.

    python check_converted.py FORMAT FOLDER

FORMAT is a function below; FOLDER holds mnist_cnn_model.h5 and expected.npz. Prints one line.
"""

import os
import sys

import numpy as np


def load(folder):
    import tensorflow as tf

    return tf, tf.keras.models.load_model(os.path.join(folder, "mnist_cnn_model.h5"))


def as_function(tf, model):
    images = tf.TensorSpec([None, 28, 28, 1], tf.float32, name="images")
    return tf.function(lambda x: model(x), input_signature=[images])


def interpret(interpreter, images):
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(source["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], images)
    interpreter.invoke()
    return interpreter.get_tensor(target["index"])


def tflite(folder, images):
    tf, model = load(folder)
    path = os.path.join(folder, "mnist_cnn_model.tflite")
    with open(path, "wb") as file:
        file.write(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return interpret(tf.lite.Interpreter(model_path=path), images)


def litert(folder, images):
    """Of what tflite wrote."""
    from ai_edge_litert.interpreter import Interpreter

    path = os.path.join(folder, "mnist_cnn_model.tflite")
    return interpret(Interpreter(model_path=path), images)


def onnx(folder, images):
    import onnxruntime
    import tf2onnx

    tf, model = load(folder)
    path = os.path.join(folder, "mnist_cnn_model.onnx")
    function = as_function(tf, model)
    tf2onnx.convert.from_function(function, function.input_signature, output_path=path)
    return onnxruntime.InferenceSession(path).run(None, {"images": images})[0]


def openvino(folder, images):
    import openvino

    function = as_function(*load(folder)).get_concrete_function()
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.compile_model(openvino.convert_model(function), "CPU", precise)(images)[0]


def savedmodel(folder, images):
    """As TensorFlow Serving wants it."""
    tf, model = load(folder)
    model.export(os.path.join(folder, "serving"), verbose=False)
    serving = tf.saved_model.load(os.path.join(folder, "serving"))
    return serving.serve(images).numpy()


def keras(folder, images):
    """As a .keras file."""
    tf, model = load(folder)
    path = os.path.join(folder, "mnist_cnn_model.keras")
    model.save(path)
    return tf.keras.models.load_model(path).predict(images, verbose=0)


def coreml(folder, images):
    """Only the steps are compared, for only a Mac could run it."""
    import coremltools

    _, model = load(folder)
    inputs = [coremltools.TensorType(shape=(1, 28, 28, 1))]
    program = coremltools.convert(model, inputs=inputs).get_spec().mlProgram
    blocks = program.functions["main"].block_specializations.values()
    steps = [operation.type for block in blocks for operation in block.operations]
    wanted = ["conv", "max_pool", "conv", "max_pool", "linear", "linear", "softmax"]
    assert [step for step in steps if step in wanted] == wanted, steps


format_, folder = sys.argv[1:]
expected = np.load(os.path.join(folder, "expected.npz"))
probabilities = globals()[format_](folder, expected["images"])
if probabilities is None:
    print("the steps are as expected")
else:
    difference = np.abs(probabilities - expected["probabilities"]).max()
    assert difference <= 1e-5, f"probabilities differ by {difference}"
    print(f"probabilities to {difference:.0e}")
