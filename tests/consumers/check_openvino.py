"""Convert the saved model with OpenVINO and run it there.

python check_openvino.py FOLDER
"""

import os
import sys

import numpy as np
import openvino
import tensorflow as tf

folder = sys.argv[1]
model = tf.keras.models.load_model(os.path.join(folder, "mnist_cnn_model.h5"))
expected = np.load(os.path.join(folder, "expected.npz"))
function = tf.function(
    lambda x: model(x), input_signature=[tf.TensorSpec([None, 28, 28, 1], tf.float32)]
)
compiled = openvino.compile_model(
    openvino.convert_model(function.get_concrete_function()),
    "CPU",
    {"INFERENCE_PRECISION_HINT": "f32"},
)
difference = np.abs(compiled(expected["images"])[0] - expected["probabilities"]).max()
assert difference <= 1e-5, f"probabilities differ by {difference}"
print(f"probabilities to {difference:.0e}")
