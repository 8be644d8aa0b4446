"""Convert the saved model to Core ML and compare its steps, for only a Mac could run it.

python check_coreml.py FOLDER
"""

import os
import sys

import coremltools
import tensorflow as tf

model = tf.keras.models.load_model(os.path.join(sys.argv[1], "mnist_cnn_model.h5"))
converted = coremltools.convert(model, inputs=[coremltools.TensorType(shape=(1, 28, 28, 1))])
blocks = converted.get_spec().mlProgram.functions["main"].block_specializations.values()
wanted = ["conv", "max_pool", "conv", "max_pool", "linear", "linear", "softmax"]
steps = [
    operation.type for block in blocks for operation in block.operations if operation.type in wanted
]
assert steps == wanted, f"the steps are {steps}"
print("the steps are " + ", ".join(steps))
