"""The network."""

import deep_learning_model as dlm


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
    assert dlm.build_model("cnn-dropout").get_layer("hidden_dropout").rate == 0.2


def test_no_layer_has_a_name_that_keras_gives_a_layer_by_itself():
    """Or a user's next layer, which gets such a name, clashes with it."""
    given = {"conv2d", "max_pooling2d", "flatten", "dense", "dropout", "input_layer"}
    for architecture in "cnn", "cnn-dropout", "dnn":
        assert given.isdisjoint(layer.name for layer in dlm.build_model(architecture).layers)
