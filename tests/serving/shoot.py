"""Takes docs/page.png: python -m tests.serving.shoot champion"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from serving.drawn import ROOT
from serving.server import Server
from serving.test_page import CHROMIUM, said


def main() -> None:
    """The page with all samples, whole."""
    from playwright.sync_api import sync_playwright

    with Server(Path(sys.argv[1])) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(server.url)
        for sample in ("three", "audience", "portrait"):
            page.click(f"[data-sample='{sample}.jpg']")
            said(page, "found.")
        page.click("#strip button >> nth=0")  # of more than one face
        page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0) }")
        page.locator("#status").evaluate("(each) => { each.hidden = true }")  # it would lie across the whole picture
        page.mouse.move(2, 700)
        page.wait_for_timeout(500)
        page.screenshot(path=ROOT / "docs/page.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
