"""The saved model: its layout, what Keras reads back, and that writing is all or nothing."""

import json
import os
import time

import h5py
import keras
import numpy as np
import pytest

import deep_learning_model as dlm


@pytest.fixture(scope="module")
def saved(tmp_path_factory, mnist):
    """A compiled model with random weights, and the path of the file that holds it."""
    keras.utils.set_random_seed(1)
    model = dlm.final_model(dlm.build_model())
    path = tmp_path_factory.mktemp("saved") / "mnist_cnn_model.h5"
    dlm.save_h5(model, path)
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


def test_a_reloaded_model_can_be_trained_on(saved, mnist):
    loaded = keras.models.load_model(saved[1])
    assert isinstance(loaded.optimizer, keras.optimizers.Adam) and loaded.optimizer.epsilon == 0.1
    loaded.fit(dlm.normalize(mnist[0][0][:64]), mnist[0][1][:64], epochs=1, verbose=0)
    assert loaded.optimizer.iterations == 2


def test_every_text_is_stored_as_bytes_of_fixed_length(saved):
    def check(name, item):
        for key in item.attrs:
            type_ = item.attrs.get_id(key).get_type()
            assert type_.get_class() == h5py.h5t.STRING and not type_.is_variable_str(), (name, key)

    with h5py.File(saved[1]) as file:
        check("/", file)
        file.visititems(check)
        assert set(file.attrs) == {"keras_version", "backend", "model_config", "training_config"}
        assert list(file) == ["model_weights"]


def test_the_configuration_holds_only_what_keras_2_2_knew(saved):
    known = {
        "InputLayer": {"name", "batch_input_shape", "dtype", "sparse"},
        "Conv2D": set(
            "name trainable filters kernel_size strides padding data_format dilation_rate "
            "activation use_bias".split()
        ),
        "MaxPooling2D": {"name", "trainable", "pool_size", "strides", "padding", "data_format"},
        "Flatten": {"name", "trainable", "data_format"},
        "Dense": {"name", "trainable", "units", "activation", "use_bias"},
    }
    with h5py.File(saved[1]) as file:
        config = json.loads(file.attrs["model_config"])
        training = json.loads(file.attrs["training_config"])
        assert file.attrs["keras_version"] == b"2.2.4" and file.attrs["backend"] == b"tensorflow"
    layers = config["config"]["layers"]
    assert layers[0]["config"]["dtype"] == "float32" and layers[0]["config"]["sparse"] is False
    assert config["class_name"] == "Sequential"
    assert layers[0]["config"]["batch_input_shape"] == [None, 28, 28, 1]
    for layer in layers:
        assert set(layer["config"]) == known[layer["class_name"]]
    assert training["loss"] == "sparse_categorical_crossentropy"
    assert training["metrics"] == ["sparse_categorical_accuracy"]
    wanted = "optimizer_config loss metrics sample_weight_mode loss_weights"  # by TensorFlow 1.15
    assert set(training) == set(wanted.split())
    optimizer = training["optimizer_config"]
    assert optimizer["class_name"] == "Adam"
    # Neither lr nor learning_rate: see save_h5.
    assert set(optimizer["config"]) == {"epsilon", "amsgrad"}


def test_weights_are_named_as_keras_2_did(saved):
    model, path = saved
    with h5py.File(path) as file:
        weights = file["model_weights"]
        layers = [name.decode() for name in weights.attrs["layer_names"]]
        assert layers == [layer.name for layer in model.layers]
        for layer in model.layers:
            names = [name.decode() for name in weights[layer.name].attrs["weight_names"]]
            both = [f"{layer.name}/kernel:0", f"{layer.name}/bias:0"]
            assert names == (both if layer.weights else [])
            for name, weight in zip(names, layer.get_weights()):
                assert weights[layer.name][name].dtype == np.float32
                np.testing.assert_array_equal(weights[layer.name][name], weight)


def test_the_same_model_gives_the_same_bytes(saved, tmp_path):
    time.sleep(1.1)  # a time stamp in the file would differ
    dlm.save_h5(saved[0], tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == saved[1].read_bytes()


def sequential(*layers):
    return keras.Sequential([keras.Input((12, 12, 1)), *layers])


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.LeakyReLU(negative_slope=0.1),
        keras.layers.BatchNormalization(epsilon=0.1),
        keras.layers.Conv2D(4, 3, kernel_regularizer="l2"),
        keras.layers.Conv2D(4, 3, groups=1, dtype="mixed_bfloat16"),
        keras.layers.Dense(4, kernel_constraint="non_neg"),
        keras.layers.Dropout(0.5, noise_shape=(None, 1, 1, 1)),
        keras.layers.Dense(4, activation=keras.layers.LeakyReLU(negative_slope=0.1)),
    ],
    ids=lambda layer: layer.name,
)
def test_what_the_file_cannot_hold_is_refused_and_nothing_is_written(layer, tmp_path):
    path = tmp_path / "model.h5"
    with pytest.raises(ValueError, match=layer.name):
        dlm.save_h5(sequential(layer, keras.layers.Flatten()), path)
    assert not path.exists()


@pytest.mark.parametrize("architecture", ["cnn", "cnn-dropout", "dnn"])
def test_every_architecture_is_written_and_computes_the_same(architecture, tmp_path):
    model = dlm.final_model(dlm.build_model(architecture, (20, 30, 3), 7))
    dlm.save_h5(model, tmp_path / "model.h5")
    loaded = keras.models.load_model(tmp_path / "model.h5")
    x = np.random.default_rng(0).random((5, 20, 30, 3), "float32")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


def test_both_formats_are_compiled_alike(saved, tmp_path):
    model, path = saved
    model.save(tmp_path / "model.keras")
    h5 = keras.models.load_model(path)
    v3 = keras.models.load_model(tmp_path / "model.keras")
    settings = [{**each.optimizer.get_config(), "name": ""} for each in (h5, v3)]
    assert settings[0] == settings[1] and settings[0]["epsilon"] == 0.1
    losses = {keras.losses.get(each.loss).__name__ for each in (h5, v3)}
    assert losses == {"sparse_categorical_crossentropy"}


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        with dlm.complete_file(path) as part:
            part.write_text("half")
            assert path.read_text() == "old"
            raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with dlm.complete_file(path) as part:
        part.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_new_file_has_the_users_usual_permissions(saved):
    umask = os.umask(0)
    os.umask(umask)
    assert saved[1].stat().st_mode & 0o777 == 0o666 & ~umask
