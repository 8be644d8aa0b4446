"""Convert the saved model to TensorFlow Lite and run it in TensorFlow's interpreter or LiteRT's.

python check_litert.py FOLDER convert|run
"""

import os
import sys

import numpy as np

folder, action = sys.argv[1:]
path = os.path.join(folder, "mnist_cnn_model.tflite")
if action == "convert":
    import tensorflow as tf

    model = tf.keras.models.load_model(os.path.join(folder, "mnist_cnn_model.h5"))
    with open(path, "wb") as file:
        file.write(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    Interpreter = tf.lite.Interpreter
else:
    from ai_edge_litert.interpreter import Interpreter

expected = np.load(os.path.join(folder, "expected.npz"))
interpreter = Interpreter(model_path=path)
source = interpreter.get_input_details()[0]["index"]
target = interpreter.get_output_details()[0]["index"]
interpreter.resize_tensor_input(source, [len(expected["images"]), 28, 28, 1])
interpreter.allocate_tensors()
interpreter.set_tensor(source, expected["images"])
interpreter.invoke()
difference = np.abs(interpreter.get_tensor(target) - expected["probabilities"]).max()
assert difference <= 1e-5, f"probabilities differ by {difference}"
print(f"probabilities to {difference:.0e}")
