"""The figures: what they show, checked by their contents; what they look like is for eyes."""

import numpy as np
import pytest

import deep_learning_model as dlm

DIGITS = list("0123456789")
HISTORY = {
    "accuracy": [0.9, 0.95],
    "crossentropy": [0.3, 0.2],
    "val_accuracy": [0.97, 0.98],
    "val_crossentropy": [0.1, 0.05],
}


@pytest.mark.parametrize("curve_name, epochs", [("test", 2), ("validation", 1)])
def test_training_curves_show_both_curves_of_both_metrics(curve_name, epochs):
    history = {name: values[:epochs] for name, values in HISTORY.items()}
    figure = dlm.plot_training_curves(history, curve_name, "test accuracy 98%")
    figure.draw_without_rendering()
    assert figure.get_suptitle() == "After the training: test accuracy 98%"
    for ax, name in zip(figure.axes, ("accuracy", "crossentropy")):
        training, evaluated = ax.get_lines()
        np.testing.assert_allclose(training.get_ydata(), history[name])
        np.testing.assert_allclose(evaluated.get_ydata(), history[f"val_{name}"])
        assert "training" in training.get_label() and curve_name in evaluated.get_label()
        assert list(evaluated.get_xdata()) == [1, 2][:epochs] and ax.get_xlabel() == "epoch"
        assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_the_confusion_matrix_counts_and_colours_only_errors():
    labels = np.array([0] * 900 + [4, 4, 9])
    predicted = np.array([0] * 900 + [9, 9, 4])
    ax = dlm.plot_confusion_matrix(labels, np.eye(10)[predicted], DIGITS).axes[0]
    texts = {text.get_position()[::-1]: text.get_text() for text in ax.texts}
    counts = {place: text for place, text in texts.items() if text}
    assert counts == {(0, 0): "900", (4, 9): "2", (9, 4): "1"}
    values = np.ma.filled(ax.images[0].get_array(), 0)
    assert values.sum() == 3 and values[4, 9] == 2 and values[9, 4] == 1
    assert ax.images[0].get_clim() == (0, 2)
    assert "3 errors in 903" in ax.get_title()


def test_a_perfect_matrix_and_one_of_a_hundred_classes_can_be_drawn():
    perfect = dlm.plot_confusion_matrix(np.arange(10), np.eye(10), DIGITS)
    names = [f"class {label}" for label in range(100)]
    large = dlm.plot_confusion_matrix(np.arange(100), np.eye(100)[::-1], names)
    for figure, title in (perfect, "0 errors in 10"), (large, "100 errors in 100"):
        figure.draw_without_rendering()
        assert title in figure.axes[0].get_title()
    assert not large.axes[0].texts  # they would be unreadable


def drawn(figure):
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
    texts, pixels = zip(*drawn(dlm.plot_samples(images, labels, probabilities, DIGITS)))
    assert pixels == (0, 0.75, 0.5, 0.25)
    for text, answer in zip(texts, ("1 80", "4 100", "5 95", "7 60")):
        assert text.startswith(answer)
    assert ["true: 3" in text for text in texts] == [False, False, True, False]


@pytest.mark.parametrize("correct", [True, False])
def test_samples_can_be_all_correct_or_all_wrong(correct):
    labels = np.zeros(40, int)
    probabilities = np.eye(10)[labels if correct else labels + 1]
    figure = dlm.plot_samples(np.zeros((40, 28, 28, 1)), labels, probabilities, DIGITS)
    assert len(drawn(figure)) == 8


def test_the_names_of_the_classes_do_not_run_into_each_other():
    names = ["pullover", "sneaker", "Chihuahua or muffin"]
    labels, probabilities = np.arange(60) % 3, np.eye(3)[np.arange(60) // 2 % 3]
    figure = dlm.plot_samples(np.zeros((60, 28, 28, 1)), labels, probabilities, names)
    figure.draw_without_rendering()
    for row in figure.axes[:8], figure.axes[8:]:
        boxes = [ax.title.get_window_extent() for ax in row]
        boxes += [ax.xaxis.label.get_window_extent() for ax in row if ax.get_xlabel()]
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_the_names_of_the_classes_stand_in_the_figures():
    names = ["ankle boot", "größe"]
    matrix = dlm.plot_confusion_matrix(np.array([0, 1, 1]), np.eye(2)[[0, 0, 1]], names).axes[0]
    assert [label.get_text() for label in matrix.get_xticklabels()] == names
    assert [label.get_text() for label in matrix.get_yticklabels()] == names
    probabilities = np.array([[0.9, 0.1], [0.7, 0.3]])
    images, labels = np.zeros((2, 12, 14, 3), "float32"), np.array([0, 1])
    (first, _), (second, _) = drawn(dlm.plot_samples(images, labels, probabilities, names))
    assert "ankle boot 90" in first and "ankle boot 70" in second and "größe" in second
