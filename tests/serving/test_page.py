"""The page in headless Chromium: pictures dropped, boxes and bars read, the CSV taken, keyboard only, a phone's width.

Chromium is the system's (CHROMIUM names another); without one these tests are skipped and say so.
"""

import base64
import csv
import io
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.campaign.mix import SHOWN, Ad, leader, overall
from pipeline.labels import LABELS
from pipeline.reporting.intervals import FEWEST, normal
from serving.drawn import SAMPLES, encoded
from serving.server import Server

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM = CHROMIUM or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium, or set CHROMIUM")
WAIT = 60_000  # ms
TONES = ".fill, .stack i, .legend i, .dot, .verdict i"  # what is drawn in the tone of an emotion
LOGGED = (
    " 408 ",
    " 415 ",
    " 429 ",
    " 500 ",
    " 503 ",
    "ERR_FILE_NOT_FOUND",
    "ERR_CONNECTION_REFUSED",
)  # by the browser, of what tests make fail
SLOW_TO_OPEN = """() => {
    const read = Blob.prototype.arrayBuffer;
    window.opening = [];
    Blob.prototype.arrayBuffer = async function () {
        await new Promise((open) => opening.push(open));
        return read.call(this);
    };
}"""  # a file is, until the test lets it
FLAGS = ["--no-sandbox", "--disable-gpu"]
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]  # a drawn one, allowed unasked


@pytest.fixture(scope="module")
def browser() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS + CAMERA)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(exported: Path) -> Iterator[Server]:
    with Server(exported) as server:
        yield server


def opened(browser, server) -> tuple:
    """A tab, and the list that gets what goes wrong in it: errors, and requests to anyone but the service."""
    page, faults = browser.new_page(viewport={"width": 1280, "height": 900}), []
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    own = (server.url, "blob:", "data:", "about:blank")
    page.on("request", lambda request: request.url.startswith(own) or faults.append(request.url))
    return page, faults


@pytest.fixture(scope="module")
def tab(browser, server) -> tuple:
    return opened(browser, server)


@pytest.fixture
def page(tab, server) -> Iterator:
    """The page, newly loaded into the one tab of these tests: a new tab takes three times as long."""
    page, faults = tab
    faults.clear()
    yield from shown(page, faults, server)
    page.unroute_all(behavior="ignoreErrors")
    page.goto("about:blank")  # ends what is under way


@pytest.fixture
def own_page(browser, server) -> Iterator:
    """The same in a tab of its own, for a test that sets the tab's clock, size or colours."""
    page, faults = opened(browser, server)
    yield from shown(page, faults, server)
    page.close()


def shown(page, faults: list[str], server) -> Iterator:
    from playwright.sync_api import expect

    page.goto(server.url)
    expect(page.locator("#model")).to_contain_text("tiny, version 1")
    yield page
    assert [fault for fault in faults if not any(each in fault for each in LOGGED)] == []


def drop(page, *names: str, more: dict[str, bytes] | None = None) -> None:
    """Drop files on the page as a mouse would."""
    files = {name: (SAMPLES / name).read_bytes() for name in names} | (more or {})
    given = [{"name": name, "data": base64.b64encode(data).decode()} for name, data in files.items()]
    transfer = page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const {name, data} of files) {
                const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
                const type = {mp4: "video/mp4", pdf: "application/pdf"}[name.split(".").pop()] ?? "image/jpeg";
                transfer.items.add(new File([bytes], name, {type}));
            }
            return transfer;
        }""",
        given,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def named(*names: str) -> dict[str, bytes]:
    """Files to drop, each with bytes of its own."""
    return {name: name.encode() for name in names}


def said(page, words: str) -> None:
    from playwright.sync_api import expect

    expect(page.locator("#status")).to_contain_text(words, timeout=WAIT)


def saved(page, button: str) -> list[dict]:
    """The rows of the CSV that a button saves."""
    with page.expect_download() as download:
        page.click(button)
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_dropped_pictures_show_boxes_bars_and_the_campaign_and_its_csv(page):
    drop(page, "three.jpg", "empty.jpg", more={"broken.jpg": b"no picture"})
    said(page, "2 pictures read, 3 faces found. 1 picture could not be read.")
    boxes = page.locator(".box")
    assert boxes.count() == 3
    frame, image = page.locator("#frame img").bounding_box(), Image.open(SAMPLES / "three.jpg").size
    for box in (boxes.nth(k).bounding_box() for k in range(3)):
        assert frame["x"] <= box["x"] and box["x"] + box["width"] <= frame["x"] + frame["width"]
        assert 0.1 < box["width"] / frame["width"] < 0.4
    assert frame["width"] / frame["height"] == pytest.approx(image[0] / image[1], rel=0.02)

    assert page.locator(".bars li").count() == 7
    first = page.text_content("#face .verdict")
    boxes.nth(2).click()
    assert page.locator(".box[aria-pressed=true]").count() == 1
    assert "of 3" in page.text_content("#face")
    shares = [float(text.strip(" %")) for text in page.locator(".bars .value").all_text_contents()]
    assert sum(shares) == pytest.approx(100, abs=4) and first

    page.locator("#strip button").nth(1).click()
    assert "no face was found" in page.text_content("#face").lower()
    assert "Try a picture" in page.text_content("#face")
    page.locator("#strip button").nth(2).click()
    assert "JPEG, PNG and WEBP can" in page.text_content("#frame")
    assert "Try a picture" not in page.text_content("#face")  # the file is at fault, not the light

    assert page.text_content("#facts li") == "2 pictures read, of 3"
    assert page.locator("#rows tr").count() == 3  # two pictures and all of them
    rows = saved(page, "#faces-csv")
    assert [(row["file"], row["face"]) for row in rows[:3]] == [("three.jpg", str(face)) for face in (1, 2, 3)]
    assert [(row["file"], row["face"], row["emotion"]) for row in rows[3:]] == [
        ("empty.jpg", "", ""),
        ("broken.jpg", "", ""),
    ]
    names = ("happiness", "surprise", "neutral", "sadness", "fear", "disgust", "anger")
    where = ("file", "face", "x", "y", "width", "height", "emotion", "likeliest")
    assert list(rows[0]) == [*where, *names, "note"] and "JPEG, PNG and WEBP can" in rows[4]["note"]
    assert sum(float(rows[0][each]) for each in names) == pytest.approx(1, abs=1e-3)
    mix = saved(page, "#mix-csv")
    of_faces = [(row.pop("picture"), row.pop("faces")) for row in mix]
    assert of_faces == [("three.jpg", "3"), ("empty.jpg", "0"), ("broken.jpg", "")]
    assert [row.pop("note") for row in mix] == ["", "", rows[4]["note"]]
    assert list(mix[0]) == [*names, "not sure"] and sum(map(int, mix[0].values())) == 3
    assert set(mix[1].values()) == {"0"} and set(mix[2].values()) == {""}
    with page.expect_download() as download:
        page.click("#png")
    chart = Image.open(download.value.path())
    assert chart.format == "PNG" and len(chart.convert("RGB").getcolors(2**24)) > 20

    page.click("#clear")
    assert page.locator("#results").is_hidden() and page.locator("#campaign").is_hidden()


def test_names_that_a_spreadsheet_would_run_or_cut_are_disarmed(page):
    answer_with(page, "fear")
    drop(page, more=named('=HYPERLINK("x").jpg', "a;=1+1.jpg"))
    said(page, "2 pictures read, 2 faces found.")
    for button in ("#faces-csv", "#mix-csv"):
        with page.expect_download() as download:
            page.click(button)
        lines = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
        assert lines[1].startswith("""\"'=HYPERLINK(""x"").jpg",""") and lines[2].startswith('"a;=1+1.jpg",')


def test_faces_as_far_left_as_each_other_have_numbers_of_their_own(page):
    answer = answer_of("fear", "anger", "sadness")
    answer["faces"][0]["certain"] = False
    for face, x in zip(answer["faces"], (40, 5, 40), strict=True):
        face["box"]["x"] = x
    page.route("**/api/predict", lambda route: route.fulfill(json=answer))
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    rows = [[row[each] for each in ("face", "x", "emotion", "likeliest")] for row in saved(page, "#faces-csv")]
    assert rows == [["1", "5", "anger", "anger"], ["2", "40", "not sure", "fear"], ["3", "40", "sadness", "sadness"]]
    names = [box.get_attribute("aria-label") for box in page.locator(".box").all()]
    assert names == ["Face 1: anger", "Face 2: not sure", "Face 3: sadness"]


@pytest.mark.parametrize("link", ("Model card", "API"))
def test_what_the_page_links_to_leaves_the_results_alone(page, link):
    drop(page, "portrait.jpg")
    said(page, "1 picture read, 1 face found.")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=link).click()
    opened.value.close()
    assert page.locator(".box").count() == 1


def test_pictures_that_share_a_name_are_told_apart(page):
    answer_with(page, "fear")
    for folder in (b"one", b"other"):
        drop(page, more={"hero.jpg": folder + b" photograph", "hero.png": folder + b" drawing"})
    paste = """(picture) => {
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File([picture], "image.png", {type: "image/png"}));
        document.dispatchEvent(new ClipboardEvent("paste", {clipboardData}));
    }"""
    page.evaluate(paste, "one")
    page.evaluate(paste, "other")
    said(page, "6 pictures read")
    whole = ["hero.jpg", "hero.png", "hero (2).jpg", "hero (2).png", "Pasted picture.png", "Pasted picture (2).png"]
    assert [row["picture"] for row in saved(page, "#mix-csv")] == whole
    short = ["hero", "hero.png", "hero (2)", "hero (2).png", "Pasted picture", "Pasted picture (2)"]
    assert page.locator("#strip span").all_text_contents() == short
    assert page.locator("#rows th").all_text_contents() == [*short, "All pictures"]


def test_a_name_written_from_right_to_left_begins_where_others_do_and_turns_nothing_around(page):
    name = "\u05de\u05d5\u05d3\u05e2\u05d4 3"
    answer_with(page, "fear")
    drop(page, more=named(f"{name}.jpg"))
    said(page, "1 picture read")
    assert page.text_content("#caption") == f"{name}. Faces were found." and page.text_content("#caption bdi") == name
    for place in ("#strip span", "#rows tr:first-child th"):
        styles = "(each) => [getComputedStyle(each).direction, getComputedStyle(each).textAlign]"
        assert page.locator(place).evaluate(styles) == ["rtl", "left"], place


def test_in_the_saved_chart_a_long_name_keeps_its_beginning_its_end_and_its_faces(page):
    page.evaluate(WRITTEN)
    answer_with(page, "fear")
    drop(page, more=named(*(f"Spring_Campaign_2025_Instagram_Story_{number}.jpg" for number in (1, 2))))
    said(page, "2 pictures read")
    saved_bytes(page, "#png")
    names = [each for each in page.evaluate("() => written") if "(" in each[0]]
    cut = [re.fullmatch("\u2068Spring_\\w+…\\w+_Story_([12])\u2069 \\(1\\)", text) for text, *_ in names[1:]]
    assert [each and each[1] for each in cut] == ["1", "2"], names
    assert all(width < 224 and count == 2 for _, width, count in names)  # as wide as it is, not squeezed


WRITTEN = """() => {
    const write = CanvasRenderingContext2D.prototype.fillText;
    window.written = [];
    CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        written.push([text, this.measureText(text).width, rest.length]);
        write.call(this, text, ...rest);
    };
}"""  # what is written in a chart


def test_the_saved_chart_says_what_it_counts_of_how_many_and_when(own_page):
    own_page.clock.set_fixed_time("2026-11-29T12:00:00")
    own_page.evaluate(WRITTEN)
    answers = [answer_of("fear"), answer_of("fear", "anger")]
    bad = {"status": 415, "json": {"error": "This is no picture."}}
    own_page.route("**/api/predict", lambda route: route.fulfill(**{"json": answers.pop()} if answers else bad))
    drop(own_page, "portrait.jpg", "three.jpg", "empty.jpg")
    said(own_page, "2 pictures read, 3 faces found.")
    saved_bytes(own_page, "#png")
    words = [text for text, *_ in own_page.evaluate("() => written")]
    assert "\u2068All pictures\u2069 (3 faces)" in words and "\u2068three\u2069 (1)" in words
    when = "2 of 3 pictures read, 29 November 2026. "
    assert words[-1] == when + "Apparent expression as a machine reads it, not what people feel."


def test_what_is_printed_has_its_colours_and_its_whole_table(own_page):
    answer_with(own_page, *LABELS)
    drop(own_page, "portrait.jpg")
    said(own_page, "1 picture read, 7 faces found.")
    own_page.set_viewport_size({"width": 718, "height": 1000})  # of A4, less its margins
    own_page.emulate_media(media="print")
    assert own_page.evaluate("() => document.documentElement.scrollWidth") <= 718
    assert own_page.locator(".scroll").evaluate("(each) => getComputedStyle(each).overflowX") == "visible"
    assert own_page.locator(".scroll").evaluate("(each) => each.scrollWidth - each.clientWidth") <= 0
    assert prints_its_colours(own_page)
    own_page.emulate_media(forced_colors="active")  # as Windows has it for high contrast
    tones = own_page.eval_on_selector_all(
        ".stack i", "all => all.map((each) => getComputedStyle(each).backgroundColor)"
    )
    assert len(tones) == len(set(tones)) == 7


def test_what_is_printed_is_light_on_a_dark_screen_too(own_page):
    colours = """() => [getComputedStyle(document.documentElement).colorScheme,
        ...["color", "backgroundColor"].map((each) => getComputedStyle(document.body)[each])]"""
    own_page.emulate_media(color_scheme="dark")
    dark = own_page.evaluate(colours)
    own_page.emulate_media(media="print", color_scheme="dark")
    assert own_page.evaluate(colours) == ["light", "rgb(23, 26, 43)", "rgb(246, 247, 251)"] != dark


def test_with_forced_colours_the_chosen_thumbnail_is_told(own_page):
    hold(own_page, 2, "portrait.jpg", "three.jpg")
    own_page.emulate_media(forced_colors="active")
    outlines = "all => all.map((each) => getComputedStyle(each).outlineStyle)"
    assert own_page.eval_on_selector_all("#strip button", outlines) == ["solid", "none"]


def test_a_larger_letter_that_the_browser_is_set_to_makes_all_larger(page):
    size = "() => parseFloat(getComputedStyle(document.body).fontSize)"
    assert page.evaluate(size) == 16
    page.evaluate("() => { document.documentElement.style.fontSize = '150%' }")  # as a setting of the browser
    assert page.evaluate(size) == 24


def test_only_what_is_said_of_a_face_is_read_aloud_and_a_share_of_nothing_draws_nothing(page):
    answer_with(page, "fear", "anger")
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    assert page.locator("#face [aria-live]").count() == 1
    assert (
        page.locator("#face [aria-live] .verdict").count() == 1 and page.locator("#face [aria-live] .bars").count() == 0
    )
    widths = page.eval_on_selector_all(".bars .fill", "all => all.map((each) => each.offsetWidth > 0)")
    assert widths == [False] * 4 + [True] + [False] * 2  # fear is the fifth


def test_samples_are_no_wider_than_their_row(page):
    row, last = page.locator(".samples ul").bounding_box(), page.locator(".samples button").last.bounding_box()
    assert last["x"] + last["width"] <= row["x"] + row["width"] + 0.5


def test_labels_of_narrow_boxes_show_when_they_are_asked_for(page):
    answer = answer_of("fear", "anger", "sadness")
    for face in answer["faces"]:
        face["box"] |= {"width": 9, "height": 9}
    answer |= {"width": 400, "height": 400}
    page.route("**/api/predict", lambda route: route.fulfill(json=answer))
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    labels = page.locator(".box span")

    def shown() -> list[bool]:
        return [label.is_visible() for label in labels.all()]

    page.mouse.move(1, 1)
    assert shown() == [True, False, False]  # of the face that is pressed
    page.locator(".box").nth(1).hover()
    assert shown() == [True, True, False]
    page.mouse.move(1, 1)
    page.locator(".box").nth(2).click()
    page.mouse.move(1, 1)
    assert shown() == [False, False, True]
    page.keyboard.press("Shift+Tab")
    assert shown() == [False, True, True]
    for face in answer["faces"]:
        face["box"] |= {"width": 100}
    page.click("#clear")
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    assert shown() == [True] * 3


@pytest.mark.parametrize(("width", "height"), ((8000, 220), (220, 8000), (480, 480), (60, 40)))
def test_a_picture_that_is_much_longer_than_wide_is_scrolled_rather_than_a_line(page, width, height):
    answer = answer_of("fear") | {"width": width, "height": height}
    answer["faces"][0]["box"] |= {"x": 0.7 * width, "y": 0.7 * height}
    page.route("**/api/predict", lambda route: route.fulfill(json=answer))
    drop(page, more={"long.jpg": encoded(Image.new("RGB", (width, height), "red"))})
    said(page, "1 picture read")
    frame, pan = page.locator("#frame").bounding_box(), page.locator(".pan").bounding_box()
    assert frame["width"] / frame["height"] == pytest.approx(width / height, rel=0.01)
    assert min(frame["width"], frame["height"]) >= min(112, width, height) - 1
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280 and pan["height"] <= 577
    scrolled = page.locator(".pan").evaluate(
        "(pan) => [pan.scrollWidth > pan.clientWidth, pan.scrollHeight > pan.clientHeight]"
    )
    assert scrolled == [width == 8000, height == 8000]
    within = """() => {
        const [pan, box] = ['.pan', '.box'].map((each) => document.querySelector(each).getBoundingClientRect());
        return pan.left <= box.left && box.right <= pan.right + 1 && pan.top <= box.top && box.bottom <= pan.bottom + 1;
    }"""
    assert page.evaluate(within)  # the face that is told of


def prints_its_colours(page) -> bool:
    """Whether all that has the tone of an emotion would be printed so by a browser that leaves backgrounds out."""
    kept = page.eval_on_selector_all(TONES, "all => all.map((each) => getComputedStyle(each).printColorAdjust)")
    return len(kept) > 8 and set(kept) == {"exact"}


def answer_of(*emotions: str) -> dict:
    """An answer with a certain face of each of these emotions."""
    faces = [
        {"box": {"x": 10 * place, "y": 0, "width": 8, "height": 8}, "predicted_emotion_label": emotion,
         "certain": True, "class_probabilities": {label: float(label == emotion) for label in LABELS}}
        for place, emotion in enumerate(emotions)
    ]  # fmt: skip
    return {"faces": faces, "words": "Faces were found.", "width": 100, "height": 100, "orientation": 1}


def answer_with(page, *emotions: str) -> None:
    """Have every picture answered so."""
    page.route("**/api/predict", lambda route: route.fulfill(json=answer_of(*emotions)))


def hold(page, count: int, *names: str, more: dict[str, bytes] | None = None) -> list:
    """Drop pictures and keep what they ask from the service; the requests, once there are so many."""
    held: list = []
    page.route("**/api/predict", lambda route: held.append(route))
    drop(page, *names, more=more)
    wait_for(page, lambda: len(held) == count)
    return held


def wait_for(page, true: Callable[[], bool]) -> None:
    """Let the page go on until it is true."""
    for _ in range(500):
        if true():
            return
        page.wait_for_timeout(20)
    raise AssertionError("it did not come true")


@pytest.mark.parametrize(
    ("emotions", "words"),
    (
        (("sadness", "happiness"), "No clear lead several are level"),
        (
            ("sadness", "happiness", "sadness"),
            "No clear lead sadness most often, 2 of 3 faces, too few to say that it leads",
        ),
        (("fear",) * 8 + ("anger",), "Fear leads: 8 of 9 faces"),
        (("fear",) * 8 + ("",) * 8, "Fear leads: 8 of 16 faces"),
        (("fear",) * 8 + ("",) * 9, "Fear leads: 8 of 17 faces; “not sure” more often, 9"),
        (("anger", "fear", "", ""), "No clear lead several are level; “not sure” more often, 2"),
        (("", ""), "No clear lead no face could be read clearly"),
        ((), "0 faces found"),
    ),
)
def test_an_emotion_is_said_to_lead_only_where_that_is_more_than_chance(page, emotions, words):
    answer = answer_of(*(emotion or "neutral" for emotion in emotions))
    for face, emotion in zip(answer["faces"], emotions, strict=True):
        face["certain"] = bool(emotion)
    page.route("**/api/predict", lambda route: route.fulfill(json=answer))
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    facts = page.locator("#facts li").all_text_contents()
    assert words in facts
    unsure = round(100 * emotions.count("") / max(1, len(emotions)))
    assert not emotions or facts[-1] == f"{unsure} % of faces could not be read clearly (“not sure”)"


def test_no_emotion_is_said_to_lead_while_pictures_are_being_read(page):
    held = hold(page, 2, "portrait.jpg", "three.jpg")
    held[0].fulfill(json=answer_of(*("fear",) * 9))
    wait_for(page, lambda: page.locator("#rows tr").count() == 2)
    assert not [fact for fact in page.locator("#facts li").all_text_contents() if "leads" in fact]
    held[1].fulfill(json=answer_of())
    wait_for(page, lambda: "Fear leads: 9 of 9 faces" in page.locator("#facts li").all_text_contents())


def test_an_emotion_leads_from_when_on_the_service_says(page):
    answer_with(page, "fear", "fear", "fear", "anger")
    told, held = {"confidence": 0.5, "normal": normal(0.5), "fewest": FEWEST}, []
    page.route("**/api/about", lambda route: held.append(route))
    page.reload()
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    facts = page.locator("#facts li")
    assert not any("lead" in fact for fact in facts.all_text_contents())  # nobody has said yet
    held[0].fulfill(json=held[0].fetch().json() | {"lead": told})
    wait_for(page, lambda: "Fear leads: 3 of 4 faces" in facts.all_text_contents())
    page.unroute("**/api/about")
    page.reload()
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    few = "No clear lead fear most often, 3 of 4 faces, too few to say that it leads"
    wait_for(page, lambda: few in facts.all_text_contents())


@pytest.mark.parametrize("confidence", (0.5, 0.95, 0.99))
def test_the_page_names_a_leader_where_the_campaign_report_does(page, confidence):
    generator, tables = np.random.default_rng(0), []
    for _ in range(500):
        pictures, few = generator.choice((1, 2, 3, 4, 5, 6, 8, 12, 30)), generator.choice((1, 1, 3, 12))
        kinds = generator.dirichlet(np.full(len(SHOWN), 0.4), size=pictures) * generator.random()
        kinds += 3 * generator.dirichlet(np.full(len(SHOWN), 0.2))
        faces = generator.integers(0, few + 1, size=pictures)
        tables.append([generator.multinomial(n, p / p.sum()) for n, p in zip(faces, kinds, strict=True)])
    one = np.eye(len(SHOWN), dtype=int)[0]
    tables += [[k * one] * pictures for pictures in range(1, 12) for k in (1, 4)]
    tables += [[one] * 5000, [*[one] * 2600, *[np.roll(one, 1)] * 2400], [0 * one], []]
    rule = {"confidence": confidence, "normal": normal(confidence), "fewest": FEWEST}
    found = page.evaluate(
        """async ([tables, rule]) => {
            const {leader} = await import("/page/leader.js");
            return tables.map((table) => leader(table, rule));
        }""",
        [[[row.tolist() for row in table] for table in tables], rule],
    )
    expected = []
    for table in tables:
        ads = [Ad(str(number), "picture", seen={0: row} if row.any() else {}) for number, row in enumerate(table)]
        expected.append([*leader(overall(ads, 5), confidence)])
    assert found == expected
    assert min(sum(leads for _, leads in found), sum(bool(name) and not leads for name, leads in found)) > 30


def test_what_was_not_read_is_listed_with_the_reason(page):
    bad = {"status": 415, "json": {"error": "This is no picture."}}
    page.route("**/api/predict", lambda route: route.fulfill(**bad))
    assert page.locator("#to-campaign").is_hidden()
    drop(page, more=named("broken.jpg"))
    said(page, "1 picture could not be read.")
    assert page.locator("#to-campaign").is_visible()
    assert page.text_content("#not-read-title") == "1 not read" and page.locator("#more").is_hidden()
    assert page.locator("#faults li").all_text_contents() == ["broken.jpg This is no picture."]
    drop(page, more=named(*(f"{number}.jpg" for number in range(31))))
    said(page, "32 pictures could not be read.")
    assert page.locator("#faults li").count() == 20 and page.text_content("#not-read-title") == "32 not read"
    assert (
        page.text_content("#more") == "and 12 more; all are in the CSV of the mix"
        and page.locator("#more").is_visible()
    )
    assert [row["note"] for row in saved(page, "#mix-csv")] == ["This is no picture."] * 32
    page.click("#clear")
    page.unroute_all()
    answer_with(page, "fear")
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    assert page.locator("#campaign").is_visible() and page.locator("#not-read").is_hidden()


def test_videos_and_other_files_are_left_out_with_words_that_stay(page):
    drop(page, "portrait.jpg", more={"film.mp4": b"film", "plan.pdf": b"plan", "deck.pdf": b"deck"})
    said(page, "1 picture read, 1 face found. 1 video was left out: this page reads pictures only.")
    said(page, "pipeline.analyze. 2 files were left out, as no picture.")
    page.click("#clear")
    drop(page, more={"a.mp4": b"film", "b.mp4": b"film"})
    said(page, "2 videos were left out: this page reads pictures only.")
    assert "read, " not in page.text_content("#status")


def test_what_is_said_stays_on_the_screen_while_there_are_words(own_page):
    status = own_page.locator("#status")
    assert status.bounding_box()["height"] == 0
    answer_with(own_page, "fear")
    drop(own_page, more=named(*(f"{number}.jpg" for number in range(20)), "film.mp4"))
    said(own_page, "1 video was left out")
    on_top = """(status) => {
        const {left, right, top, bottom} = status.getBoundingClientRect();
        return bottom <= innerHeight && document.elementFromPoint((left + right) / 2, (top + bottom) / 2) === status;
    }"""
    for width in (1440, 768, 320):
        own_page.set_viewport_size({"width": width, "height": 700})
        for place in ("0", "document.body.scrollHeight / 2", "document.body.scrollHeight"):
            own_page.evaluate(f"() => scrollTo({{top: {place}, behavior: 'instant'}})")
            assert status.evaluate(on_top), (width, place)
            assert status.bounding_box()["height"] <= 121
    footer = own_page.locator("footer").bounding_box()  # at the end of the page nothing lies under it
    assert footer["y"] + footer["height"] <= status.bounding_box()["y"] + 1
    own_page.emulate_media(media="print")
    assert status.is_hidden()


def test_where_nothing_could_be_read_one_can_start_again(page):
    drop(page, more={"broken.jpg": b"no picture"})
    said(page, "0 pictures read, 0 faces found. 1 picture could not be read.")
    assert page.locator("#facts li").all_text_contents() == ["0 pictures read, of 1"]
    shown = [page.locator(each).is_visible() for each in ("#mix", "#png", "#mix-csv", "#faces-csv")]
    assert shown == [False, False, True, True]
    page.click("#clear")
    assert page.locator("#results").is_hidden() and page.locator("#campaign").is_hidden()
    assert page.locator("#to-campaign").is_hidden()


def test_a_folder_that_is_dropped_is_named_as_such(own_page, tmp_path):
    (tmp_path / "posters").mkdir()
    browser = own_page.context.new_cdp_session(own_page)
    dragged = {"items": [], "files": [str(tmp_path / "posters")], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", {"type": kind, "x": 900, "y": 300, "data": dragged})
    said(own_page, "1 picture could not be read.")
    assert "A folder can't be sent: drop the pictures in it." in own_page.text_content("#frame")


def test_the_strip_keeps_the_focus_when_a_picture_is_chosen_and_when_one_comes(page):
    drop(page, "portrait.jpg", "empty.jpg")
    said(page, "2 pictures read, 1 face found.")
    second = page.locator("#strip button").nth(1)
    second.focus()
    page.keyboard.press("Enter")
    focused = "(button) => button === document.activeElement"
    assert second.evaluate(focused) and second.get_attribute("aria-pressed") == "true"
    drop(page, "three.jpg", more={"broken.jpg": b"no picture"})
    said(page, "3 pictures read, 4 faces found. 1 picture could not be read.")
    assert second.evaluate(focused)
    entries = page.locator("#strip button")
    labels = [entries.nth(place).get_attribute("aria-label") for place in range(entries.count())]
    assert labels == ["portrait.jpg", "empty.jpg", "three.jpg", "broken.jpg, could not be read"]
    assert page.locator("#strip [aria-pressed=true]").count() == page.locator("#strip .none").count() == 1
    page.click("#clear")
    drop(page, "portrait.jpg")
    said(page, "1 picture read, 1 face found.")
    assert page.locator("#strip button").count() == 1


def test_a_picture_stored_turned_is_shown_as_it_was_read(page):
    upright = Image.new("RGB", (360, 240), "white")
    upright.paste("red", (0, 0, 180, 120))
    how = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_90", "TRANSVERSE", "ROTATE_270")
    as_stored = {1: upright} | {key: upright.transpose(Image.Transpose[each]) for key, each in enumerate(how, 2)}
    exif, xmp, files = Image.Exif(), '<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="%d"/>', {}
    for orientation, image in as_stored.items():
        exif[0x0112] = orientation
        files[f"{orientation}.webp"] = encoded(image, "WEBP", exif=exif)  # which Chromium does not turn
    exif[0x0112] = 6
    files["exif.jpg"] = encoded(as_stored[6], exif=exif)  # which it does
    files["xmp.jpg"] = encoded(as_stored[6], xmp=(xmp % 6).encode())
    drop(page, more=files)
    said(page, "10 pictures read")
    for name, button in zip(files, page.locator("#strip button").all(), strict=True):
        button.click()
        page.wait_for_function("() => document.querySelector('#frame img').complete")
        seen = Image.open(io.BytesIO(page.locator("#frame").screenshot())).convert("RGB")
        assert max(abs(seen.width - 360), abs(seen.height - 240)) < 2, name  # a pixel more where it lies between two
        red = [seen.getpixel((x, y))[1] < 128 for x, y in ((90, 60), (270, 60), (90, 180), (270, 180))]
        assert red == [True, False, False, False], name


def test_the_limits_of_a_picture_are_told_before_one_is_chosen(page):
    assert page.text_content("#limits") == "up to 16 MB and 25 million pixels each"


def test_of_an_animation_the_page_says_that_only_its_first_frame_was_read(page):
    shots = [Image.open(SAMPLES / "portrait.jpg"), Image.new("RGB", (480, 480))]
    drop(page, more={"moving.webp": encoded(shots[0], "WEBP", save_all=True, append_images=shots[1:])})
    said(page, "1 picture read, 1 face found.")
    assert "animated; only its first frame was read" in page.text_content("#caption")


def test_starting_again_ends_what_is_under_way(page):
    hold(page, 2, "portrait.jpg", "three.jpg")  # as many as are under way at a time
    page.click("#clear")
    said(page, "Everything is forgotten.")
    page.unroute_all()
    drop(page, "empty.jpg")
    said(page, "1 picture read, 0 faces found.")


def test_starting_again_takes_away_what_was_shown(page):
    answer_with(page, "fear")
    drop(page, more={"secret.jpg": (SAMPLES / "portrait.jpg").read_bytes()})
    said(page, "1 picture read")
    page.click("#clear")
    page.unroute_all()
    hold(page, 1, "portrait.jpg")
    assert page.locator("#results").is_visible() and page.locator(".box").count() == 0
    assert "secret" not in page.text_content("#results") and "fear" not in page.text_content("#face")


def test_a_picture_over_the_limit_is_refused_before_it_is_sent(page, tmp_path):
    sent = []
    page.route("**/api/predict", lambda route: (sent.append(route), route.fulfill(json=answer_of("fear"))))
    (tmp_path / "large.jpg").write_bytes(bytes(16 * 2**20 + 1))
    page.set_input_files("input[type=file]", tmp_path / "large.jpg")
    said(page, "1 picture could not be read.")
    assert page.text_content("#frame") == "The file is too large, 16.1 MB; make it smaller, 16 MB at most."
    assert not sent


def test_of_a_picture_whose_faces_are_too_small_it_is_not_said_that_it_has_none(page):
    words = "1 face is too small to read; a closer picture would show it."
    page.route("**/api/predict", lambda route: route.fulfill(json=answer_of() | {"words": words}))
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    assert page.text_content("#face h3") == words and page.text_content("#mix-words") == "No face that can be read."
    assert "No face was found" not in page.text_content("body")


def test_starting_again_ends_the_wait_for_a_busy_service(own_page):
    own_page.clock.install()
    asked = []
    busy = {"status": 503, "headers": {"retry-after": "7"}, "json": {"error": "Too many.", "code": "busy"}}
    own_page.route("**/api/predict", lambda route: (asked.append(route), route.fulfill(**busy)))
    drop(own_page, "portrait.jpg")
    said(own_page, "The service is busy; trying again in 7 s…")
    own_page.clock.run_for(7_000)
    wait_for(own_page, lambda: len(asked) == 2)
    said(own_page, "trying again in 7 s…")
    own_page.click("#clear")
    own_page.clock.run_for(60_000)
    said(own_page, "Everything is forgotten.")
    assert len(asked) == 2


def test_a_service_that_starts_anew_is_asked_again(own_page):
    own_page.clock.install()
    refused = []

    def refuse_first(route) -> None:
        if len(refused) == 2:
            return route.fallback()
        refused.append(route)
        return route.abort("connectionrefused")

    own_page.route("**/api/predict", refuse_first)
    drop(own_page, "portrait.jpg")
    for _ in range(2):
        said(own_page, "The service does not answer; trying again in 2 s…")
        own_page.clock.run_for(2_000)
    said(own_page, "1 picture read, 1 face found.")


def test_what_got_no_answer_is_kept_to_be_asked_again(own_page):
    own_page.clock.install()
    asked = []
    own_page.route("**/api/predict", lambda route: (asked.append(route), route.abort("connectionrefused")))
    drop(own_page, "portrait.jpg", "three.jpg", "empty.jpg", "audience.jpg")
    status = own_page.locator("#status")

    def ended() -> bool:
        said_now = status.text_content()
        if "trying again" in said_now:
            own_page.clock.run_for(2_000)
        return "4 pictures got no answer" in said_now

    wait_for(own_page, ended)
    said(own_page, "0 pictures read, 0 faces found. 4 pictures got no answer; “Try again” asks for what is missing.")
    assert len(asked) == 2 * 6 + 2  # it is waited for once, not for each picture
    assert "The service does not answer." in own_page.text_content("#frame")
    own_page.unroute_all()
    own_page.click("#again")
    said(own_page, "4 pictures read, 9 faces found.")
    assert own_page.locator("#again").is_hidden() and own_page.locator("#strip button").count() == 4
    assert own_page.locator(".box").count() == own_page.locator("#strip [aria-pressed=true]").count() == 1


def test_a_request_that_is_never_answered_is_given_up_later_than_the_service_would(page, settings):
    by_hand = """() => {
        delete AbortSignal.any;  // browsers of 2023 have none
        const real = setTimeout;
        window.setTimeout = (job, ms) => ms > 60_000 ? ([window.giveUp, window.asked] = [job, ms]) && 0 : real(job, ms);
    }"""
    page.evaluate(by_hand)
    hold(page, 1, "portrait.jpg")
    page.evaluate("() => giveUp()")
    said(page, "1 picture got no answer")
    assert "took too long" in page.text_content("#frame")
    limits = settings["limits"]
    assert page.evaluate("() => asked / 1000") >= limits["body_seconds"] + limits["answer_seconds"] + 10


def test_uploads_that_were_too_slow_together_are_sent_one_by_one(own_page):
    own_page.clock.install()
    held = hold(own_page, 2, "portrait.jpg", "three.jpg", "empty.jpg")
    slow = {"status": 408, "json": {"error": "The upload was not complete after 30 s.", "code": "too_slow"}}
    for request in held:
        request.fulfill(**slow)
    said(own_page, "The upload took too long; trying again in 1 s…")
    for number in (3, 4, 5):
        wait_for(own_page, lambda number=number: own_page.clock.run_for(1_000) or len(held) == number)
        own_page.clock.run_for(5_000)
        assert len(held) == number, "the next is sent before this one is answered"
        held[-1].fulfill(**slow if number == 4 else {"json": answer_of("fear")})
    said(own_page, "2 pictures read, 2 faces found. 1 picture got no answer; “Try again” asks for what is missing.")
    assert own_page.locator("#again").is_visible() and len(held) == 5


@pytest.mark.parametrize(("status", "times"), ((429, 6), (500, 1)))
def test_what_is_no_fault_of_the_picture_can_be_tried_again(own_page, status, times):
    own_page.clock.install()
    asked = []
    own_page.route("**/api/predict", lambda route: (asked.append(route), route.fulfill(status=status, body="<html>")))
    drop(own_page, "portrait.jpg")
    wait_for(own_page, lambda: own_page.clock.run_for(1_000) or own_page.locator("#again").is_visible())
    said(own_page, "1 picture got no answer; “Try again” asks for what is missing.")
    assert len(asked) == times and f"status {status}" in own_page.text_content("#frame")


def test_a_picture_that_is_forgotten_while_it_is_opened_is_not_sent(page):
    page.evaluate(SLOW_TO_OPEN)
    sent = []
    page.route("**/api/predict", lambda route: (sent.append(route), route.fulfill(json=answer_of("fear"))))
    drop(page, "portrait.jpg")
    said(page, "Reading picture 1 of 1…")
    page.click("#clear")
    page.evaluate("() => opening.forEach((open) => open())")
    page.wait_for_timeout(200)
    assert not sent


def test_the_model_is_named_once_there_is_one(own_page):
    from playwright.sync_api import expect

    none_yet = {"error": "There is no model to answer with yet; try again in 5 s.", "code": "no_model"}
    refusal = {"status": 503, "headers": {"retry-after": "5"}, "json": none_yet}
    own_page.route("**/api/about", lambda route: route.fulfill(**refusal), times=2)
    own_page.clock.install()
    own_page.reload()
    model = own_page.locator("#model")
    expect(model).to_have_text(none_yet["error"])
    wait_for(own_page, lambda: own_page.clock.run_for(5_000) or "tiny, version 1" in model.text_content())
    assert own_page.text_content("#limits") == "up to 16 MB and 25 million pixels each"


def test_a_picture_that_was_chosen_stays_when_another_is_answered(page):
    held = hold(page, 1, "portrait.jpg")
    drop(page, "three.jpg")
    wait_for(page, lambda: len(held) == 2)
    first = page.locator("#strip button").first
    first.click()
    held[1].fulfill(json=answer_of("fear"))
    wait_for(page, lambda: page.locator("#rows tr").count() == 2)
    assert first.get_attribute("aria-pressed") == "true" and "portrait. Being read" in page.text_content("#caption")


def test_the_first_of_the_pictures_that_come_is_shown_and_the_page_goes_there_only_once(own_page):
    own_page.emulate_media(reduced_motion="reduce")  # scrolls at once
    answer_with(own_page, "fear")
    drop(own_page, "portrait.jpg")
    said(own_page, "1 picture read")
    top = "() => results.getBoundingClientRect().top"
    wait_for(own_page, lambda: own_page.evaluate(top) < 100)
    own_page.evaluate("() => scrollTo(0, 0)")
    own_page.unroute_all()
    held = hold(own_page, 2, more=named(*(f"{number}.jpg" for number in range(20))))
    assert own_page.text_content("#caption") == "0. Being read…" and own_page.evaluate("() => scrollY") == 0
    shown = own_page.locator("#strip [aria-pressed=true]")
    assert own_page.locator("#strip button").nth(1).get_attribute("aria-pressed") == "true" and shown.count() == 1
    for request in held[:2]:
        request.fulfill(json=answer_of("fear"))
    wait_for(own_page, lambda: "Faces were found." in own_page.text_content("#caption"))
    drop(own_page, "three.jpg")  # whose entry would lie to the right of what the strip shows
    wait_for(own_page, lambda: "three. Being read" in own_page.text_content("#caption"))
    strip, entry = own_page.locator("#strip").bounding_box(), shown.bounding_box()
    assert strip["x"] <= entry["x"] and entry["x"] + entry["width"] <= strip["x"] + strip["width"] + 1
    assert own_page.evaluate("() => scrollY") == 0


def test_the_strip_shows_of_each_picture_how_it_stands(page):
    held = hold(page, 1, "portrait.jpg")
    drop(page, "three.jpg")  # by itself: of two that are dropped together either can be asked about first
    wait_for(page, lambda: len(held) == 2)
    drop(page, "empty.jpg", more={"broken.jpg": b"no picture"})
    wait_for(page, lambda: page.locator("#strip button").count() == 4)
    opacity = "(each) => getComputedStyle(each).opacity"
    first, second, third, fourth = page.locator("#strip button").all()
    assert {each.locator("img").evaluate(opacity) for each in (first, second, third, fourth)} == {"0.35"}
    held[0].fulfill(json=answer_of("fear"))
    wait_for(page, lambda: len(held) == 3)
    held[1].fulfill(status=500, body="<html>")
    wait_for(page, lambda: len(held) == 4)
    held[2].fulfill(json=answer_of())
    held[3].fulfill(status=415, json={"error": "This is no picture."})
    said(page, "1 picture got no answer")
    assert [each.locator("img").evaluate(opacity) for each in (first, second, third)] == ["1"] * 3
    assert [each.locator(".badge").is_visible() for each in (first, second, third, fourth)] == [
        False,
        True,
        False,
        False,
    ]
    assert second.locator(".badge").text_content() == "↻ no answer" and fourth.locator(".none").text_content() == "✕"
    page.unroute_all()
    page.route("**/api/predict", lambda route: held.append(route))
    page.click("#again")
    wait_for(page, lambda: second.get_attribute("aria-label") == "three.jpg, being read")
    assert second.locator(".badge").is_hidden() and second.locator("img").evaluate(opacity) == "0.35"


def test_a_file_that_is_here_already_is_left_out_whatever_its_name(page):
    answer_with(page, "fear")
    photo, other = bytes(3 * 2**20), bytes(2**21) + b"1" + bytes(2**20 - 1)  # as long, and apart late
    drop(page, more={"a.jpg": photo, "b.jpg": other, "copy of a.jpg": photo})
    said(page, "2 pictures read, 2 faces found. 1 file was left out, the same as another here.")
    page.click("#strip li:nth-child(2) button")
    drop(page, more={"again.jpg": photo, "B.JPG": other})
    said(page, "3 files were left out, each the same as another here.")
    assert page.locator("#strip button").count() == 2 and page.text_content("#caption").startswith("a.")  # its twin
    for _ in range(2):
        page.click("[data-sample='three.jpg']")
    said(page, "3 pictures read, 3 faces found. 4 files were left out")
    page.click("#clear")
    drop(page, more={"a.jpg": photo})
    said(page, "1 picture read, 1 face found.")
    assert "left out" not in page.text_content("#status")


def test_files_that_come_while_others_are_compared_wait_for_their_turn_and_are_forgotten_with_them(page):
    page.evaluate(SLOW_TO_OPEN)
    page.route("**/api/predict", lambda route: route.fulfill(json=answer_of("fear")))
    drop(page, more={"one.jpg": b"one", "two.jpg": b"two"})
    drop(page, more={"three.jpg": b"three"})
    page.wait_for_timeout(100)
    assert page.locator("#strip button").count() == 0
    opening = "() => { for (const each of opening.splice(0)) each() }"
    wait_for(page, lambda: page.evaluate(opening) or page.locator("#rows tr").count() == 4)
    names = page.locator("#strip span").all_text_contents()
    assert names == ["one", "two", "three"]
    drop(page, more={"four.jpg": b"owt"})
    drop(page, more={"five.jpg": b"evif"})
    drop(page, more={"film.mp4": b"film"})
    page.click("#clear")
    for _ in range(5):
        page.evaluate(opening)
        page.wait_for_timeout(20)
    assert page.locator("#strip button").count() == 0
    said(page, "Everything is forgotten.")


def test_answers_of_one_second_are_shown_at_once(own_page):
    own_page.clock.install()
    own_page.clock.pause_at("2100-01-01")
    own_page.evaluate("() => { changes = 0; new MutationObserver(() => changes++).observe(rows, {childList: true}) }")
    answer_with(own_page, "fear")
    drop(own_page, more=named(*(f"{number}.jpg" for number in range(40))))
    said(own_page, "40 pictures read, 40 faces found.")
    assert own_page.locator("#rows tr").count() == 41
    assert own_page.evaluate("() => changes") == 2  # at first and at the end


def test_of_very_many_pictures_the_chart_has_those_with_most_faces(page):
    answer_with(page, "fear")
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    page.evaluate(
        """async (answers) => {
            const picture = (k) => ({name: `${k}.jpg`, label: `${k}`, answer: answers[k % 15 ? 0 : 1]});
            const pictures = Array.from({length: 3000}, (_, k) => picture(k));
            const {showCampaign, toPng} = await import("/page/campaign.js");
            showCampaign(pictures);
            window.chart = await toPng(pictures);
        }""",
        [answer_of("fear"), answer_of("fear", "anger")],
    )
    assert page.locator("#chart .lane").count() == page.locator("#rows tr").count() == 201
    assert page.locator("#chart .lane").nth(2).text_content().startswith("15")
    assert page.text_content("#rows tr:last-child").startswith("All pictures3200")
    assert "hold 2800 more" in page.text_content("#left-out")
    assert page.evaluate("() => createImageBitmap(chart).then((drawn) => drawn.height)") == 176 + 201 * 46


def test_a_chart_that_can_not_be_drawn_is_told(page):
    page.evaluate("() => { HTMLCanvasElement.prototype.toBlob = (done) => done(null) }")
    answer_with(page, "fear")
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    page.click("#png")
    said(page, "could not draw the chart")


def test_a_sample_that_can_not_be_had_is_told(page):
    page.route("**/page/samples/*", lambda route: route.fulfill(status=503))
    page.click("[data-sample='three.jpg']")
    said(page, "This sample can't be had")
    assert page.locator("#results").is_hidden()


def test_a_camera_asked_for_twice_is_opened_once_and_off_when_told_so(own_page):
    own_page.emulate_media(reduced_motion="reduce")  # scrolls at once
    own_page.evaluate(
        """() => {
            const camera = navigator.mediaDevices, open = camera.getUserMedia.bind(camera);
            window.streams = [];
            camera.getUserMedia = async (wanted) => {
                const stream = await open(wanted);
                streams.push(stream);
                return stream;
            };
        }"""
    )
    own_page.dblclick("#camera")
    said(own_page, "The camera is on.")
    own_page.click("#shoot")
    said(own_page, "1 picture read, 0 faces found.")
    assert own_page.locator("#results").is_visible()
    button = own_page.locator("#shoot").bounding_box()  # still there for the next one
    assert button["y"] > 60 and button["y"] + button["height"] < 860
    states = "() => streams.flatMap((each) => each.getTracks().map((track) => track.readyState))"
    assert own_page.evaluate(states) == ["live"]
    own_page.click("#stop")
    assert own_page.evaluate(states) == ["ended"] and own_page.locator("#live").is_hidden()


def test_a_camera_that_shows_nothing_is_off_again(page):
    page.evaluate("() => { video.play = () => Promise.reject(new DOMException('', 'AbortError')) }")
    page.click("#camera")
    said(page, "The camera could not be started; nothing was taken.")
    assert page.evaluate("() => video.srcObject.getTracks().map((track) => track.readyState)") == ["ended"]
    assert page.locator("#live").is_hidden()


@pytest.mark.parametrize(
    ("error", "words"),
    (("NotAllowedError", "was not allowed"), ("NotFoundError", "no camera"), ("NotReadableError", "another program")),
)
def test_why_there_is_no_camera_is_told(page, error, words):
    fails = "(name) => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', name)) }"
    page.evaluate(fails, error)
    page.click("#camera")
    said(page, words)


def test_not_sure_is_shown_as_such(browser, export, tmp_path):
    unsure = export(tmp_path / "unsure", threshold=0.9999, temperature=20.0)
    from playwright.sync_api import expect

    with Server(unsure) as server:
        page = browser.new_page()
        page.goto(server.url)
        page.click("[data-sample='portrait.jpg']")
        expect(page.locator("#face .verdict")).to_have_text("Not sure", timeout=WAIT)
        assert "too little to say so" in page.text_content("#face")
        assert page.locator(".box.unsure").count() == 1
        page.close()


def test_of_a_model_that_is_never_sure_it_is_told_before_a_picture_is_sent(browser, export, tmp_path):
    from playwright.sync_api import expect

    with Server(export(tmp_path / "unsure", threshold=1.0)) as server:
        page = browser.new_page()
        page.goto(server.url)
        expect(page.locator("#model")).to_contain_text("it says “not sure” of every face.", timeout=WAIT)
        page.close()


def test_everything_is_reached_by_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.dataset.sample") == "three.jpg":
            break
    page.keyboard.press("Enter")
    said(page, "1 picture read, 3 faces found.")
    reached, name = set(), "() => document.activeElement.getAttribute('aria-label') || document.activeElement.id"
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(name))
        if len([each for each in reached if each.startswith("Face ")]) == 2:
            page.keyboard.press("Enter")
            break
    pressed = page.locator(".box[aria-pressed=true]")
    assert pressed.count() == 1 and pressed.evaluate("(box) => box === document.activeElement")
    assert page.locator("main").count() == page.locator("h1").count() == page.locator("[role=status]").count() == 1
    unnamed = """() => [...document.querySelectorAll('button, a, input, img, [role=img]')]
        .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length
            || e.hasAttribute('alt') || e.querySelector('img[alt]:not([alt=""])')))
        .map((e) => e.outerHTML)"""
    assert page.evaluate(unnamed) == []


def test_every_share_can_be_read_on_its_tone_and_the_saved_chart_is_light(own_page):
    def luminance(colour: Sequence[int]) -> float:  # WCAG 2.2
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
        return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(one: Sequence[int], other: Sequence[int]) -> float:
        dark, light = sorted((luminance(one), luminance(other)))
        return (light + 0.05) / (dark + 0.05)

    answer = answer_of(*LABELS, "fear")
    answer["faces"][-1]["certain"] = False
    own_page.route("**/api/predict", lambda route: route.fulfill(json=answer))
    drop(own_page, "portrait.jpg")
    said(own_page, "1 picture read, 8 faces found.")
    colours = """() => [...document.querySelectorAll('.stack i')].map((each) => {
        const {backgroundColor, color} = getComputedStyle(each);
        return [backgroundColor, color].map((text) => text.match(/\\d+/g).map(Number));
    })"""
    tones = []
    for scheme in ("light", "dark"):
        own_page.emulate_media(color_scheme=scheme)
        pairs = own_page.evaluate(colours)
        assert len(pairs) == 8 and min(contrast(*pair) for pair in pairs) >= 4.5, (scheme, pairs)
        tones.append([tuple(tone) for tone, _ in pairs])
        with own_page.expect_download() as download:
            own_page.click("#png")
        drawn = Image.open(download.value.path()).convert("RGB")
        assert [drawn.getpixel((30 + 138 * place, 70)) for place in range(8)] == tones[0]
    assert tones[0] != tones[1]


@pytest.mark.parametrize("scheme", ("light", "dark"))
def test_on_a_phone_nothing_is_wider_than_the_screen(browser, server, scheme):
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page.goto(server.url)
    long = "Spring_Campaign_2025_Instagram_Story_1080x1920_v3_final_approved_by_legal_and_brand_team_EN_GB.jpg"
    drop(page, "audience.jpg", "three.jpg", more={long: (SAMPLES / "empty.jpg").read_bytes()})
    said(page, "3 pictures read, 8 faces found.")
    page.locator("#strip button").nth(2).click()
    for width in (390, 320):
        page.set_viewport_size({"width": width, "height": 844})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 390, "height": 844})
    name = page.locator("#rows th").first
    before = name.bounding_box()
    page.locator(".scroll").evaluate("(table) => { table.scrollLeft = 200 }")
    assert name.bounding_box() == before  # of a table that is moved sideways
    colours = page.evaluate("() => { const s = getComputedStyle(document.body); return [s.color, s.backgroundColor] }")
    light = [sum(int(part) for part in colour[4:-1].split(",")) for colour in colours]
    assert (light[0] < light[1]) == (scheme == "light")
    page.goto(f"{server.url}/page/card.html")
    from playwright.sync_api import expect

    expect(page.locator("#facts")).to_contain_text("50.0 %")
    chosen = page.locator("#facts tr", has_text="chosen")
    expect(chosen).to_have_text("How that was chosenso that at least 70.0 % of the sure answers are right, on valid")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    page.close()


def test_the_card_of_a_model_that_is_right_often_enough_by_all_its_answers_says_never_unsure(browser, export, tmp_path):
    from playwright.sync_api import expect

    with Server(export(tmp_path / "sure", threshold=0.0)) as server:
        page = browser.new_page()
        page.goto(f"{server.url}/page/card.html")
        expect(page.locator("#facts tr", has_text="Not sure below")).to_have_text("Not sure belownever")
        page.close()


def saved_bytes(page, button: str) -> bytes:
    """The file that a button saves, as it is."""
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes()


def test_a_saved_csv_has_the_mark_of_utf_8_and_no_name_that_a_spreadsheet_would_run(page):
    answer_with(page, "fear")
    drop(page, more=named("-1+1.jpg", "@SUM(1).jpg", "+1.jpg", "=1.jpg", "1-1.jpg"))
    said(page, "5 pictures read")
    for button in ("#faces-csv", "#mix-csv"):
        data = saved_bytes(page, button)
        assert data.startswith(b"\xef\xbb\xbf"), "Excel would read it in a code page of its own"
        first = [line.partition(",")[0] for line in data.decode("utf-8-sig").splitlines()]
        assert first[1:6] == ["'-1+1.jpg", "'@SUM(1).jpg", "'+1.jpg", "'=1.jpg", "1-1.jpg"]


@pytest.mark.parametrize(("locale", "end", "point"), [("de-DE", ";", ","), ("en-GB", ",", "."), ("de-CH", ",", ".")])
def test_a_saved_csv_is_as_excel_reads_it_in_the_browsers_language(browser, server, locale, end, point):
    context = browser.new_context(locale=locale)
    page = context.new_page()
    page.goto(server.url)
    drop(page, more={"a;b.jpg": (SAMPLES / "three.jpg").read_bytes()})
    said(page, "1 picture read")
    names, row, *_ = csv.reader(saved_bytes(page, "#faces-csv").decode("utf-8-sig").splitlines(), delimiter=end)
    cells = dict(zip(names, row, strict=True))
    assert cells["file"] == "a;b.jpg" and cells["fear"].startswith(f"0{point}")
    (row,) = list(csv.reader(saved_bytes(page, "#mix-csv").decode("utf-8-sig").splitlines(), delimiter=end))[1:]
    assert row[:2] == ["a;b.jpg", "3"]
    context.close()


def test_a_box_lies_where_the_answer_says_in_a_wide_picture_and_the_csv_has_its_pixels(page):
    answer = answer_of("fear") | {"width": 400, "height": 100}
    answer["faces"][0]["box"] = {"x": 40, "y": 25, "width": 80, "height": 50}
    page.route("**/api/predict", lambda route: route.fulfill(json=answer))
    drop(page, "portrait.jpg")
    said(page, "1 picture read")
    sides = "({style}) => [style.left, style.top, style.width, style.height]"
    assert page.locator(".box").evaluate(sides) == ["10%", "25%", "20%", "50%"]
    (row,) = saved(page, "#faces-csv")
    assert [row[each] for each in ("x", "y", "width", "height")] == ["40", "25", "80", "50"]


def test_in_the_saved_chart_each_picture_is_a_whole_bar_however_many_faces_it_has(page):
    answers = [answer_of("fear"), answer_of("fear", "fear", "fear")]
    page.route("**/api/predict", lambda route: route.fulfill(json=answers.pop()))
    drop(page, "portrait.jpg", "three.jpg")
    said(page, "2 pictures read, 4 faces found.")
    chart = Image.open(io.BytesIO(saved_bytes(page, "#png"))).convert("RGB")
    left, wide, fear = 260, 860, chart.getpixel((30 + 138 * 4, 70))  # as its legend says
    for bar in range(3):  # all pictures, and each
        at = [chart.getpixel((x, 104 + 46 * bar + 16)) for x in (left + 4, left + wide - 4, left + wide + 4)]
        assert at == [fear, fear, (255, 255, 255)], bar


@pytest.mark.parametrize(
    ("caution", "words"), [("", "it had never seen"), ("its teacher saw them", "of which it may have seen some before")]
)
def test_what_the_page_says_of_the_model_is_its_figure_on_test(page, caution, words):
    from playwright.sync_api import expect

    def better_on_valid(route) -> None:
        about = route.fetch().json()
        about["accuracy"]["valid"] |= {"value": 0.9, "low": 0.88, "high": 0.92}
        route.fulfill(json=about | {"caution": caution})

    page.route("**/api/about", better_on_valid)
    page.reload()
    expect(page.locator("#model")).to_contain_text(f"Right for 50.0 % of 2,000 test pictures {words} (", timeout=WAIT)
    expect(page.locator("#model")).to_contain_text("48.0 % to 52.0 %")
    expect(page.locator("#model")).to_contain_text("would give 14 %). Model: tiny, version 1.")


def test_how_often_the_model_is_right_where_it_is_sure_is_told(page):
    from playwright.sync_api import expect

    figure = {"value": 0.8, "low": 0.78, "high": 0.82, "confidence": 0.95, "images": 1400}
    for images, words in ((1400, "It named 70 % of them and was right for 80.0 % of those (95 % interval"), (2000, "")):
        answered = {"answers": {"test": figure | {"images": images}}}
        page.unroute("**/api/about")
        page.route("**/api/about", lambda route: route.fulfill(json=route.fetch().json() | answered))  # noqa: B023
        page.reload()
        expect(page.locator("#model")).to_contain_text("Model: tiny", timeout=WAIT)
        said_of_it = page.text_content("#model")
        assert (words in said_of_it) if words else "It named" not in said_of_it


def test_a_service_that_would_be_asked_in_an_hour_is_asked_in_ten_seconds(page):
    later = {"status": 503, "headers": {"retry-after": "3600"}, "json": {"error": "Too many.", "code": "busy"}}
    page.route("**/api/predict", lambda route: route.fulfill(**later))
    drop(page, "portrait.jpg")
    said(page, "The service is busy; trying again in 10 s…")


def test_a_fault_of_the_service_is_told_in_its_words_and_not_asked_for_again_by_itself(browser, server):
    page, asked = browser.new_page(), []
    fault = {"status": 500, "json": {"error": "The service failed at this.", "code": "fault"}}
    page.route("**/api/predict", lambda route: (asked.append(route), route.fulfill(**fault)))
    page.goto(server.url)
    drop(page, "portrait.jpg")
    said(page, "0 pictures read")
    assert "The service failed at this." in page.text_content("#frame") and len(asked) == 1
    page.close()
