"""Export the saved model for TensorFlow Serving, save it as .keras, open both and compare.

python check_savedmodel.py FOLDER
"""

import os
import sys

import keras
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
expected = np.load(os.path.join(folder, "expected.npz"))
model = keras.models.load_model(os.path.join(folder, "mnist_cnn_model.h5"))
model.export(os.path.join(folder, "serving"), verbose=False)
model.save(os.path.join(folder, "mnist_cnn_model.keras"))
serving = tf.saved_model.load(os.path.join(folder, "serving"))
again = keras.models.load_model(os.path.join(folder, "mnist_cnn_model.keras"))
for name, probabilities in {
    "SavedModel": serving.serve(expected["images"]).numpy(),
    ".keras": again.predict(expected["images"], verbose=0),
}.items():
    difference = np.abs(probabilities - expected["probabilities"]).max()
    assert difference <= 1e-5, f"probabilities of the {name} differ by {difference}"
print(f"probabilities to {difference:.0e}")
