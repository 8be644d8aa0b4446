"""Run by a consumer's own Python, 3.6 or later: open the saved model with its Keras and compare.

    python check_keras.py MODULE FOLDER [fine-tune]

MODULE is keras, tensorflow.keras or tf_keras; FOLDER holds mnist_cnn_model.h5 and expected.npz.
Prints one line.
"""

import importlib
import os
import sys

import numpy as np


def main(module, folder, *further):
    keras = importlib.import_module(module)
    expected = np.load(os.path.join(folder, "expected.npz"))
    images, labels = expected["images"], expected["labels"]
    model = keras.models.load_model(os.path.join(folder, "mnist_cnn_model.h5"))

    difference = np.abs(model.predict(images, verbose=0) - expected["probabilities"]).max()
    assert difference <= 1e-5, "probabilities differ by {}".format(difference)
    loss, accuracy = model.evaluate(images, labels, batch_size=100, verbose=0)
    assert abs(accuracy - expected["accuracy"]) < 1e-6, "evaluate says {}, not {}".format(
        accuracy, expected["accuracy"]
    )
    assert abs(loss - expected["loss"]) < 1e-5, "evaluate gives the loss {}, not {}".format(
        loss, expected["loss"]
    )
    line = "probabilities to {:.0e}, evaluate {:.4f}".format(difference, accuracy)

    if further:
        model.fit(expected["x_train"], expected["y_train"], epochs=2, batch_size=32, verbose=0)
        after, tuned = model.evaluate(images, labels, batch_size=100, verbose=0)
        # Five images in 10,000 are what another seed changes as well.
        assert tuned >= accuracy - 0.0005, "two more epochs took the accuracy from {} to {}".format(
            accuracy, tuned
        )
        line += ", after two more epochs {:.4f}".format(tuned)
    print(line)


main(*sys.argv[1:])
