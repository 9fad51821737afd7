"""Architectures and optimizers are what their names say; a saved model says what its outputs are."""

import json
import re
import time
import zipfile
from contextlib import suppress

import keras
import numpy as np
import pytest
from hydra.utils import instantiate
from keras import layers as kl
from omegaconf import OmegaConf
from scipy import ndimage

from pipeline.labels import LABELS
from pipeline.learning import models
from pipeline.learning.fit import build_optimizer
from pipeline.running.cli import CONF
from pipeline.running.errors import UserError

CONVOLUTIONS = "C32, BN, C64, BN, P, Drop .25, C128, BN, C128, BN, P, Drop .25, C256, BN, C256, BN, P, Drop .25"

# As the study published them: layers, parameters with 3 channels and with 1.
STUDY = {
    "model_1_concept": (
        "C32, P, C64, C64, P, C128, C128, P, C256, C256, Flatten, D512, D512, BN, D7",
        4_708_615,
        4_708_039,
    ),
    "model_2_best": (f"{CONVOLUTIONS}, Flatten, D2048, BN, Drop .5, D7", 14_261_319, 14_260_743),
    "model_3_best_nodropout": (
        f"{CONVOLUTIONS}, Flatten, D2048, BN, D7".replace(", Drop .25", ""),
        14_261_319,
        14_260_743,
    ),
    "model_4_best_nodropout_nobatchn": (
        f"{CONVOLUTIONS}, Flatten, D2048, D7".replace(", Drop .25", "").replace(", BN", ""),
        14_249_671,
        14_249_095,
    ),
}
OPTIMIZERS = {
    "adam": (keras.optimizers.Adam, {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999}),
    "rmsprop": (keras.optimizers.RMSprop, {"learning_rate": 0.001, "rho": 0.9, "momentum": 0.0}),
    "sgd": (keras.optimizers.SGD, {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True}),
}
TINY = [{"conv": 4, "padding": "valid"}, "norm", "pool", {"dropout": 0.5}, "flatten", {"dense": 8}]


def choice(group, name):
    return OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))


def built(name, channels=3):
    return instantiate(choice("model", name)["build"], size=48, channels=channels, _convert_="all")


def notation(model):
    """The layers of a model in the study's notation."""
    names = []
    for layer in model.layers:
        match layer:
            case keras.layers.Conv2D():
                names.append(f"C{layer.filters}")
            case keras.layers.Dense():
                names.append(f"D{layer.units}")
            case keras.layers.Dropout():
                names.append(f"Drop {layer.rate:.2g}".replace("0.", "."))
            case keras.layers.BatchNormalization():
                names.append("BN")
            case keras.layers.MaxPooling2D():
                names.append("P")
            case keras.layers.Flatten():
                names.append("Flatten")
            case _:
                assert isinstance(layer, keras.layers.InputLayer | keras.layers.Rescaling)
    return ", ".join(names)


@pytest.fixture(scope="module")
def tiny():
    return models.layer_stack(TINY, size=12, channels=3)


@pytest.fixture
def saved(tiny, tmp_path):
    models.save(tiny, tmp_path / "model.keras")
    return tmp_path / "model.keras"


def rewritten(path, **files):
    """The archive with some files' content replaced, or left out where it is None."""
    with zipfile.ZipFile(path) as archive:
        old = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (old | files).items():
            if content is not None:
                archive.writestr(name, content)


@pytest.mark.parametrize("name", STUDY)
def test_a_study_model_has_the_layers_and_parameters_that_the_study_published(name):
    layers, rgb, gray = STUDY[name]
    model = built(name)
    assert notation(model) == layers
    assert model.count_params() == rgb
    assert built(name, channels=1).count_params() == gray


@pytest.mark.parametrize("name", STUDY)
def test_a_study_model_pads_all_convolutions_but_the_first(name):
    model = built(name, channels=1)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.padding for layer in convolutions] == ["valid"] + ["same"] * (len(convolutions) - 1)
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    *hidden, last = [layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")]
    assert (set(hidden), last) == ({"relu"}, "softmax")


def test_compact_is_compact():
    assert 2_400_000 < built("compact").count_params() < 2_450_000


def test_compact_smooths_as_bilinear_sampling_does_on_the_mean_over_all_places():
    net = built("compact", channels=1)
    image = np.random.default_rng(0).integers(0, 256, (1, 48, 48, 1), dtype=np.uint8)
    smoothed = keras.Model(net.inputs, net.get_layer("row_smoothed").output)(image)[0, :, :, 0]
    scaled, places = net.get_layer("scale")(image)[0, :, :, 0], (np.arange(48) + 0.5) / 48  # between two pixels
    variance_of_bilinear_weights = np.mean(places * (1 - places))
    assert variance_of_bilinear_weights == pytest.approx(1 / 12 + 1 / 12, rel=1e-3)
    expected = ndimage.convolve1d(scaled, [1 / 12, 10 / 12, 1 / 12], axis=0)
    expected = ndimage.convolve1d(expected, [1 / 12, 10 / 12, 1 / 12], axis=1)
    assert np.allclose(smoothed[1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-5)


@pytest.mark.parametrize("model", ["layer_stack", "compact"])
@pytest.mark.parametrize("channels", [1, 3])
def test_uint8_goes_in_and_probabilities_come_out(model, channels):
    if model == "compact":
        blocks = [{"width": 8, "stride": 2, "squeeze": True}]
        net = models.compact(2, 8, blocks, squeeze_ratio=4, dropout=0.1, size=12, channels=channels, smooth=0.25)
    else:
        net = models.layer_stack(TINY, 12, channels)
    assert (net.input_shape, net.inputs[0].dtype) == ((None, 12, 12, channels), "uint8")
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 12, channels), dtype=np.uint8)
    probabilities = net.predict(images, verbose=0)
    assert (probabilities.shape, probabilities.dtype) == ((5, len(LABELS)), np.float32)
    assert np.all(probabilities >= 0)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-6)


def nested(policy=None) -> keras.Model:
    """A net whose norm and whose last layer are each in a model of its own, and a layer of `policy` in the middle."""
    first = keras.Sequential([kl.Rescaling(1 / 255), kl.Conv2D(4, 3), kl.BatchNormalization()])
    middle = [kl.Flatten(), kl.Dense(8, dtype=policy, name="middle")]
    last = keras.Sequential([kl.Dense(8, name="before"), kl.Dense(7, "softmax", name="last")])
    return keras.Sequential([keras.Input((12, 12, 3), dtype="uint8"), first, *middle, last])


@pytest.mark.parametrize("which", ["tiny", "nested"])
def test_layers_calculate_in_bfloat16_while_asked_to_with_weights_and_answers_in_float32(tiny, which):
    model = {"tiny": lambda: tiny, "nested": nested}[which]()
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), np.uint8)
    plain = model(images).numpy()
    with models.calculating_in(model, "mixed_bfloat16"):
        layers = [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model)]
        low = [layer for layer in layers if layer.compute_dtype == "bfloat16"]
        said = model(images)
        norm = next(layer for layer in layers if isinstance(layer, kl.BatchNormalization))
        assert norm(np.ones((1, 12, 12, 4), np.float32)).dtype == "bfloat16"
    assert [layer.name for layer in layers if layer not in low] == ["emotion" if which == "tiny" else "last"]
    assert said.dtype == "float32" and {str(each.dtype) for each in model.weights} == {"float32"}
    assert 0 < np.abs(said.numpy() - plain).max() < 0.02
    assert np.array_equal(model(images), plain), "as before, afterwards"


def test_a_layer_with_a_policy_of_its_own_keeps_it():
    model = nested("float64")
    for precision in ("float32", "mixed_bfloat16"):
        with models.calculating_in(model, precision):
            assert model.get_layer("middle").compute_dtype == "float64"
        assert model.get_layer("middle").compute_dtype == "float64"


def test_pixels_are_scaled_inside_the_model(tiny):
    scale = tiny.get_layer("scale")
    assert np.allclose(scale(np.array([0.0, 255.0])), [0, 1])


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "model").glob("*.yaml")))
def test_every_model_file_builds_and_is_named_as_the_file(name):
    assert choice("model", name)["name"] == name
    assert built(name, channels=1).output_shape == (None, 7)


@pytest.mark.parametrize("group", ["model", "optimizer", "channels", "augment", "data"])
def test_a_choice_is_named_as_its_file(group):
    for path in (CONF / group).glob("*.yaml"):
        assert OmegaConf.load(path).name == path.stem


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_optimizer_that_is_named_is_the_one_that_is_built(name):
    kind, values = OPTIMIZERS[name]
    optimizer = build_optimizer(choice("optimizer", name), steps=10, epochs=5)
    assert type(optimizer) is kind
    found = optimizer.get_config()
    assert {key: found[key] for key in values} == pytest.approx(values)
    assert not optimizer.weight_decay
    assert not optimizer.use_ema


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("sgd", {"learning_rate": 1, "momentum": 0, "nesterov": False}),
        ("adam", {"learning_rate": 1, "beta_1": 0, "beta_2": 0}),
        ("rmsprop", {"learning_rate": 1, "rho": 0}),
        ("sgd_cosine", {"learning_rate": 1, "momentum": 1, "weight_decay": 0, "ema_momentum": 1}),
    ],
)
def test_a_whole_number_is_a_number_to_an_optimizer_too(name, numbers):
    chosen = choice("optimizer", name)
    chosen["build"] |= numbers | {"gradient_accumulation_steps": 2}
    found = build_optimizer(chosen, steps=10, epochs=5).get_config()
    if name == "sgd_cosine":
        numbers["learning_rate"] = found["learning_rate"]  # the schedule
    assert {key: found[key] for key in numbers} == numbers
    assert type(found["gradient_accumulation_steps"]) is int


def test_an_optimizer_that_cannot_be_built_is_named():
    chosen = choice("optimizer", "sgd")
    chosen["build"]["nestrov"] = True
    with pytest.raises(UserError, match=r"(?s)optimizer=sgd: .*not recognized: {'nestrov': True}"):
        build_optimizer(chosen, steps=10, epochs=5)


def test_every_optimizer_file_builds_the_class_of_its_name():
    for path in (CONF / "optimizer").glob("*.yaml"):
        optimizer = build_optimizer(choice("optimizer", path.stem), steps=10, epochs=5)
        assert type(optimizer).__name__.lower() == path.stem.split("_")[0]


def test_the_cosine_schedule_warms_up_to_the_rate_and_ends_at_zero():
    optimizer = build_optimizer(choice("optimizer", "sgd_cosine"), steps=10, epochs=5)
    rates = [float(optimizer._learning_rate(step)) for step in range(51)]
    assert rates[0] == 0
    assert rates.index(max(rates)) == 10
    assert max(rates) == pytest.approx(0.1)
    assert rates[50] == pytest.approx(0, abs=1e-6)
    assert np.all(np.diff(rates[10:]) < 0)


@pytest.mark.parametrize(
    "entry",
    [
        "conv",
        "pool2",
        {"conv": "8"},
        {"conv": 8, "stride": 2},
        {"dense": 8, "activation": "tanh"},
        {"dropout": None},
        {"pool": 3},
        {"lambda": "x"},
        {},
    ],
)
def test_an_unknown_layer_is_named_with_its_place_and_what_is_known(entry):
    with pytest.raises(UserError, match=r"entry 2: .* is not a layer; expected pool, norm") as error:
        models.layer_stack(["pool", entry], 12, 3)
    assert str(entry) in str(error.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["pool", {"conv": 8, "padding": "vald"}, "flatten"], "entry 2: .*vald"),
        (["pool", "pool", "pool", "pool", "flatten"], "entry 4: pool: "),
        (["flatten", {"conv": 8}], "entry 2: "),
        (["flatten", {"dense": 0}], "entry 2: "),
        (["flatten", {"dropout": 1.5}], "entry 2: "),
        (["pool"], "add flatten"),
    ],
)
def test_layers_that_do_not_fit_are_named(layers, message):
    with pytest.raises(UserError, match=message) as error:
        models.layer_stack(layers, 12, 3)
    assert "\n" not in str(error.value)


def test_a_saved_model_comes_back_the_same_and_says_what_its_outputs_are(tiny, saved):
    images = np.random.default_rng(1).integers(0, 256, (4, 12, 12, 3), dtype=np.uint8)
    loaded = models.load(saved)
    assert np.array_equal(loaded.predict(images, verbose=0), tiny.predict(images, verbose=0))
    assert not loaded.compiled
    with zipfile.ZipFile(saved) as archive:
        assert json.loads(archive.read("labels.json")) == list(LABELS)
        assert archive.testzip() is None


def test_outputs_in_another_order_are_refused(saved):
    rewritten(saved, **{"labels.json": json.dumps(sorted(LABELS)).encode()})
    with pytest.raises(UserError, match=r"its outputs are .* in this order"):
        models.load(saved)


@pytest.mark.parametrize("content", [None, b"", b"null", b"7", b"{", b"\xff"])
def test_a_model_that_does_not_say_its_outputs_is_refused(saved, content):
    rewritten(saved, **{"labels.json": content})
    with pytest.raises(UserError, match="not a model this project saved"):
        models.load(saved)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
@pytest.mark.parametrize("content", [None, b"", b"null", b"rubbish"])
def test_a_tampered_model_is_refused(saved, name, content):
    rewritten(saved, **{name: content})
    with pytest.raises(UserError, match=r"model\.keras: is not a model this project saved"):
        models.load(saved)


def test_a_file_is_refused_wherever_it_is_cut_and_no_damage_is_a_traceback(saved):
    whole = saved.read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(whole), 12):
        saved.write_bytes(whole[:place])
        with pytest.raises(UserError) as caught:
            models.load(saved)
        assert "\n" not in str(caught.value)
        saved.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with suppress(UserError):  # a date, say, may be any
            models.load(saved)


def test_equal_models_have_equal_files_whenever_they_are_saved(tmp_path, monkeypatch):
    kept, now = [], time.time()
    for name in ("one.keras", "other.keras"):
        monkeypatch.setattr(time, "time", lambda: now + 10 * len(kept))  # which the dates of a zip's files tell apart
        keras.utils.set_random_seed(0)
        kept.append(models.layer_stack(TINY, size=12, channels=3))
        models.save(kept[-1], tmp_path / name)
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "other.keras").read_bytes()
    assert all(np.array_equal(*two) for two in zip(*(model.get_weights() for model in kept), strict=True))


def test_half_a_file_another_file_and_no_file_are_refused(saved, tmp_path):
    saved.write_bytes(saved.read_bytes()[:1000])
    (tmp_path / "other.keras").write_text("a text")
    for name in ("model.keras", "other.keras", "."):
        with pytest.raises(UserError, match="not a model this project saved"):
            models.load(tmp_path / name)
    with pytest.raises(UserError, match=r"none\.keras: not there; train it again"):
        models.load(tmp_path / "none.keras")


def test_row_33_a_model_with_code_in_it_is_refused(tmp_path):
    image = keras.Input((12, 12, 3), dtype="uint8")
    x = keras.layers.Lambda(lambda pixels: pixels / 255)(image)
    x = keras.layers.Dense(7, activation="softmax")(keras.layers.Flatten()(x))
    models.save(keras.Model(image, x), tmp_path / "lambda.keras")
    with pytest.raises(UserError, match=r"lambda\.keras: holds keras\.layers\.Lambda, which may run any code"):
        models.load(tmp_path / "lambda.keras")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"class_name": "TFSMLayer"}, r"keras\.layers\.TFSMLayer"),
        ({"module": "os"}, r"os\.Flatten"),
        ({"module": "kerasutils.layers"}, r"kerasutils\.layers\.Flatten"),
        ({"module": None, "registered_name": "mine>Flatten"}, "Flatten"),
    ],
)
def test_row_33_a_model_with_anything_but_what_keras_builds_in_is_refused(saved, other, named):
    with zipfile.ZipFile(saved) as archive:
        config = json.loads(archive.read("config.json"))
    (flatten,) = (layer for layer in config["config"]["layers"] if layer["class_name"] == "Flatten")
    flatten.update(other)
    rewritten(saved, **{"config.json": json.dumps(config).encode()})
    with pytest.raises(UserError, match=rf"model\.keras: holds {named}, which may run any code"):
        models.load(saved)


def test_weight_decay_shrinks_kernels_and_neither_biases_nor_norms():
    net = models.layer_stack(TINY, size=12, channels=3)
    variables = net.trainable_variables
    for variable in variables:
        variable.assign(np.ones(variable.shape))
    build = choice("optimizer", "sgd")["build"] | {"weight_decay": 0.5, "learning_rate": 0.1}
    optimizer = build_optimizer({"build": build, "schedule": None}, steps=10, epochs=5)
    optimizer.apply([np.zeros(variable.shape, np.float32) for variable in variables], variables)
    values = {}
    for variable in variables:
        values.setdefault(variable.name, []).append(np.asarray(variable))
    assert set(values) == {"kernel", "bias", "gamma", "beta"}
    for name, arrays in values.items():
        expected = 1 - 0.1 * 0.5 if name == "kernel" else 1
        assert all(np.allclose(array, expected) for array in arrays), name


class Doubling(kl.Layer):
    def call(self, x):
        return 2 * x


def a_stack(*layers) -> keras.Model:
    return keras.Sequential([keras.Input((48, 48, 1)), kl.Flatten(), *layers])


UNFIT = {
    "a layer of its own": (lambda: a_stack(Doubling(), kl.Dense(7, "softmax")), "Doubling, which may run any code"),
    "a lambda": (lambda: a_stack(kl.Lambda(abs), kl.Dense(7, "softmax")), "Lambda, which may run any code"),
    "five": (lambda: a_stack(kl.Dense(5, "softmax")), "no probability of each emotion"),
    "no softmax": (lambda: a_stack(kl.Dense(7)), "no probability of each emotion"),
    "no model": (lambda: 7, "returns int; expected a keras.Model"),
    "another size": (lambda: of_shape((32, 32, 1)), r"takes images of shape \(None, 32, 32, 1\); expected \(None, 48"),
    "any size": (lambda: of_shape((None, None, 1)), "takes images of shape"),
    "two outputs": (lambda: keras.Model(*two_outputs()), "has 2 outputs; expected one"),
    "two inputs": (lambda: of_shape((48, 48, 1), (48, 48, 1)), "takes images of shape"),
}


def of_shape(*shapes) -> keras.Model:
    images = [keras.Input(shape) for shape in shapes]
    means = [kl.GlobalAveragePooling2D()(image) for image in images]
    joined = kl.Concatenate()(means) if len(means) > 1 else means[0]
    return keras.Model(images, kl.Dense(7, "softmax")(joined))


def two_outputs() -> tuple:
    image = keras.Input((48, 48, 1))
    x = kl.Flatten()(image)
    return image, [kl.Dense(7, "softmax")(x), kl.Dense(3)(x)]


def of_mine(which: str, size: int, channels: int) -> keras.Model:
    return UNFIT[which][0]() if which in UNFIT else a_stack(kl.Dense(7, "softmax"))


@pytest.mark.parametrize("which", UNFIT)
def test_an_architecture_that_could_not_be_used_after_its_training_is_refused_before_it(which):
    choice = {"name": "mine", "build": {"_target_": f"{__name__}.of_mine", "which": which}}
    with pytest.raises(UserError, match=f"model=mine: {re.escape(__name__)}.of_mine .*{UNFIT[which][1]}"):
        models.build(choice, 48, 1)


def test_a_sequential_architecture_of_ones_own_is_taken():
    choice = {"name": "mine", "build": {"_target_": f"{__name__}.of_mine", "which": "sound"}}
    assert models.build(choice, 48, 1).output_shape == (None, 7)
