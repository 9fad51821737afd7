"""The API: what each kind of picture and each fault is answered with."""

import base64
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from pipeline.drawing.camera import backdrop
from pipeline.labels import LABELS
from pipeline.reporting.intervals import FEWEST
from pipeline.serving.app import make_app
from serving.drawn import encoded, enlarged, group, portrait
from serving.known import gray_of

FACE = encoded(portrait())
URL = "/api/predict"
EMPTY_FORM = {"content-type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def app(settings):
    return make_app(settings)


@pytest.fixture(scope="module")
def client(app):
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def send(client, *pictures: bytes, field: str = "file", **more) -> httpx.Response:
    return client.post(URL, files=[(field, (f"p{n}.jpg", data)) for n, data in enumerate(pictures)], **more)


def refusal(answer: httpx.Response, status: int, code: str) -> str:
    """The words of a refusal of that status and code."""
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    return answer.json()["error"]


def test_one_picture_gets_the_studys_answer_and_its_faces(client):
    answer = send(client, FACE).json()
    assert answer["animated"] is False
    assert answer["predicted_emotion_label"] == LABELS[answer["predicted_emotion"]]
    assert answer["label_encodings"] == dict(zip(LABELS, range(7), strict=True))
    assert set(answer["class_probabilities"]) == set(LABELS)
    assert sum(answer["class_probabilities"].values()) == pytest.approx(1, abs=1e-4)
    (face,) = answer["faces"]
    assert face["class_probabilities"] == answer["class_probabilities"]
    assert set(face["box"]) == {"x", "y", "width", "height"}


def test_labels_are_right_by_name_for_faces_of_known_brightness(client):
    wide = Image.new("RGB", (1200, 400), (128, 128, 128))
    for place, level in enumerate((0.55, 1.0)):
        wide.paste(portrait().point(lambda value, level=level: value * level), (50 + 600 * place, 40))
    answer = send(client, encoded(wide, quality=95)).json()
    assert len(answer["faces"]) == 2
    for face in answer["faces"]:
        box = face["box"]
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.42
        half = box["width"] * 0.56
        mean = np.asarray(wide)[round(y - half) : round(y + half), round(x - half) : round(x + half)].mean()
        expected = min(LABELS, key=lambda label: abs(gray_of(label) - mean))
        assert face["predicted_emotion_label"] == expected


def test_many_pictures_are_answered_in_order_each_for_itself(client):
    empty = encoded(backdrop(300, np.random.default_rng(1)))
    answer = send(client, FACE, b"no picture", empty, FACE[:2000], FACE, field="files").json()["pictures"]
    assert [len(each.get("faces", [])) for each in answer] == [1, 0, 0, 0, 1]
    assert [each.get("code") for each in answer] == [None, "not_an_image", None, "truncated", None]
    assert answer[0]["class_probabilities"] == answer[4]["class_probabilities"]


def test_wrong_8_without_a_face_the_emotion_is_null_and_words_say_so(client):
    response = send(client, encoded(backdrop(400, np.random.default_rng(2))))
    answer = response.json()
    assert response.status_code == 200 and answer["faces"] == []
    assert answer["predicted_emotion"] is None and answer["class_probabilities"] is None
    assert answer["words"] == "No face was found in this picture."


def test_row_34_without_a_model_it_lives_and_is_not_ready(settings, tmp_path, export):
    folder = tmp_path / "champion"
    with TestClient(make_app(settings | {"exported": str(folder), "poll_seconds": 0.1}), "http://localhost") as client:
        assert client.get("/health/live").status_code == 200
        ready = client.get("/health/ready")
        assert ready.status_code == 503 and str(folder) in ready.json()["error"] and ready.headers["retry-after"]
        assert send(client, FACE).json()["code"] == "no_model"
        export(folder)
        deadline = time.monotonic() + 20
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert send(client, FACE).status_code == 200


def test_row_35_an_upload_over_the_cap_is_refused_however_it_comes(app, client):
    gate, cap = app.state.service.gate, app.state.service.limits["upload_bytes"]
    sent = 0

    def chunks():
        nonlocal sent
        while sent < cap + 2**22:
            sent += 2**20
            yield b"x" * 2**20

    form = {"content-type": "multipart/form-data; boundary=b"}
    chunked = client.post(URL, content=chunks(), headers=form)
    stated = client.post(URL, content=b"", headers=form | {"content-length": str(cap + 1)})
    false = client.post(URL, content=b"", headers=form | {"content-length": "-5"})
    assert [each.status_code for each in (chunked, stated, false)] == [413] * 3
    assert gate.held == 0 and gate.inside == 0


def test_row_35_a_file_or_picture_over_its_cap_is_refused_with_words(app, client, monkeypatch):
    monkeypatch.setitem(app.state.service.limits, "file_bytes", 2**20)
    large = send(client, FACE + bytes(2**20))
    assert (large.status_code, large.json()["code"]) == (413, "too_many_bytes")
    assert large.json()["error"] == "The file is too large, 1.1 MB; make it smaller, 1 MB at most."
    monkeypatch.undo()
    for side, kind, size in (
        (9000, "PNG", ", 9,000 x 9,000 = 81 million"),
        (5001, "JPEG", ", 5,001 x 5,001 = 25.1 million"),
        (5001, "WEBP", ""),
        (14000, "PNG", ""),  # Pillow refuses to open it
    ):
        refused = send(client, encoded(Image.new("L" if kind == "JPEG" else "1", (side, side)), kind))
        assert (refused.status_code, refused.json()["code"]) == (413, "too_many_pixels")
        words = f"The picture has too many pixels{size}; make it smaller, 25 million at most."
        assert refused.json()["error"] == words


def test_row_9_every_reason_not_to_decode_has_words(client):
    once = encoded(portrait(), progressive=True)
    at = once.rfind(b"\xff\xda")
    refused = send(client, once[:at] + once[at:-2] * 200 + once[-2:])
    assert (refused.status_code, refused.json()["code"]) == (422, "too_many_parts")


SCRIPT = b"<script>alert(1)</script>"
TIFF, GIF = encoded(portrait(), "TIFF"), encoded(portrait(), "GIF")


@pytest.mark.parametrize(
    "data",
    (
        b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', b"%PDF-1.7\n" + FACE, TIFF, GIF, SCRIPT + FACE,
        b"plain words", b"GIF89a/*" + SCRIPT, b"\x00" * 100, b"PK\x03\x04" + FACE,
    ),
    ids=("svg", "pdf", "tiff", "gif", "html", "text", "gif_script", "zeros", "zip"),
)  # fmt: skip
def test_row_36_what_is_no_picture_is_refused(client, data):
    response = send(client, data)
    assert response.status_code == 415 and response.json()["code"] == "not_an_image"
    assert b"alert" not in response.content
    svg, gif = send(client, b"<?xml version='1.0'?>\n<svg/>"), send(client, b"", GIF, field="files")
    assert svg.json()["error"] == "This is an SVG picture, which is not read; save it as PNG or JPEG."
    assert gif.json()["pictures"][1]["error"] == "This is a GIF picture, which is not read; save it as PNG or JPEG."


def test_row_36_nothing_that_is_sent_is_echoed_or_written(client, monkeypatch):
    def no_disk(*_, **__):
        raise AssertionError("an upload was written to a disk")

    monkeypatch.setattr(tempfile, "_TemporaryFileWrapper", no_disk)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", no_disk)
    noisy = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)), "PNG")
    assert len(noisy) > 2**22
    polyglot = FACE + SCRIPT
    response = client.post(URL, files=[("files", ("<b>name</b>.jpg", data)) for data in (noisy, polyglot)])
    assert response.status_code == 200
    assert b"name</b>" not in response.content and b"alert" not in response.content
    assert response.headers["cache-control"] == "no-store"


def test_row_37_mutated_pictures_give_an_answer_or_a_refusal(client):
    rng = np.random.default_rng(0)
    seeds = [encoded(portrait(side=96), kind) for kind in ("JPEG", "PNG", "WEBP")]
    for number in range(150):
        data = bytearray(seeds[number % 3])
        for _ in range(int(rng.integers(1, 8))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        response = send(client, bytes(data[: int(rng.integers(1, len(data) + 1))] if number % 2 else data))
        assert response.status_code in (200, 413, 415, 422), number


def test_row_38_tiny_many_and_wide_are_said(client, app, monkeypatch):
    tiny = encoded(portrait(side=14).resize((14, 14)), "PNG")
    assert send(client, tiny).json()["predicted_emotion"] is None
    one = send(client, encoded(Image.new("RGB", (1, 1)), "PNG"))
    assert one.status_code == 200 and one.json()["faces"] == []
    people = encoded(group([("happy", 41), ("sad", 24), ("happy", 33)], 5, 300))
    assert send(client, people).json()["words"] == "3 faces were found."
    monkeypatch.setitem(app.state.service.settings["faces"], "most", 2)
    said = send(client, people).json()
    assert (len(said["faces"]), said["not_read"]) == (2, 1) and "1 more were left out" in said["words"]
    panorama = Image.new("RGB", (6000, 200), (90, 90, 90))
    panorama.paste(portrait().resize((180, 180)), (5000, 10))
    assert len(send(client, encoded(panorama)).json()["faces"]) == 1
    strip = send(client, encoded(Image.new("RGB", (9000, 2)), "PNG"))
    assert (strip.status_code, strip.json()["code"]) == (422, "too_narrow")


@pytest.mark.parametrize(("kind", "animated"), (("WEBP", True), ("PNG", True), ("MPO", False)))
def test_of_an_animation_it_is_said_that_only_its_first_frame_was_read(client, kind, animated):
    # an MPO is what many phones write as a JPEG: its second picture is no later moment
    more = [Image.new("RGB", (320, 320))]
    answer = send(client, encoded(portrait(side=320), kind, save_all=True, append_images=more)).json()
    words = "The picture is animated; only its first frame was read."
    assert len(answer["faces"]) == 1 and answer["animated"] is animated
    assert answer["words"] == f"One face was found.{f' {words}' if animated else ''}"


def test_exif_orientation_is_applied_so_that_boxes_are_upright(client):
    people = group([("happy", 41), ("happy", 33)], 5, 300)
    turned = people.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    answer = send(client, encoded(turned, exif=exif, quality=95)).json()
    assert (answer["width"], answer["height"]) == people.size and len(answer["faces"]) == 2
    assert answer["orientation"] == 6


def test_row_39_more_than_can_wait_is_told_to_come_again_and_health_answers_meanwhile(app, client, monkeypatch):
    service, busy = app.state.service, encoded(enlarged(group([("happy", 41)] * 3, 5, 300), 3))
    monkeypatch.setattr(service.desk, "waiting", 3)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(send(client, busy))) for _ in range(10)]
    for thread in threads:
        thread.start()
    waits = []
    while any(thread.is_alive() for thread in threads):
        started = time.perf_counter()
        assert client.get("/health/live").status_code == 200
        waits.append(time.perf_counter() - started)
    codes = {each.status_code for each in answers}
    assert codes == {200, 503}
    assert all(int(each.headers["retry-after"]) >= 1 for each in answers if each.status_code == 503)
    assert np.median(waits) < sum(waits) / 10  # it waits for no picture, however slow the machine
    assert service.desk.inside == 0


def test_row_42_a_swapped_model_answers_as_old_or_new_never_mixed(settings, export, tmp_path):
    folder = export(tmp_path / "champion", version=1, temperature=1.0)
    people = encoded(group([("happy", 41), ("sad", 24)], 5, 200))
    seen: dict[int, set] = {1: set(), 2: set()}
    with TestClient(make_app(settings | {"exported": str(folder), "poll_seconds": 0.05}), "http://localhost") as client:
        deadline = time.monotonic() + 240
        swapped = False
        while len(seen[2]) == 0 or not swapped:
            answer = send(client, people, people, field="files").json()["pictures"]
            versions = {each["model"]["version"] for each in answer}
            assert len(versions) == 1
            seen[versions.pop()].add(json.dumps([each["faces"] for each in answer]))
            if seen[1] and not swapped:
                export(folder, version=2, temperature=5.0)
                swapped = True
            assert time.monotonic() < deadline
        (folder / "litert/float16.tflite").write_bytes(b"damaged")  # the one in service stays
        (folder / "manifest.json").touch()
        while 'emotion_model_loads_total{outcome="refused"} 1.0' not in client.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert send(client, people).json()["model"]["version"] == 2
    assert len(seen[1]) == 1 and len(seen[2]) == 1 and seen[1] != seen[2]


def test_row_43_a_foreign_origin_or_host_is_granted_nothing(client):
    foreign = send(client, FACE, headers={"origin": "http://evil.example"})
    assert foreign.status_code == 403 and foreign.json()["code"] == "foreign_origin"
    own = send(client, FACE, headers={"origin": "http://localhost"})
    assert own.status_code == 200
    unknown = client.get("/", headers={"host": "evil.example"})
    assert unknown.status_code == 400 and unknown.json()["code"] == "unknown_host"
    assert "hosts=" in unknown.json()["error"] and "evil" not in unknown.text
    assert send(client, FACE, headers={"origin": "http://["}).status_code == 403
    preflight = client.options(URL, headers={"origin": "http://evil.example", "access-control-request-method": "POST"})
    for response in (foreign, own, preflight, client.get("/health/live", headers={"origin": "http://evil.example"})):
        assert not [name for name in response.headers if name.startswith("access-control")]
        assert "default-src 'none'" in response.headers["content-security-policy"]


def test_health_is_told_under_any_name_and_nothing_else_is(settings):
    client = TestClient(make_app(settings | {"hosts": ["emotion.example.org"]}), "http://127.0.0.1")
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").json()["code"] == "no_model"
    assert [client.get(at).status_code for at in ("/", "/metrics", "/healthy")] == [400] * 3


@pytest.mark.parametrize(
    ("hosts", "header", "answered"),
    (
        (["emotion.example.org"], "Emotion.example.org:8000", True),
        (["Emotion.example.org"], "emotion.example.org", True),
        (["emotion.example.org"], "example.org", False),
        (["*.example.org"], "emotion.example.org", True),
        (["*.example.org"], "example.org", False),
        (["*.example.org"], "evil.example/.example.org", False),
        (["[::1]"], "[::1]:8000", True),
        (["localhost"], "", False),
        (["*"], "anything", True),
        ([], "localhost", False),
    ),
)
def test_it_may_be_asked_under_the_names_of_hosts(settings, hosts, header, answered):
    client = TestClient(make_app(settings | {"hosts": hosts}), "http://127.0.0.1")
    assert client.get("/", headers={"host": header}).status_code == (200 if answered else 400)


@pytest.mark.parametrize(
    ("host", "hosts", "hinted"),
    (
        ("0.0.0.0", ["127.0.0.1", "localhost", "[::1]"], True),
        ("0.0.0.0", ["localhost", "emotion.example.org"], False),
        ("0.0.0.0", ["*"], False),
        ("127.0.0.1", ["localhost"], False),
        ("::1", ["localhost"], False),
    ),
)
def test_who_listens_for_others_is_told_at_the_start_to_name_hosts(settings, caplog, host, hosts, hinted):
    caplog.set_level("INFO")
    with TestClient(make_app(settings | {"host": host, "hosts": hosts}), "http://localhost"):
        pass
    assert ("hosts=" in caplog.text) == hinted


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    (
        (b"", "multipart/form-data; boundary=b", 400),
        (b"--b\r\n", "multipart/form-data; boundary=b", 400),
        (b"--b--\r\n", "multipart/form-data; boundary=b", 422),
        (b"anything", "multipart/form-data; boundary=b", 400),
        (b"anything", "multipart/form-data", 400),
        (b"{}", "application/json", 415),
        (b"", "", 415),
    ),
)
def test_a_form_that_is_none_is_refused_with_words(client, body, kind, status):
    response = client.post(URL, content=body, headers={"content-type": kind})
    assert response.status_code == status and response.json()["error"]


def test_fields_of_another_name_and_too_many_files_are_refused(app, client):
    assert refusal(send(client, FACE, field="image"), 422, "unknown_field") == (
        "The form has a field of another name than file or files."
    )
    assert "up to 20 in the field files" in refusal(send(client, FACE, FACE), 422, "several_in_file")
    both = client.post(URL, files=[(field, ("a.jpg", FACE)) for field in ("file", "files")])
    assert refusal(both, 422, "both_fields") == "Send the field file or the field files, not both."
    many = send(client, *[b"x"] * (app.state.service.limits["files"] + 1), field="files")
    assert many.status_code == 400 and many.json()["code"] == "too_many_files"
    assert "at most 20" in many.json()["error"]
    none = client.post(URL, content=b"--b--\r\n", headers=EMPTY_FORM)
    assert "up to 20 in the field files" in refusal(none, 422, "no_file")


@pytest.mark.parametrize("field", ("file", "files"))
def test_a_picture_that_comes_as_text_is_told_to_come_as_a_file(client, field):
    sent = client.post(URL, files={field: (None, base64.b64encode(b"a picture"))})
    words = f"The field {field} is text; send it as a file (filename=...), not as text."
    assert refusal(sent, 422, "not_a_file") == words


def test_what_is_not_there_and_what_an_address_does_not_take_have_words_and_codes(client):
    for at in ("/nothing", "/page/nothing.js", "/v1/models/other"):
        assert "/openapi.json says" in refusal(client.get(at), 404, "not_found")
    for method, at, allowed in (
        ("GET", URL, "POST"), ("DELETE", "/v1/models/emotion", "GET"), ("POST", "/health/live", "GET"),
        ("POST", "/page/page.js", "GET, HEAD"), ("OPTIONS", URL, "POST"),
    ):  # fmt: skip
        answer = client.request(method, at)
        assert refusal(answer, 405, "bad_method") == f"This address takes {allowed} and nothing else."
        assert answer.headers["allow"] == allowed


def test_a_media_type_is_read_whatever_its_case(client):
    kind = {"content-type": "Multipart/Form-Data; boundary=b"}
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + FACE + b"\r\n--b--\r\n"
    assert client.post(URL, content=body, headers=kind).status_code == 200
    assert client.post(URL, content=body, headers={"content-type": "multipart/form-database"}).status_code == 415


@pytest.mark.parametrize("at", ("/", "/page/page.js", "/health/live", "/api/about", "/metrics", "/api/predict"))
def test_head_is_answered_as_get_is_without_the_body(client, at):
    got, head = client.get(at), client.head(at)
    assert head.status_code == got.status_code and head.content == b""
    assert head.headers["content-type"] == got.headers["content-type"]


def test_the_api_describes_itself_with_examples_and_counts_what_it_does(client):
    paths = client.get("/openapi.json").json()
    assert paths["components"]["schemas"]["Picture"]["examples"]
    predict = paths["paths"][URL]["post"]
    assert "20 at most" in predict["description"]
    assert '"maxItems": 20' in json.dumps(predict["requestBody"])
    for at, answers in paths["paths"].items():
        for operation in answers.values():
            assert "405" in operation["responses"]
            assert ("400" in operation["responses"]) != at.startswith("/health/"), at  # asked under an unknown name
    model = paths["paths"]["/v1/models/emotion"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert model == {"$ref": "#/components/schemas/Status"}
    send(client, FACE)
    metrics = client.get("/metrics").text
    assert 'emotion_requests_total{route="/api/predict",status="200"}' in metrics
    assert "emotion_pictures_waiting 0.0" in metrics and "emotion_upload_bytes_held 0.0" in metrics
    about = client.get("/api/about").json()
    assert about["accuracy"]["test"]["value"] == 0.5 and about["limits"]["files"] == 20 and about["caution"] == ""


def test_from_when_on_an_emotion_leads_is_told_as_the_campaign_report_has_it(settings):
    with TestClient(make_app(settings | {"confidence": 0.8}), "http://localhost") as client:
        lead = client.get("/api/about").json()["lead"]
    assert lead == {"confidence": 0.8, "normal": pytest.approx(1.2815516), "fewest": FEWEST}


def test_the_page_is_there_and_loads_nothing_from_elsewhere(client):
    page = client.get("/")
    assert page.status_code == 200 and "text/html" in page.headers["content-type"]
    folder = Path(make_app.__code__.co_filename).parent / "page"
    for file in (*folder.glob("*.html"), *folder.glob("*.css"), *folder.glob("*.js")):
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert 'src="http' not in text and "url(http" not in text and 'from "http' not in text, file


def test_serving_imports_nothing_of_training():
    code = (
        "import sys, pipeline.serve, pipeline.serving.app;"
        "heavy = {'tensorflow', 'keras', 'mlflow', 'dvc', 'pandas', 'sklearn', 'pyarrow', 'matplotlib', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


EVERYWHERE = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def test_every_answer_tells_browsers_what_they_may_not_do_and_how_long_it_holds(client):
    refusals = send(client, b"no picture"), send(client, FACE, headers={"origin": "http://evil.example"})
    assert [each.status_code for each in refusals] == [415, 403]
    page, module, about = (client.get(at) for at in ("/", "/page/page.js", "/api/about"))
    for answer in (page, module, about, *refusals):
        assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE, answer.url
    held = [each.headers["cache-control"] for each in (page, module, about, *refusals)]
    assert held == ["no-cache"] * 2 + ["no-store"] * 3  # a new version of the page is taken at the next visit


def test_a_fault_of_the_service_is_answered_like_all_else_and_raised_to_be_logged(settings, monkeypatch):
    def fault():
        raise ZeroDivisionError("secret")

    app = make_app(settings)
    monkeypatch.setattr(app.state.service, "about", fault)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.get("/api/about")
        assert (answer.status_code, answer.json()["code"], "secret" in answer.text) == (500, "fault", False)
        assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE
        assert answer.headers["cache-control"] == "no-store"
        assert 'emotion_requests_total{route="/api/about",status="500"} 1.0' in client.get("/metrics").text
    with TestClient(app, base_url="http://localhost") as client, pytest.raises(ZeroDivisionError):
        client.get("/api/about")


def granted(answer: httpx.Response) -> dict[str, str]:
    """What an answer lets a page of another origin do."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-allow")}


def test_a_named_origin_may_send_and_read_and_no_other_may(settings):
    app = make_app(settings | {"origins": ["https://example.org"]})
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    with TestClient(app, base_url="http://localhost") as client:
        for origin, named in (("https://example.org", True), ("https://example.com", False), ("null", False)):
            grant, from_there = {"access-control-allow-origin": origin} if named else {}, {"origin": origin}
            sent, bad = (send(client, data, headers=from_there) for data in (FACE, b"no picture"))
            assert (sent.status_code, bad.status_code) == ((200, 415) if named else (403, 403))
            got, ready = (client.get(at, headers=from_there) for at in ("/api/about", "/health/ready"))
            assert got.status_code == ready.status_code == 200
            for answer in (sent, bad, got, ready):
                assert granted(answer) == grant
                assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE
            preflight = client.options("/v1/models/emotion:predict", headers=from_there | ask)
            assert preflight.status_code == (200 if named else 400)
            assert preflight.headers.get("access-control-allow-origin") == (origin if named else None)
            assert preflight.headers["access-control-allow-methods"] == "GET, POST"
            elsewhere = client.options(URL, headers=from_there | ask | {"host": "evil.example"})
            assert refusal(elsewhere, 400, "unknown_host") and not granted(elsewhere)
        named = client.get("/api/about", headers={"origin": "https://example.org"})
        assert named.headers["access-control-expose-headers"] == "Retry-After"  # else a page could not wait for it
        assert not granted(client.get("/api/about")) and "access-control-allow-credentials" not in named.headers


def test_pictures_that_can_not_be_read_are_counted_by_reason(app, client):
    def refused() -> float:
        registry = app.state.service.metrics.registry
        return registry.get_sample_value("emotion_pictures_refused_total", {"reason": "truncated"}) or 0

    before = refused()
    assert send(client, FACE[:2000]).json()["code"] == "truncated"
    send(client, FACE, FACE[:2000], field="files")
    assert refused() == before + 2
