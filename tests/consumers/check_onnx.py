"""Convert the saved model with tf2onnx and run it in ONNX Runtime.

python check_onnx.py FOLDER
"""

import os
import sys

import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx

folder = sys.argv[1]
model = tf.keras.models.load_model(os.path.join(folder, "mnist_cnn_model.h5"))
path = os.path.join(folder, "mnist_cnn_model.onnx")
images_in = [tf.TensorSpec([None, 28, 28, 1], tf.float32, name="images")]
tf2onnx.convert.from_function(
    tf.function(lambda x: model(x), images_in), images_in, output_path=path
)
expected = np.load(os.path.join(folder, "expected.npz"))
(probabilities,) = onnxruntime.InferenceSession(path).run(None, {"images": expected["images"]})
difference = np.abs(probabilities - expected["probabilities"]).max()
assert difference <= 1e-5, f"probabilities differ by {difference}"
print(f"probabilities to {difference:.0e}")
