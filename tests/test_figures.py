"""The figures: what they show, checked by their contents; what they look like is for eyes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import deep_learning_model as dlm


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


DIGITS = list("0123456789")
HISTORY = {
    "accuracy": [0.9, 0.95],
    "loss": [0.3, 0.2],
    "val_accuracy": [0.97, 0.98],
    "val_loss": [0.1, 0.05],
}


def test_training_curves_show_both_curves_of_both_quantities():
    figure = dlm.plot_training_curves(HISTORY, "test")
    for ax, name in zip(figure.axes, ("accuracy", "loss")):
        training, test = ax.get_lines()
        assert training.get_ydata().tolist() == HISTORY[name] and "training" in training.get_label()
        assert test.get_ydata().tolist() == HISTORY[f"val_{name}"] and "test" in test.get_label()
        assert list(test.get_xdata()) == [1, 2] and ax.get_xlabel() == "epoch"
        figure.draw_without_rendering()
        assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_confusion_matrix_counts_and_colours_only_mistakes():
    labels = np.array([0] * 900 + [4, 4, 9])
    predicted = np.array([0] * 900 + [9, 9, 4])
    figure = dlm.plot_confusion_matrix(labels, np.eye(10)[predicted], DIGITS)
    ax = figure.axes[0]
    texts = {text.get_position()[::-1]: text.get_text() for text in ax.texts}
    counts = {place: text for place, text in texts.items() if text}
    assert counts == {(0, 0): "900", (4, 9): "2", (9, 4): "1"}
    colours = ax.images[0].get_array()
    assert colours[0, 0] == 0 and colours[4, 9] == 2 and colours[9, 4] == 1
    assert ax.images[0].get_clim() == (0, 2)
    assert "3 mistakes in 903" in ax.get_title()


def test_a_perfect_confusion_matrix_can_be_drawn():
    figure = dlm.plot_confusion_matrix(np.arange(10), np.eye(10), DIGITS)
    figure.draw_without_rendering()
    assert "0 mistakes" in figure.axes[0].get_title()


def cells(figure):
    return [
        (ax.get_title(), ax.title.get_color(), ax.images[0].get_array()[0, 0].item())
        for ax in figure.axes
        if ax.images
    ]


def test_samples_show_right_answers_then_the_worst_mistakes_first():
    labels = np.array([1, 2, 3, 4])
    probabilities = np.zeros((4, 10), "float32")
    probabilities[0, 1] = 0.8  # right
    probabilities[1, [7, 2]] = 0.6, 0.4  # wrong
    probabilities[2, [5, 3]] = 0.95, 0.05  # worse
    probabilities[3, 4] = 1  # right
    brightness = np.arange(4, dtype="float32") / 4
    images = brightness[:, None, None, None] * np.ones((1, 28, 28, 1), "float32")
    figure = dlm.plot_samples(images, labels, probabilities, DIGITS)
    assert cells(figure) == [
        ("1 (80%)\ntrue: 1", "black", 0.0),
        ("4 (100%)\ntrue: 4", "black", 0.75),
        ("wrong: 5 (95%)\ntrue: 3", "tab:red", 0.5),
        ("wrong: 7 (60%)\ntrue: 2", "tab:red", 0.25),
    ]


@pytest.mark.parametrize("right", [True, False])
def test_samples_can_be_all_right_or_all_wrong(right):
    labels = np.zeros(40, int)
    probabilities = np.eye(10, dtype="float32")[labels if right else labels + 1]
    figure = dlm.plot_samples(np.zeros((40, 28, 28, 1), "float32"), labels, probabilities, DIGITS)
    figure.draw_without_rendering()
    assert len(cells(figure)) == 16


def test_class_names_stand_in_the_figures_and_a_validation_curve_is_called_so():
    names = ["ankle boot", "größe"]
    matrix = dlm.plot_confusion_matrix(np.array([0, 1, 1]), np.eye(2)[[0, 0, 1]], names).axes[0]
    assert [label.get_text() for label in matrix.get_xticklabels()] == names
    assert [label.get_text() for label in matrix.get_yticklabels()] == names
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3]])
    images, labels = np.zeros((2, 12, 14, 3), "float32"), np.array([0, 1])
    samples = dlm.plot_samples(images, labels, probabilities, names)
    assert [ax.get_title() for ax in samples.axes if ax.images] == [
        "ankle boot (90%)\ntrue: ankle boot",
        "wrong: ankle boot (70%)\ntrue: größe",
    ]
    curves = dlm.plot_training_curves(HISTORY, "validation").axes[0]
    assert curves.get_title() == "Validation accuracy 0.9800"
    assert "validation" in curves.get_lines()[1].get_label()


def test_a_hundred_classes_are_drawn_without_unreadable_numbers():
    labels = np.arange(100)
    names = [f"class {label}" for label in labels]
    ax = dlm.plot_confusion_matrix(labels, np.eye(100)[::-1], names).axes[0]
    assert not ax.texts and "100 mistakes" in ax.get_title()
