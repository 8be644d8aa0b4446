"""The saved model: its layout, what Keras reads back, and that writing is all or nothing."""

import json

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import deep_learning_model as dlm
from conftest import refusal

DIGITS = list("0123456789")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A compiled model with random weights, and the path of the file that holds it."""
    keras.utils.set_random_seed(1)
    model = dlm.build_model()
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    path = tmp_path_factory.mktemp("saved") / "mnist_cnn_model.h5"
    dlm.save_h5(model, path, DIGITS)
    return model, path


def test_keras_reads_the_same_model_back(saved, mnist):
    model, path = saved
    x, y = dlm.normalize(mnist[1][0][:500]), mnist[1][1][:500]
    loaded = keras.models.load_model(path)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
    np.testing.assert_allclose(
        loaded.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-5
    )


@pytest.mark.parametrize("last", ["output", "outputs", "its layer's output"])
def test_grad_cam_gets_a_gradient_from_a_reloaded_model(last, saved):
    model = keras.models.load_model(saved[1])
    outputs = {"output": model.output, "outputs": model.outputs[0]}
    output = outputs.get(last, model.layers[-1].output)
    cam = keras.Model(model.inputs, [model.get_layer("conv_2").output, output])
    with tf.GradientTape() as tape:
        features, probabilities = cam(np.ones((1, 28, 28, 1), "float32"))
        score = tf.reduce_max(probabilities)
    assert np.abs(tape.gradient(score, features)).max() > 0


def test_settings_that_matter_in_training_only_need_not_be_held(tmp_path):
    layers = keras.layers
    network = [keras.Input((12, 12, 2)), layers.Conv2D(4, 3, kernel_regularizer="l2")]
    network += [layers.BatchNormalization(epsilon=0.1, axis=1, center=False)]
    network += [layers.Dropout(0.5, noise_shape=(None, 1, 1, 1)), layers.Flatten()]
    model = keras.Sequential([*network, layers.Dense(3, kernel_constraint="non_neg")])
    model.layers[1].moving_variance.assign(np.linspace(0.1, 1, 10))
    dlm.save_h5(model, tmp_path / "model.h5", DIGITS[:3])
    x = np.random.default_rng(0).random((5, 12, 12, 2), "float32")
    loaded = keras.models.load_model(tmp_path / "model.h5")
    np.testing.assert_allclose(loaded.predict(x), model.predict(x), atol=1e-6)


def test_every_text_is_stored_as_bytes_of_fixed_length(saved):
    def check(name, item):
        for key in item.attrs:
            type_ = item.attrs.get_id(key).get_type()
            assert type_.get_class() == h5py.h5t.STRING and not type_.is_variable_str(), (name, key)

    with h5py.File(saved[1]) as file:
        check("/", file)
        file.visititems(check)
        known = {"keras_version", "backend", "model_config", "training_config"}
        assert set(file.attrs) == known and set(file) == {"model_weights", "class_names"}


@pytest.mark.filterwarnings("ignore:You are saving|The object was saved")
@pytest.mark.parametrize(
    "names", [DIGITS, ["größe", "b c", "ø"], ["long" * 10_000, "longer" * 9_000]]
)
def test_the_names_of_the_classes_travel_with_the_model(names, tmp_path):
    model = dlm.build_model("dnn", (28, 28, 1), len(names))
    dlm.save_h5(model, tmp_path / "model.h5", names)
    assert dlm.load_model(tmp_path / "model.h5")[1] == names
    model.save(tmp_path / "other.keras")  # which has numbers in their place
    assert dlm.load_model(tmp_path / "other.keras")[1] == DIGITS[: len(names)]


def test_the_configuration_holds_only_what_keras_2_2_knew(saved):
    convolution = "trainable filters kernel_size strides padding data_format dilation_rate "
    known = {
        "InputLayer": "batch_input_shape dtype sparse",
        "Conv2D": convolution + "activation use_bias",
        "MaxPooling2D": "trainable pool_size strides padding data_format",
        "Flatten": "trainable data_format",
        "Dense": "trainable units activation use_bias",
    }
    with h5py.File(saved[1]) as file:
        config = json.loads(file.attrs["model_config"])
        training = json.loads(file.attrs["training_config"])
        assert file.attrs["keras_version"] == b"2.2.4" and file.attrs["backend"] == b"tensorflow"
    layers = config["config"]["layers"]
    assert layers[0]["config"]["dtype"] == "float32" and layers[0]["config"]["sparse"] is False
    assert config["class_name"] == "Model"
    assert layers[0]["config"]["batch_input_shape"] == [None, 28, 28, 1]
    for layer in layers:
        assert set(layer["config"]) == {"name", *known[layer["class_name"]].split()}
        assert set(layer) == {"name", "class_name", "config", "inbound_nodes"}
    before = [node[0][0] for layer in layers for node in layer["inbound_nodes"]]
    assert before == [layer["name"] for layer in layers[:-1]]
    assert training == {
        "optimizer_config": {"class_name": "Adam", "config": {}},
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["sparse_categorical_accuracy"],
        **dict.fromkeys(["loss_weights", "sample_weight_mode"]),  # wanted by TensorFlow 1.15
    }


def test_names_in_a_foreign_file_that_do_not_fit_its_classes_are_refused(saved, tmp_path):
    path = tmp_path / "foreign.h5"
    for names in b'["a", "b"]', b"7", b"no JSON":
        path.write_bytes(saved[1].read_bytes())
        with h5py.File(path, "a") as file:
            del file["class_names"]
            file["class_names"] = np.bytes_(names)
        assert "foreign.h5" in refusal(dlm.load_model, path)


@pytest.mark.filterwarnings("ignore:You are saving")
@pytest.mark.parametrize("name", ["lambda.h5", "lambda.keras"])
def test_a_model_file_that_could_run_a_strangers_program_is_not_loaded(name, tmp_path, monkeypatch):
    """Keras 3.7 runs the function of a Lambda layer in an .h5 file while it loads it."""
    run = keras.layers.Lambda(lambda x: x)
    network = [keras.Input((28, 28, 1)), run, keras.layers.Flatten(), keras.layers.Dense(2)]
    keras.Sequential(network).save(tmp_path / name)
    if name.endswith(".h5"):
        monkeypatch.setattr(keras.models, "load_model", None)
        with h5py.File(tmp_path / name, "a") as file:  # JSON has another way to write an L
            file.attrs["model_config"] = file.attrs["model_config"].replace(
                "Lambda", "\\u004cambda"
            )
    message = refusal(dlm.load_model, tmp_path / name)
    assert name in message and "safe_mode" not in message and "unsafe" not in message
    assert "Lambda" in message or name.endswith(".keras")
