"""The saved model: its layout, and what is read back. consumers/ opens it in other programs."""

import json

import h5py
import keras
import numpy as np
import pytest

import deep_learning_model as dlm
from conftest import DIGITS, refusal


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The path of a file with a new model."""
    path = tmp_path_factory.mktemp("saved") / "mnist_cnn_model.h5"
    dlm.save_h5(dlm.build_model(), path, DIGITS)
    return path


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

    with h5py.File(saved) as file:
        check("/", file)
        file.visititems(check)
        known = {"keras_version", "backend", "model_config", "training_config"}
        assert set(file.attrs) == known and set(file) == {"model_weights", "class_names"}


def test_the_configuration_holds_only_what_keras_2_2_knew(saved):
    known = {
        "InputLayer": "batch_input_shape dtype sparse",
        "Conv2D": "trainable filters kernel_size strides padding data_format dilation_rate "
        "activation use_bias",
        "MaxPooling2D": "trainable pool_size strides padding data_format",
        "Flatten": "trainable data_format",
        "Dense": "trainable units activation use_bias",
    }
    with h5py.File(saved) as file:
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


@pytest.mark.parametrize("names", [["größe", "b c", "ø"], ["long" * 10_000, "longer" * 9_000]])
def test_the_names_of_the_classes_travel_with_the_model(names, tmp_path):
    model = dlm.build_model("dnn", (28, 28, 1), len(names))
    dlm.save_h5(model, tmp_path / "model.h5", names)
    assert dlm.load_model(tmp_path / "model.h5")[1] == names
    model.save(tmp_path / "other.keras")  # which has numbers in their place
    assert dlm.load_model(tmp_path / "other.keras")[1] == DIGITS[: len(names)]
    for foreign in b'["a"]', b"7", b"no JSON":
        with h5py.File(tmp_path / "model.h5", "a") as file:
            del file["class_names"]
            file["class_names"] = np.bytes_(foreign)
        assert "model.h5" in refusal(dlm.load_model, tmp_path / "model.h5")


@pytest.mark.filterwarnings("ignore:You are saving")
@pytest.mark.parametrize("name", ["lambda.h5", "lambda.keras"])
def test_a_lambda_layer_of_a_stranger_is_not_loaded(name, tmp_path, monkeypatch):
    """Keras 3.7 runs the function of a Lambda layer in an .h5 file while it loads it."""
    run = keras.layers.Lambda(lambda x: x)
    network = [keras.Input((28, 28, 1)), run, keras.layers.Flatten(), keras.layers.Dense(2)]
    keras.Sequential(network).save(tmp_path / name)
    if name.endswith(".h5"):
        monkeypatch.setattr(keras.models, "load_model", None)
        with h5py.File(tmp_path / name, "a") as file:  # JSON has another way to write an L
            config = file.attrs["model_config"]
            file.attrs["model_config"] = config.replace("Lambda", "\\u004cambda")
    message = refusal(dlm.load_model, tmp_path / name)
    assert name in message and "safe_mode" not in message and "unsafe" not in message
    assert "Lambda" in message or name.endswith(".keras")
