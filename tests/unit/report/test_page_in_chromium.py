"""The page in a browser, as a person opens it: what it asks for, complains of, and looks like."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.report.chromium import NAMES, Chromium, Page, chromium, find_chromium
from tests.unit.report.evaluations import FASHION, classified, estimated
from tests.unit.report.histories import OPTIONS, records

from sparkweave.report.page import Run, render_page

WIDTHS = (400, 1400)
HISTORIES: dict[str, list[dict[str, Any]]] = {
    "a whole run": records(resharded=9),
    "no measured steps": records(every=0, evaluated=0),
    "one epoch": records(epochs=1, workers=1, restarted=None, slow=None),
    "nothing yet": [],
}
EVALUATIONS: dict[str, dict[str, Any]] = {
    "a whole run": classified(10),
    "no measured steps": classified(2),
    "one epoch": estimated(),
}
CHARTS = """
[...document.querySelectorAll('svg.plot, svg.strip')].map(svg => {
  const box = svg.getBoundingClientRect();
  const drawn = [...svg.querySelectorAll('.line, .part, .dot')].some(mark => {
    const size = mark.getBBox();
    return size.width + size.height > 0;
  });
  return [box.width, box.height, drawn];
})
"""
# What is wider than its column is scrolled within it.
BESIDE = """
[...document.querySelectorAll('main *')].filter(element =>
  !element.closest('.scroll') && !element.closest('svg') && !element.closest('pre')
  && element.getBoundingClientRect().right > innerWidth + 1
).map(element => element.outerHTML.slice(0, 120))
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


@pytest.fixture(params=HISTORIES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    page = tmp_path / "report.html"
    page.write_text(
        render_page(
            Run(
                name="hdfs://nn/" + "long/" * 40,
                history=HISTORIES[request.param],
                options=OPTIONS,
                evaluation=EVALUATIONS.get(request.param),
            )
        )
    )
    return page


def text_of(page: Page) -> str:
    return str(page.evaluate("document.body.innerText"))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_is_whole_by_itself_and_fits(browser: Chromium, file: Path, width: int, dark: bool) -> None:
    page = browser.open(file, width=width, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(BESIDE) == []
    for chart_width, chart_height, drawn in page.evaluate(CHARTS):
        assert chart_width > 50
        assert chart_height >= 16
        assert drawn
    assert "Is it learning?" in text_of(page)
    assert page.requests == [file.as_uri()], "nothing else was asked for"
    assert page.complaints == []


def test_charts_are_as_wide_as_a_small_screen_allows(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(Run(name="digits", history=HISTORIES["a whole run"])))
    page = browser.open(path, width=400)
    widths = page.evaluate("[...document.querySelectorAll('svg.plot')].map(svg => svg.getBoundingClientRect().width)")
    assert len(widths) == 10
    assert all(340 < width < 400 for width in widths)
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('svg.plot text')].map(text => text.getBoundingClientRect().height))"
    )
    assert smallest > 9, "what stands at the axes can be read"


def test_text_stands_out_from_the_page_in_light_and_dark(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(Run(name="digits", history=HISTORIES["a whole run"])))
    light, dark = (
        browser.open(path, width=1400, dark=dark).evaluate(
            "['color', 'backgroundColor'].map(name => getComputedStyle(document.body)[name])"
        )
        for dark in (False, True)
    )
    assert light == ["rgb(27, 31, 36)", "rgb(255, 255, 255)"]
    assert dark == ["rgb(230, 234, 238)", "rgb(20, 24, 29)"]


CONTRASTS = """
[...document.querySelectorAll('.heat td')].map(cell => {
  const paint = new OffscreenCanvas(1, 1).getContext('2d');
  const light = (...colors) => {
    colors.forEach(color => { paint.fillStyle = color; paint.fillRect(0, 0, 1, 1); });
    const [red, green, blue] = [...paint.getImageData(0, 0, 1, 1).data].map(
      value => value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
  };
  const style = getComputedStyle(cell), page = getComputedStyle(document.body).backgroundColor;
  const [ink, paper] = [light(style.color), light(page, style.backgroundColor)];
  return [Math.max(ink, paper) / Math.min(ink, paper), style.backgroundColor];
})
"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_counts_can_be_read_on_any_color_of_the_heat_map(browser: Chromium, tmp_path: Path, dark: bool) -> None:
    path = tmp_path / "report.html"
    names = {str(number): name for number, name in enumerate(FASHION)}
    path.write_text(render_page(Run(name="digits", history=[], evaluation=classified(10, skill=9), class_names=names)))
    cells = browser.open(path, width=1400, dark=dark).evaluate(CONTRASTS)
    assert len(cells) == 100
    assert min(contrast for contrast, _ in cells) > 4.5
    assert len({color for _, color in cells}) > 10, "cells are of different colors"


def test_on_a_small_screen_a_wide_heat_map_is_scrolled_and_its_names_stay(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(Run(name="digits", history=[], evaluation=classified(20))))
    page = browser.open(path, width=400)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    place = "document.querySelector('.heat tbody th').getBoundingClientRect().left"
    before = page.evaluate(place)
    page.evaluate("document.querySelector('.heat').parentElement.scrollLeft = 300")
    assert page.evaluate("document.querySelector('.heat').parentElement.scrollLeft") > 100
    assert page.evaluate(place) == pytest.approx(before, abs=1)


def test_a_stranger_in_the_history_runs_nothing(browser: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    name = "<script>document.title = 'theirs'</script><img src=x onerror=\"document.title = 'theirs'\">"
    path.write_text(render_page(Run(name=name, history=[], options={name: name})))
    page = browser.open(path, width=1400)
    assert page.evaluate("document.title") == f"Training report: {name}"
    assert name in text_of(page)
    assert page.complaints == []
