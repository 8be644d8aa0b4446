"""The training: the augmentation, the batches, and what was trained."""

import keras
import numpy as np
import pytest

import deep_learning_model as dlm
from conftest import DIGITS

Y, X = np.mgrid[:28, :28] - 13.5  # distances from the center


def test_augment_distorts_about_the_center_in_every_way(monkeypatch):
    monkeypatch.setattr(dlm, "SHIFT", 0.0)
    square = (np.maximum(abs(X), abs(Y)) < 6).astype("float32")[None, :, :, None].repeat(300, 0)
    moved = dlm.augment(square, (3, 4)).numpy()[..., 0]
    mass = moved.sum((1, 2))
    np.testing.assert_allclose((moved * X).sum((1, 2)) / mass, 0, atol=0.05)
    np.testing.assert_allclose((moved * Y).sum((1, 2)) / mass, 0, atol=0.05)
    width, height, slant = ((moved * moment).sum((1, 2)) / mass for moment in (X * X, Y * Y, X * Y))
    plain = (square[0, ..., 0] * X * X).sum() / square[0].sum()
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
    for axis in Y, X:
        shifts = (moved * axis).sum((1, 2)) / moved.sum((1, 2))
        assert 2.7 < shifts.max() <= 3.001 and -3.001 <= shifts.min() < -2.7
        assert abs(shifts.mean()) < 0.5
        assert len(np.unique(shifts.round(4))) > 150


def test_augment_fills_with_what_is_at_the_border():
    """Not with black, which would frame an image on white paper."""
    white = np.ones((50, 28, 28, 1), "float32")
    np.testing.assert_allclose(dlm.augment(white, (1, 2)), white, atol=1e-5)


def test_augment_leaves_the_promised_share_of_the_images_as_they_are(mnist):
    images = dlm.normalize(mnist[0][0][:4000])
    changes = np.abs(dlm.augment(images, (7, 8)) - images).max((1, 2, 3))
    assert np.mean(changes < 1e-5) == pytest.approx(dlm.UNDISTORTED, abs=0.02)
    assert np.mean(changes > 0.1) == pytest.approx(1 - dlm.UNDISTORTED, abs=0.02)


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


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("plain", [[], ["--no-augmentation"]])
def test_what_was_trained_answers_as_the_curves_say(dtype, plain, small, tmp_path):
    """The loaded model takes images from 0 to 1 and has the temperature, as the last epoch had."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(dtype)
    model = dlm.build_model()
    keras.config.set_dtype_policy("float32")
    history = dlm.train(model, *small, dlm.parse_args(["--epochs", "3", *plain]))
    for name in "accuracy", "crossentropy", "val_accuracy", "val_crossentropy":
        assert len(history[name]) == 3
    assert history["val_accuracy"][-1] > 0.85
    dlm.save_h5(model, tmp_path / "model.h5", DIGITS)
    loaded = keras.models.load_model(tmp_path / "model.h5")
    last = [history["val_crossentropy"][-1], history["val_accuracy"][-1]]
    rounding = 1e-4 if dtype == "float32" else 0.02
    np.testing.assert_allclose(last, loaded.evaluate(*small[1], verbose=0), rtol=rounding)
    # Without smoothing, the loss is the cross-entropy; with it, it is larger by 0.2 or more.
    assert (history["val_loss"][-1] < history["val_crossentropy"][-1] + 0.01) == bool(plain)


def test_adams_learning_rate_climbs_to_the_peak_and_falls_to_zero(small):
    model, options = dlm.build_model(), "--epochs 1 --batch-size 10 --learning-rate 0.002"
    dlm.train(model, *small, dlm.parse_args(options.split()))
    settings = model.optimizer.get_config()
    schedule = keras.optimizers.schedules.CosineDecay(**settings["learning_rate"]["config"])
    assert settings["weight_decay"] == 0.05
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == 0 and rates[100] == pytest.approx(0, abs=1e-9)
    assert max(rates) == rates[5] == pytest.approx(0.002)
    assert rates[:6] == sorted(rates[:6]) and rates[5:] == sorted(rates[5:], reverse=True)
