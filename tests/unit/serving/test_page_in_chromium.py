"""The page for people in a browser: with a file, a pointer, and nothing but the keyboard; on a wide screen and on a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.report.chromium import NAMES, Chromium, Page, chromium, find_chromium
from tests.unit.serving.serving import asking, make_pixels, make_png, make_service, running

TOKEN = "correct-horse-battery-staple"
HOSTILE = "<img src=x onerror=\"document.title='theirs'\">"
CONFUSION = [[8, 1, 1], [0, 9, 1], [2, 0, 7]]
BARS = "[...document.querySelectorAll('.bars li')].map(line => [...line.children].map(part => part.textContent))"
WIDTHS = (375, 1400)
BESIDE = """
[...document.querySelectorAll('main *')].filter(element => !element.closest('.scroll') && element.offsetParent
  && element.getBoundingClientRect().right > innerWidth + 1).map(element => element.outerHTML.slice(0, 120))
"""
SMALL_TARGETS = """
[...document.querySelectorAll('button')].filter(element => element.offsetParent
  && element.getBoundingClientRect().height < 40).map(element => element.outerHTML)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        reason = f"none of {', '.join(NAMES)} is in the path: sh scripts/chromium.sh, or name one in CHROMIUM"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with chromium(program) as running:
        yield running


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    service = make_service(class_names={"0": HOSTILE, "1": "ankle boot"}, evaluation={"confusion": CONFUSION})
    with running(service) as port:
        yield f"http://127.0.0.1:{port}"


def opened(browser: Chromium, address: str, *, width: int = 1400, dark: bool = False) -> Page:
    page = browser.open(f"{address}/", width=width, dark=dark)
    page.until("!document.getElementById('work').hidden || !document.getElementById('access').hidden")
    return page


def text_of(page: Page, selector: str = "body") -> str:
    return str(page.evaluate(f"document.querySelector('{selector}').innerText"))


def choose(page: Page, *files: Path) -> None:
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    node = page.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    page.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])


def until_predicted(page: Page, count: int = 1) -> None:
    page.until(f"document.querySelectorAll('.one').length === {count}")


def check_clean(page: Page, address: str) -> None:
    assert page.complaints == []
    assert all(url.startswith((f"{address}/", "data:", "blob:")) for url in page.requests), page.requests
    assert page.evaluate("document.title") == "digits"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_file_s_classes_are_shown_as_bars(
    browser: Chromium, address: str, tmp_path: Path, width: int, dark: bool
) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(make_png(4))
    page = opened(browser, address, width=width, dark=dark)
    choose(page, file)
    until_predicted(page)
    bars: list[list[str]] = page.evaluate(BARS)
    shares = [float(share.removesuffix(" %")) for _, _, share in bars]
    assert sorted(name for name, _, _ in bars) == sorted([HOSTILE, "ankle boot", "2"])
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)
    widths = page.evaluate(
        "[...document.querySelectorAll('.bar')].map(bar => bar.getBoundingClientRect().width"
        " / bar.parentNode.getBoundingClientRect().width * 100)"
    )
    assert widths == pytest.approx(shares, abs=1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(BESIDE) == []
    assert page.evaluate(SMALL_TARGETS) == []
    check_clean(page, address)


def test_the_prediction_is_the_service_s(browser: Chromium, address: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{seed}.png" for seed in (1, 2)]
    for seed, file in enumerate(files, 1):
        file.write_bytes(make_png(seed))
    model = make_service(class_names={"0": HOSTILE, "1": "ankle boot"}).model
    assert model is not None
    best = [model.outputs.class_names[model.predictor(make_pixels(seed)[None]).argmax()] for seed in (1, 2)]
    page = opened(browser, address)
    choose(page, *files)
    until_predicted(page, 2)
    titles = page.evaluate("[...document.querySelectorAll('.one h3')].map(title => title.textContent)")
    assert [title.rpartition(": ")[0] for title in titles] == best
    assert page.evaluate("[...document.querySelectorAll('.one .lead')].map(name => name.textContent)") == [
        "1.png",
        "2.png",
    ]


def test_the_card_and_the_confusion_matrix_are_shown(browser: Chromium, address: str) -> None:
    page = opened(browser, address)
    card = text_of(page, "#facts")
    for fact in ("lenet", "1 × 28 × 28", "000001"):
        assert fact in card
    cells = page.evaluate(
        "[...document.querySelectorAll('#confusion tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert [[int(count) for count in row[1:]] for row in cells] == CONFUSION
    assert [row[0] for row in cells] == [HOSTILE, "ankle boot", "2"]
    colors = page.evaluate(
        "['td.right', 'tbody td:not(.right)'].map(one => getComputedStyle(document.querySelector('#confusion ' + one))"
        ".backgroundColor)"
    )
    assert colors[0] != colors[1]
    check_clean(page, address)


def test_a_drawing_with_the_pointer_is_predicted(browser: Chromium, address: str) -> None:
    page = opened(browser, address)
    box = page.evaluate(
        "(box => { document.getElementById('canvas').scrollIntoView(); box = document.getElementById('canvas')"
        ".getBoundingClientRect(); return [box.left, box.top]; })()"
    )
    before = ink(page)
    for kind, x, y in (("mousePressed", 60, 60), ("mouseMoved", 200, 200), ("mouseReleased", 200, 200)):
        page.call("Input.dispatchMouseEvent", type=kind, x=box[0] + x, y=box[1] + y, button="left", clickCount=1)
    until_predicted(page)
    assert before == 0
    assert ink(page) > 1000
    check_clean(page, address)


def ink(page: Page) -> Any:
    """Pixels of the canvas that are drawn on."""
    return page.evaluate(
        "(data => data.filter((value, index) => index % 4 === 0 && value > 0).length)"
        "([...document.getElementById('canvas').getContext('2d').getImageData(0, 0, 280, 280).data])"
    )


def test_the_keyboard_is_enough(browser: Chromium, address: str) -> None:
    page = opened(browser, address)
    reached = []
    for _ in range(8):
        page.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
        if reached[-1] == "canvas":
            break
    assert reached == ["file", "canvas"], "in the order of the page"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "one sees where one is"
    page.press(" ", text=" ")
    for key in ("ArrowRight", "ArrowDown") * 5:
        page.press(key)
    assert ink(page) > 1000
    assert "pen down at 180, 180" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.press("Enter")
    until_predicted(page)
    page.press("Delete")
    assert ink(page) == 0
    page.press("Tab")
    assert page.evaluate("document.activeElement.id") == "predict"
    check_clean(page, address)


def test_every_field_has_a_name(browser: Chromium, address: str) -> None:
    page = opened(browser, address)
    nameless = page.evaluate(
        "[...document.querySelectorAll('input, textarea')].filter(field => !field.labels.length).map(field => field.id)"
    )
    assert nameless == []


def test_what_is_no_image_is_said(browser: Chromium, address: str, tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(b"GIF89a.....")
    page = opened(browser, address)
    choose(page, file)
    page.until("document.getElementById('problem').textContent")
    assert "only PNG and JPEG images are read" in text_of(page, "#problem")


def test_the_policy_lets_no_stranger_s_script_run(browser: Chromium, address: str) -> None:
    page = opened(browser, address)
    page.evaluate(
        "(script => { script.textContent = \"document.title = 'theirs'\"; document.body.append(script); })"
        "(document.createElement('script'))"
    )
    assert page.evaluate("document.title") == "digits"
    assert any("Content Security Policy" in complaint for complaint in page.complaints)


def test_with_a_token_the_page_asks_for_it(browser: Chromium) -> None:
    with running(make_service(), token=TOKEN) as port:
        page = opened(browser, f"http://127.0.0.1:{port}")
        assert page.evaluate("document.activeElement.id") == "token"
        assert "digits" not in text_of(page)
        for text in ("wrong", TOKEN):
            page.evaluate("document.getElementById('token').value = ''")
            page.call("Input.insertText", text=text)
            page.press("Enter", text="\r")
            page.until(
                "document.getElementById('state').textContent.includes('missing or wrong')"
                if text == "wrong"
                else "!document.getElementById('work').hidden"
            )
        assert text_of(page, "#name") == "digits"
        page.call("Page.navigate", url="about:blank")


def test_every_file_of_the_page_has_the_policy() -> None:
    with asking(make_service()) as client:
        for path in ("/", "/page.js", "/page.css"):
            policy = client.ask("GET", path).headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self';")
            assert "unsafe" not in policy
        assert b"http" not in client.ask("GET", "/").body, "nothing is fetched from elsewhere"
