"""A TensorFlow Serving client gets from the service what TensorFlow Serving would say of the exported SavedModel.

What that server says is its own protocol (the messages of tensorflow-serving-api) and the SavedModel run by TensorFlow.
"""

import json
import tracemalloc
from contextlib import asynccontextmanager

import numpy as np
import pytest
from google.protobuf import json_format
from starlette.testclient import TestClient
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from pipeline.exporting import savedmodel
from pipeline.labels import LABELS
from pipeline.serving import tensorflow_api
from pipeline.serving.app import make_app
from pipeline.serving.model import Model
from pipeline.serving.upload import Refusal
from serving.known import gray_of

AT = "/v1/models/emotion"
FACES = [np.full((48, 48, 3), gray_of(label), np.uint8).tolist() for label in LABELS]


@pytest.fixture(scope="module")
def client(settings):
    with TestClient(make_app(settings), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def ask(client, at: str = f"{AT}:predict", **request):
    """As TensorFlow Serving's tutorial does."""
    return client.post(at, content=json.dumps(request), headers={"content-type": "application/json"})


def test_rows_columns_and_names_get_the_answer_of_the_saved_model(client, saved):
    mixed = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3), np.uint8)
    images = np.concatenate([np.array(FACES, np.uint8), mixed])
    expected, given = savedmodel.predictor(saved)(images), images.tolist()
    rows = ask(client, signature_name="serving_default", instances=given).json()
    assert set(rows) == {"predictions"}
    assert np.abs(np.array(rows["predictions"]) - expected).max() < 5e-3  # its weights are float16
    assert [LABELS[int(np.argmax(row))] for row in rows["predictions"][:7]] == list(LABELS)
    assert ask(client, signature_name="", instances=[{"image": image} for image in given]).json() == rows
    for inputs in (given, {"image": given}):
        assert ask(client, inputs=inputs).json() == {"outputs": rows["predictions"]}
    assert ask(client, f"{AT}/versions/1:predict", instances=given).json() == rows


def test_status_is_the_servers_message(client):
    for at in (AT, f"{AT}/versions/1"):
        message = json_format.ParseDict(client.get(at).json(), get_model_status_pb2.GetModelStatusResponse())
        (version,) = message.model_version_status
        assert (version.version, version.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)
        assert (version.status.error_code, version.status.error_message) == (0, "")


def test_metadata_is_the_signature_of_the_saved_model(client, saved):
    from tensorflow.python.saved_model import loader_impl

    (graph,) = loader_impl.parse_saved_model(str(saved)).meta_graphs
    expected = graph.signature_def["serving_default"]
    for at in (f"{AT}/metadata", f"{AT}/versions/1/metadata"):
        answer = client.get(at).json()
        assert answer["model_spec"] == {"name": "emotion", "signature_name": "", "version": "1"}
        told = json_format.ParseDict(answer["metadata"]["signature_def"], get_model_metadata_pb2.SignatureDefMap())
        found = told.signature_def["serving_default"]
        assert found.method_name == expected.method_name
        for side in ("inputs", "outputs"):
            tensors, those = getattr(found, side), getattr(expected, side)
            assert {name: (each.dtype, each.tensor_shape) for name, each in tensors.items()} == {
                name: (each.dtype, each.tensor_shape) for name, each in those.items()
            }


def test_another_version_or_model_is_not_found_in_the_servers_words(client):
    for answer in (
        client.get(f"{AT}/versions/7"), client.get(f"{AT}/versions/7/metadata"), client.get("/v1/models/other"),
        ask(client, f"{AT}/versions/7:predict", instances=FACES), ask(client, "/v1/models/other:predict"),
    ):  # fmt: skip
        assert answer.status_code == 404 and isinstance(answer.json()["error"], str)
    assert client.get(f"{AT}/versions/x").status_code == client.get(f"{AT}/versions/{'1' * 5000}").status_code == 404


def test_the_version_that_was_asked_for_answers_whatever_is_taken_up_while_the_body_comes(settings, monkeypatch):
    app = make_app(settings)
    service = app.state.service
    read = service.gate.body

    @asynccontextmanager
    async def slow(request):
        async with read(request) as body:
            service.watched.current = None
            yield body

    with TestClient(app, base_url="http://localhost") as client:
        monkeypatch.setattr(service.gate, "body", slow)
        assert ask(client, f"{AT}/versions/1:predict", instances=FACES).status_code == 200


@pytest.mark.parametrize(
    "body",
    (
        b"", b"[]", b"{", b"[" * 100_000, b'{"instances": []}', b'{"instances": [1]}', b'{"instances": [[[1]]]}',
        b'{"inputs": 1, "instances": 1}', b'{"instances": [null]}', b'{"signature_name": "x", "instances": [1]}',
        b'{"signature_name": [], "instances": [1]}', b'{"inputs": {"other": [1]}}', b'{"instances": {"image": [1]}}',
        json.dumps({"instances": [[[[300] * 3] * 48] * 48]}).encode(), b'{"instances": [1e999]}',
        json.dumps({"instances": [[[[0.5] * 3] * 48] * 48]}).encode(), b'{"instances": "' + b"x" * 100 + b'"}',
        json.dumps({"instances": [[[[True] * 3] * 48] * 48]}).encode(), b'{"instances": [{"image": [[[[[1]]]]]}]}',
        json.dumps({"instances": [[[["1"] * 3] * 48] * 48]}).encode(), b'{"instances": [' + b"1" * 4000 + b"]}",
    ),
)  # fmt: skip
def test_a_prediction_of_something_else_is_refused_with_words(client, body):
    response = client.post(f"{AT}:predict", content=body)
    assert response.status_code == 400 and response.json()["error"]


@pytest.mark.parametrize(
    ("request_", "code", "named"),
    (
        ({"signature_name": "x", "instances": [1]}, "bad_signature", "signature_name serving_default"),
        ({"inputs": {"other": [1]}}, "bad_input", "the name image"),
        ({"instances": [{"other": 1}]}, "bad_input", "the name image"),
        ({"instances": [{"image": 1, "other": 1}]}, "bad_input", "the name image"),
    ),
)
def test_of_a_wrong_name_it_is_said_which_is_expected(client, request_, code, named):
    answer = ask(client, **request_)
    assert (answer.status_code, answer.json()["code"]) == (400, code) and named in answer.json()["error"]


@pytest.mark.parametrize("first", ("a" * 5_800_000, [[["a" * 5_800_000]]], 10**4000))
def test_row_35_one_long_value_does_not_set_the_size_of_all(first):
    body = json.dumps({"instances": [first] + ["a"] * 63}).encode()
    tracemalloc.start()
    with pytest.raises(Refusal) as refusal:
        tensorflow_api.images_of(body, (48, 48, 3), 64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refusal.value.status == 400 and peak < 2**26


@pytest.mark.parametrize("item", (b"[]", b"{}", b'""', b"[" * 400 + b"]" * 400))
def test_row_35_json_of_many_small_parts_is_refused_unread(monkeypatch, item):
    monkeypatch.setattr(json, "loads", None)
    most = 64 * 48 * 48 * 3 * tensorflow_api.BYTES_A_NUMBER
    body = b'{"instances": [' + b",".join([item] * (most // (len(item) + 1) - 10)) + b"]}"
    with pytest.raises(Refusal) as refusal:
        tensorflow_api.images_of(body, (48, 48, 3), 64)
    assert len(body) < most and refusal.value.status == 413


def test_row_35_json_that_would_take_much_memory_is_refused_unread(client, settings):
    most = settings["limits"]["instances"] * 48 * 48 * 3 * tensorflow_api.BYTES_A_NUMBER
    response = client.post(f"{AT}:predict", content=b'{"instances": [' + b"[]," * (most // 3) + b"[]]}")
    assert response.status_code == 413 and response.json()["code"] == "too_large"
    indented = json.dumps({"instances": [FACES[0]] * settings["limits"]["instances"]}, indent=4).encode()
    assert len(indented) < most and client.post(f"{AT}:predict", content=indented).status_code == 200


def test_rows_are_the_models_own_whatever_temperature_it_is_calibrated_with(settings, export, tmp_path):
    folder = export(tmp_path / "soft", temperature=4.0)
    between = np.full((1, 48, 48, 3), 30, np.uint8)  # rather disgust than anger
    model = Model(folder, [1], 1)
    assert np.abs(model.raw(between) - model.predict(between)).max() > 0.05
    with TestClient(make_app(settings | {"exported": str(folder)}), base_url="http://localhost") as client:
        rows = ask(client, instances=between.tolist()).json()["predictions"]
    assert np.allclose(rows, model.raw(between), atol=1e-6)
