"""The figures: what they show, checked by their contents; what they look like is for eyes."""

import numpy as np
import pytest

import deep_learning_model as dlm
from conftest import DIGITS


@pytest.mark.parametrize("evaluated_on, epochs", [("test", 2), ("validation", 1)])
def test_training_curves_show_both_curves_of_both_metrics(evaluated_on, epochs):
    history = {"accuracy": [0.9, 0.95], "crossentropy": [0.3, 0.2]}
    history |= {"val_accuracy": [0.97, 0.98], "val_crossentropy": [0.1, 0.05]}
    history = {name: values[:epochs] for name, values in history.items()}
    figure = dlm.plot_training_curves(history, evaluated_on, "test accuracy 98%")
    figure.draw_without_rendering()
    assert figure.get_suptitle() == "After the training: test accuracy 98%"
    for ax, name in zip(figure.axes, ("accuracy", "crossentropy")):
        training, evaluated = ax.get_lines()
        np.testing.assert_allclose(training.get_ydata(), history[name])
        np.testing.assert_allclose(evaluated.get_ydata(), history[f"val_{name}"])
        assert "training" in training.get_label() and evaluated_on in evaluated.get_label()
        assert list(evaluated.get_xdata()) == [1, 2][:epochs] and ax.get_xlabel() == "epoch"
        assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_the_confusion_matrix_counts_all_and_colors_errors():
    labels = np.array([0] * 900 + [4, 4, 9])
    predicted = np.array([0] * 900 + [9, 9, 4])
    ax = dlm.plot_confusion_matrix(labels, np.eye(10)[predicted], DIGITS).axes[0]
    counts = {text.get_position()[::-1]: text.get_text() for text in ax.texts}
    assert counts == {(0, 0): "900", (4, 9): "2", (9, 4): "1"}
    values = ax.images[0].get_array()
    assert values.sum() == 3 and values[4, 9] == 2 and values[9, 4] == 1
    assert "3 errors in 903" in ax.get_title()


def samples(figure):
    """Return what is written at each image of a figure, and the image's first pixel."""
    return [
        (f"{ax.get_title()} {ax.get_xlabel()}".replace("\n", " "), ax.images[0].get_array().flat[0])
        for ax in figure.axes
        if ax.images
    ]


def test_samples_show_correct_answers_then_the_errors_the_most_confident_first():
    labels = np.array([1, 2, 3, 4])
    probabilities = np.zeros((4, 10), "float32")
    probabilities[0, 1] = 0.8  # correct
    probabilities[1, [7, 2]] = 0.6, 0.4  # wrong
    probabilities[2, [5, 3]] = 0.95, 0.05  # worse
    probabilities[3, 4] = 1  # correct
    images = np.ones((4, 28, 28, 1), "float32") * (np.arange(4) / 4).reshape(4, 1, 1, 1)
    texts, pixels = zip(*samples(dlm.plot_samples(images, labels, probabilities, DIGITS)))
    assert pixels == (0, 0.75, 0.5, 0.25)
    for text, answer in zip(texts, ("1 80", "4 100", "5 95", "7 60")):
        assert text.startswith(answer)
    assert ["true: 3" in text for text in texts] == [False, False, True, False]


def test_the_names_of_the_classes_do_not_run_into_each_other():
    names = ["pullover", "sneaker", "Chihuahua or muffin"]
    labels, probabilities = np.arange(60) % 3, np.eye(3)[np.arange(60) // 2 % 3]
    figure = dlm.plot_samples(np.zeros((60, 28, 28, 3)), labels, probabilities, names)
    figure.draw_without_rendering()
    for row in figure.axes[:8], figure.axes[8:]:
        boxes = [ax.title.get_window_extent() for ax in row]
        boxes += [ax.xaxis.label.get_window_extent() for ax in row if ax.get_xlabel()]
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    ax = dlm.plot_confusion_matrix(labels, probabilities, names).axes[0]
    for ticks in ax.get_xticklabels(), ax.get_yticklabels():
        assert [label.get_text() for label in ticks] == names
