"""The network, the augmentation, the batches and the training."""

import keras
import numpy as np
import pytest

import deep_learning_model as dlm
from conftest import refusal


def train(data, curve_data, epochs=2, batch_size=32, learning_rate=0.003, seed=0, dtype=None):
    """Train a new network on ``data`` as the script does; return it, finished, and the history."""
    batches = dlm.training_batches(*data, batch_size, seed)
    model = dlm.build_model(dtype=dtype or dlm.fastest_dtype())
    history = dlm.train(model, batches, curve_data, epochs, learning_rate)
    return dlm.final_model(model), history


def test_the_network_is_the_fixed_one():
    model = dlm.build_model()
    described = [(type(layer).__name__, layer.output.shape[1:]) for layer in model.layers]
    assert described == [
        ("Conv2D", (26, 26, 32)),
        ("MaxPooling2D", (13, 13, 32)),
        ("Conv2D", (11, 11, 64)),
        ("MaxPooling2D", (5, 5, 64)),
        ("Flatten", (1600,)),
        ("Dense", (64,)),
        ("Dense", (10,)),
    ]
    layers = [layer for layer in model.layers if hasattr(layer, "activation")]
    activations = [layer.activation.__name__ for layer in layers]
    assert activations == ["relu", "relu", "relu", "softmax"]
    assert model.count_params() == 121_930 and model.input_shape == (None, 28, 28, 1)


def test_augment_without_motion_changes_nothing(monkeypatch, mnist):
    monkeypatch.setattr(dlm, "DISTORTION", 0.0)
    monkeypatch.setattr(dlm, "SHIFT", 0.0)
    images = dlm.normalize(mnist[0][0][:5])
    np.testing.assert_allclose(dlm.augment(images, (1, 2)), images, atol=1e-6)


def test_augment_distorts_about_the_centre_in_every_way(monkeypatch):
    monkeypatch.setattr(dlm, "SHIFT", 0.0)
    y, x = np.mgrid[:28, :28] - 13.5
    square = (np.maximum(abs(x), abs(y)) < 6).astype("float32")[None, :, :, None].repeat(300, 0)
    moved = dlm.augment(square, (3, 4)).numpy()[..., 0]
    mass = moved.sum((1, 2))
    np.testing.assert_allclose((moved * x).sum((1, 2)) / mass, 0, atol=0.05)
    np.testing.assert_allclose((moved * y).sum((1, 2)) / mass, 0, atol=0.05)
    width, height, slant = ((moved * moment).sum((1, 2)) / mass for moment in (x * x, y * y, x * y))
    plain = (square[0, ..., 0] * x * x).sum() / square[0].sum()
    # Variances: the inverse of [[0.8, 0.2], [0.2, 0.8]] makes them 1.89 times as large.
    for spread in width, height:
        assert 0.65 < (spread / plain).min() < 0.8 and 1.3 < (spread / plain).max() < 1.89
    assert (slant / plain).min() < -0.3 and (slant / plain).max() > 0.3
    assert abs(np.corrcoef(width, height)[0, 1]) < 0.2


def test_augment_shifts_each_image_by_its_own_amount_within_the_limit(monkeypatch):
    monkeypatch.setattr(dlm, "DISTORTION", 0.0)
    monkeypatch.setattr(dlm, "SHIFT", 3.0)
    images = np.zeros((200, 28, 28, 1), "float32")
    images[:, 12:16, 12:16] = 1
    moved = dlm.augment(images, (5, 6)).numpy()[..., 0]
    y, x = np.mgrid[:28, :28] - 13.5
    for axis in y, x:
        shifts = (moved * axis).sum((1, 2)) / moved.sum((1, 2))
        assert 2.7 < shifts.max() <= 3.001 and -3.001 <= shifts.min() < -2.7
        assert abs(shifts.mean()) < 0.5
        assert len(np.unique(shifts.round(4))) > 150


def test_augment_leaves_the_promised_share_of_the_images_as_they_are(mnist):
    images = dlm.normalize(mnist[0][0][:4000])
    changes = np.abs(dlm.augment(images, (7, 8)) - images).max((1, 2, 3))
    assert np.mean(changes < 1e-5) == pytest.approx(dlm.UNDISTORTED, abs=0.02)
    assert np.mean(changes > 0.1) == pytest.approx(1 - dlm.UNDISTORTED, abs=0.02)


def test_augmentation_can_be_switched_off(mnist):
    images = dlm.normalize(mnist[0][0][:8])
    batches = dlm.training_batches(images, np.arange(8), 8, seed=0, augmentation=False)
    moved, order = next(iter(batches))
    np.testing.assert_array_equal(moved, images.numpy()[order.numpy()])


def test_a_diverging_training_is_refused(small):
    assert "--learning-rate" in refusal(lambda: train(*small, learning_rate=1000.0))


def test_augment_depends_on_its_seed_alone(mnist):
    images = dlm.normalize(mnist[0][0][:8])
    first, again, other = (dlm.augment(images, seed).numpy() for seed in ((1, 2), (1, 2), (1, 3)))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
    assert first.dtype == np.float32 and first.min() >= 0 and first.max() <= 1 + 1e-6


def test_an_epoch_holds_every_image_once_in_an_order_of_its_own():
    labels = np.arange(100)
    batches = dlm.training_batches(np.zeros((100, 28, 28, 1), "float32"), labels, 32, seed=7)
    first, second = ([y.numpy() for _, y in batches] for _ in range(2))
    assert [len(batch) for batch in first] == [32, 32, 32, 4]
    for epoch in first, second:
        assert sorted(np.concatenate(epoch)) == labels.tolist()
    assert np.concatenate(first).tolist() != np.concatenate(second).tolist() != labels.tolist()


def test_epochs_are_augmented_differently_and_runs_equally():
    images = np.tile(np.linspace(0, 1, 28, dtype="float32"), (1, 28, 1))[..., None]

    def three_epochs(seed):
        batches = dlm.training_batches(images, np.zeros(1, int), 1, seed)
        return [next(iter(batches))[0].numpy() for _ in range(3)]

    first, again, other = three_epochs(1), three_epochs(1), three_epochs(2)
    np.testing.assert_array_equal(first, again)
    for a, b in (first[0], first[1]), (first[1], first[2]), (first[0], other[0]):
        assert np.abs(a - b).max() > 1e-3


@pytest.fixture(scope="module")
def small(mnist):
    (x_train, y_train), (x_test, y_test) = mnist
    training = dlm.normalize(x_train[:1000]), y_train[:1000]
    return training, (dlm.normalize(x_test[:500]), y_test[:500])


def test_training_learns_and_records_each_epoch(small, capsys):
    keras.utils.set_random_seed(0)
    model, history = train(*small, epochs=3)
    lengths = {name: len(values) for name, values in history.items()}
    assert lengths == {"accuracy": 3, "loss": 3, "val_accuracy": 3, "val_loss": 3}
    assert history["val_accuracy"][-1] > 0.85
    # The curves are measured with 16 bits where the processor has them.
    last = [history["val_loss"][-1], history["val_accuracy"][-1]]
    np.testing.assert_allclose(last, model.evaluate(*small[1], verbose=0), rtol=0.02)
    lines = capsys.readouterr().out.splitlines()
    epochs = [line for line in lines if line.startswith("Epoch")]
    assert epochs == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    assert sum("32/32" in line and "val_accuracy" in line for line in lines) == 3
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert {weight.dtype.name for weight in model.get_weights()} == {"float32"}


def test_adams_learning_rate_climbs_to_the_peak_and_falls_to_zero(small, monkeypatch):
    made = []
    adam = keras.optimizers.Adam

    def noted_adam(*args, **kwargs):
        made.append((args, kwargs))
        return adam(*args, **kwargs)

    monkeypatch.setattr(keras.optimizers, "Adam", noted_adam)
    train(*small, epochs=1, batch_size=10, learning_rate=0.002)
    (schedule,), settings = made[0]
    assert settings == {"weight_decay": 0.05}
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == 0 and rates[100] == pytest.approx(0, abs=1e-9)
    assert max(rates) == rates[5] == pytest.approx(0.002)
    assert rates[:6] == sorted(rates[:6]) and rates[5:] == sorted(rates[5:], reverse=True)


@pytest.mark.parametrize("images, batch_size", [(1, 32), (5, 1), (20, 7)])
def test_tiny_data_train_too(small, images, batch_size):
    (x, y), test = small
    _, history = train((x[:images], y[:images]), test, epochs=1, batch_size=batch_size)
    assert np.isfinite(history["loss"]).all()


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(small):
    def weights(seed):
        keras.utils.set_random_seed(seed)
        model, _ = train(*small, epochs=1, seed=seed)
        return np.concatenate([weight.ravel() for weight in model.get_weights()])

    first, again, other = weights(3), weights(3), weights(4)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_either_arithmetic_learns_and_what_is_finished_computes_with_32_bits(dtype, small):
    keras.utils.set_random_seed(0)
    trained = dlm.build_model(dtype=dtype)
    assert [layer.dtype_policy.name for layer in trained.layers] == 6 * [dtype] + ["float32"]
    assert keras.config.dtype_policy().name == "float32"
    model, history = train(*small, epochs=3, dtype=dtype)
    assert history["val_accuracy"][-1] > 0.85
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    assert model.predict(small[1][0][:5], verbose=0).dtype == np.float32


@pytest.mark.parametrize(
    "name, value", [("TF_ENABLE_ONEDNN_OPTS", "0"), ("ONEDNN_MAX_CPU_ISA", "AVX2")]
)
def test_16_bits_are_left_alone_where_the_user_keeps_onednn_from_them(name, value, monkeypatch):
    """Elsewhere they take five times as long, or TensorFlow fails."""
    monkeypatch.setenv(name, value)
    assert dlm.fastest_dtype() == "float32"
