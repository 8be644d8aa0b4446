"""Wrong input, made up by Hypothesis: each is refused in one clear line or read rightly.

``fuzz(kind, cases, folder)`` tries that many cases of one kind in this process and returns how many
were refused.
"""

import contextlib
import gzip
import io
import os
import shutil

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import deep_learning_model as dlm
from conftest import Trap, draw_bar, idx


def write_npz(draw, folder, arrays):
    if draw(st.booleans()):
        name = draw(st.sampled_from(list(arrays)))
        shape = draw(st.lists(st.integers(0, 40), max_size=5))
        dtype = draw(st.sampled_from(["u1", "i8", "f4", "c8", "U1", "?", "i1,i1"]))
        arrays[name] = draw(st.sampled_from([np.zeros(shape, dtype), np.array([Trap()])]))
    np.savez(folder / "data.npz", **arrays)
    return [folder / "data.npz"]


def write_csv(draw, folder, arrays):
    ends = draw(st.sampled_from([("\n", ""), ("\r\n", "label,pixels\r\n")]))
    cells = st.one_of(st.integers().map(str), st.floats().map(str), st.text(max_size=5))
    for part in "train", "test":
        rows = np.column_stack([arrays[f"y_{part}"], arrays[f"x_{part}"].reshape(6, -1)]).tolist()
        if draw(st.booleans()):
            row = draw(st.sampled_from(rows))
            row[draw(st.integers(0, len(row) - 1))] = draw(cells)
        text = ends[1] + ends[0].join(",".join(map(str, row)) for row in rows)
        (folder / f"{part}.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    return [folder / "train.csv", folder / "test.csv"]


def write_idx(draw, folder, arrays):
    packed = draw(st.booleans())
    for part, their_name in ("train", "train"), ("test", "t10k"):
        for letter, kind in ("x", "images-idx3"), ("y", "labels-idx1"):
            path = folder / f"{their_name}-{kind}-ubyte{'.gz' * packed}"
            content = idx(arrays[f"{letter}_{part}"])
            path.write_bytes(gzip.compress(content, 1) if packed else content)
    return [folder]


def write_pictures(draw, folder, arrays):
    names = draw(st.lists(st.sampled_from(["0", "größe", "a b"]), min_size=2, unique=True))
    for part in "train", "test":
        images = []
        for name in sorted(names):
            mode, suffix = draw(st.sampled_from([("L", ".png"), ("RGB", ".jpg"), ("1", ".bmp")]))
            path = folder / part / name / f"picture{suffix}"
            size = draw(st.tuples(st.integers(20, 90), st.integers(20, 90)))
            draw_bar(path, lying=name == names[0], size=size, mode=mode)
            images.append(dlm.prepare_picture(path))
        arrays[f"x_{part}"], arrays[f"y_{part}"] = np.array(images), np.arange(len(names))
    return [folder]


KINDS = {"npz": write_npz, "csv": write_csv, "idx": write_idx, "pictures": write_pictures}


def damage(draw, path):
    """Cut a file, change it, insert or repeat something, or delete it."""
    content = path.read_bytes()
    place = draw(st.integers(0, len(content) - 1))
    some = draw(st.binary(min_size=1, max_size=20))
    damaged = [
        content[:place],
        content + content,
        some * 50,
        content[:place] + content[place + 9 :],
    ]
    damaged.append(content[:place] + some + content[place + len(some) :])
    damaged.append(content[:place] + some + content[place:])
    path.write_bytes(draw(st.sampled_from(damaged)))
    if draw(st.integers(0, 9)) == 0:
        path.unlink()


def data_case(draw, write, folder):
    """Write data that may be damaged and load them; return if they are refused."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    side = draw(st.integers(10, 14))
    images = rng.integers(0, 256, (2, 6, side, side)).astype("uint8")
    images[:, 0, 0, 0] = 255
    labels = np.arange(6).astype("uint8")
    arrays = {"x_train": images[0], "y_train": labels, "x_test": images[1], "y_test": labels[::-1]}
    good = dict(arrays)
    words = write(draw, folder, arrays)
    damaged = draw(st.booleans())
    if damaged:
        damage(draw, draw(st.sampled_from([path for path in folder.rglob("*") if path.is_file()])))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            *parts, names = dlm.load_data([str(word) for word in words])
    except (dlm.InputError, OSError) as error:
        assert len(str(error)) > 20
        assert damaged or write in (write_npz, write_csv), error
        return True
    for (x, y), part in zip(parts, ("train", "test")):
        images = dlm.normalize(x).numpy()
        assert len(images) == len(y) > 0 and images.ndim == 4 and min(images.shape[1:3]) >= 10
        assert 0 <= images.min() and images.max() <= 1
        assert y.dtype.kind in "ui" and 0 <= y.min() and y.max() < len(names) <= 1000
        if not damaged and write != write_csv and all(arrays[key] is good[key] for key in good):
            np.testing.assert_array_equal(np.squeeze(x), np.squeeze(arrays[f"x_{part}"]))
            np.testing.assert_array_equal(y, arrays[f"y_{part}"])
    return False


def fuzz(kind, cases, folder):
    """Try ``cases`` cases of ``kind``, a key of KINDS, in ``folder``."""
    refused = 0
    everywhere = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

    @settings(max_examples=cases, print_blob=True, **everywhere)
    @given(st.data())
    def case(data):
        nonlocal refused
        place = folder / "input"
        place.mkdir()
        try:
            refused += data_case(data.draw, KINDS[kind], place)
            assert os.listdir(folder) == ["input"]  # nothing is written, no trap is sprung
        finally:
            shutil.rmtree(place)

    with contextlib.chdir(folder):
        case()
    return refused
