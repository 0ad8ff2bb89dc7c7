"""The page in a real browser: it works, fits the screen, can be read, and says where it cannot be whole."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest

from tests import report_tree


@pytest.fixture
def report(monkeypatch) -> Path:
    root = report_tree.shared_report("madeup", (0, 1))
    monkeypatch.chdir(root)
    return root / "reports" / "madeup"


FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--window-size=1400,1000",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def chrome(tmp_path_factory) -> Iterator:
    pytest.importorskip("selenium", reason="selenium is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("Chromium or its chromedriver is not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


@pytest.fixture
def browser(chrome, report) -> Iterator:
    """The page, opened wide and light; afterwards nothing may stand in the console."""
    open_page(chrome, report)
    yield chrome
    errors = [entry for entry in chrome.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    assert errors == []


def open_page(chrome, report: Path, width: int = 1400, **media: str) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    features = {"prefers-color-scheme": "light", "prefers-reduced-motion": "no-preference"}
    features |= {name.replace("_", "-"): value for name, value in media.items()}
    listed = [{"name": name, "value": value} for name, value in features.items()]
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": listed})
    chrome.get((report / "index.html").as_uri())
    chrome.execute_script("localStorage.clear()")


ROWS = (
    "return [...document.querySelectorAll('#evaluations tbody tr')].filter(r => !r.hidden).map(r => "
    "r.children[{}].textContent.trim())"
)
CELLS = (
    "return Object.fromEntries([...document.querySelectorAll('[data-c]')].map(e => [e.dataset.c, "
    "e.textContent]))"
)


def test_sorting_filtering_and_addresses(report, browser):
    cells = pd.read_csv(report / "cells.csv", dtype=str, keep_default_na=False).set_index("id")
    shown = browser.execute_script(CELLS)
    assert shown == cells.loc[list(shown)].text.to_dict()

    # Sort by AP (column 3), up and down: numbers by value, empty ones last; an arrow shows, pressed or not.
    ap = "document.querySelectorAll('#evaluations thead th')[3].querySelector('button').click()"
    head = "document.querySelectorAll('#evaluations thead th button')[3]"
    arrow = f"return getComputedStyle({head}, '::after').content"
    arrows = [browser.execute_script(arrow)]
    for direction in (1, -1):
        browser.execute_script(ap)
        arrows.append(browser.execute_script(arrow))
        texts = browser.execute_script(ROWS.format(3))
        values = [float(text.split()[0]) for text in texts if text != "–" and text]
        assert len(values) > 20 and values == sorted(values, reverse=direction < 0)
        assert all(text in ("", "–") for text in texts[len(values) :])
    assert len(set(arrows)) == 3 and "none" not in arrows

    # Filter: only rows with all the words.
    total = len(browser.execute_script(ROWS.format(0)))
    box = browser.find_element("css selector", "#evaluations label.filter input")
    box.send_keys("mspn-2 det-41")
    names, boxes = browser.execute_script(ROWS.format(0)), browser.execute_script(ROWS.format(1))
    assert 0 < len(names) < total and all("mspn-2" in n for n in names) and set(boxes) == {"det-41.1"}
    box.clear()
    box.send_keys(" ")
    assert len(browser.execute_script(ROWS.format(0))) == total

    # Each number opens the one popover with its own address, whose links are files; pressed again it closes.
    address = browser.find_element("id", "address")
    for selector, words in (
        ("#table-2 td.ours button", "flops.csv"),
        ("#table-2 tr:nth-child(2) td:nth-child(10) button", "mspn-2 on det-49.4, protocol paper"),
    ):
        number = browser.find_element("css selector", selector)
        browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", number)
        number.click()
        assert address.is_displayed() and words in address.text
        links = browser.execute_script("return [...document.querySelectorAll('#address a')].map(a => a.href)")
        assert links and all(Path(unquote(urlsplit(link).path)).is_file() for link in links)
    number.click()
    assert not address.is_displayed()

    # Both themes, by the button; the background changes.
    background = "return getComputedStyle(document.body).backgroundColor"
    first = browser.execute_script(background)
    browser.execute_script("document.getElementById('theme').click()")
    assert browser.execute_script(background) != first


def test_a_table_is_copied_as_tab_separated_values(report, browser):
    keep = "{value: {writeText: async (text) => { window.copied = text; }}}"
    browser.execute_script(f"Object.defineProperty(navigator, 'clipboard', {keep})")
    browser.execute_script("document.querySelector('#table-2 button.copy').click()")
    lines = [line.split("\t") for line in browser.execute_script("return window.copied").splitlines()]
    assert {len(line) for line in lines} == {len(lines[0])} and len(lines) == 6
    first = dict(zip(lines[0], lines[1], strict=True))
    cells = pd.read_csv(report / "cells.csv", dtype=str, keep_default_na=False)
    for column, quantity in (
        ("madeup scale", "ours"),
        ("madeup scale, low", "low"),
        ("madeup scale, high", "high"),
    ):
        place = (cells.place == "Table 2") & (cells.row == "Hourglass, 1 stage") & (cells.column == "AP")
        assert first[f"Hourglass AP {column}"] == cells[place & (cells.quantity == quantity)].text.item()
    assert first["Hourglass FLOPs (G) ours, full size, difference"] == "+0.004"


OVERFLOW = "return [document.documentElement.scrollWidth, innerWidth]"
SCROLLS = """
return [...document.querySelectorAll('figure.table')].map(f => {
  const area = f.querySelector('.scroll');
  return [f.id, area.scrollWidth - area.clientWidth, !f.querySelector('.more').hidden];
});
"""
# The smallest letters of all figures, in pixels of the screen.
LETTERS = """
return Math.min(...[...document.querySelectorAll('.svg svg')].flatMap(svg => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return [...svg.querySelectorAll('text')].map(text => scale * parseFloat(getComputedStyle(text).fontSize));
}));
"""


@pytest.mark.parametrize("width", [1400, 390])
def test_it_fits_the_screen_or_says_that_it_scrolls(report, browser, width):
    open_page(browser, report, width)
    page, screen = browser.execute_script(OVERFLOW)
    assert page <= screen
    for name, over, said in browser.execute_script(SCROLLS):
        assert said == (over > 2), name
        if width == 1400 and name.startswith("table-"):
            assert over <= 2, name
    assert browser.execute_script(LETTERS) >= 9
    if width == 390:  # the first column stays
        place = "return document.querySelector('#flops tbody th').getBoundingClientRect().left"
        before = browser.execute_script(place)
        browser.execute_script("document.querySelector('#flops .scroll').scrollLeft = 300")
        assert browser.execute_script(place) == pytest.approx(before, abs=1)


def test_keyboard_and_motion(report, browser):
    from selenium.webdriver import ActionChains, Keys

    ActionChains(browser).send_keys(Keys.TAB).perform()
    focused = browser.switch_to.active_element
    assert focused.text == "Skip to what was learnt" and focused.rect["x"] >= 0
    motion = "return getComputedStyle(document.documentElement).scrollBehavior"
    assert browser.execute_script(motion) == "smooth"
    open_page(browser, report, prefers_reduced_motion="reduce")
    assert browser.execute_script(motion) == "auto"


# Gives the texts whose contrast with what lies behind them is too weak.
CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(report, browser, scheme):
    open_page(browser, report, prefers_color_scheme=scheme)
    assert browser.execute_script(CONTRAST) == []


HREFS = "return [...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))"
TOP = "return document.getElementById('claims').getBoundingClientRect().top"


def test_inside_snakemakes_report_no_link_is_dead(report, chrome, tmp_path):
    """It shows the page as a data: URL in a frame, or from a zip, where none of its files lie beside it."""
    page = (report / "index.html").read_bytes()
    data = f"data:text/html;charset=utf8;base64,{base64.b64encode(page).decode()}"
    (tmp_path / "report.html").write_text(f'<iframe width="1300" height="800" src="{data}">')
    raw = tmp_path / "data" / "raw" / ("ab" * 8)
    raw.mkdir(parents=True)
    (raw / "index.html").write_bytes(page)
    for place in ("report.html", f"data/raw/{'ab' * 8}/index.html"):
        chrome.get((tmp_path / place).as_uri())
        if place == "report.html":
            chrome.switch_to.frame(0)
        hrefs = chrome.execute_script(
            "return [...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))"
        )
        assert hrefs and all(href.startswith("#") for href in hrefs)
        assert chrome.find_element("css selector", ".packed").is_displayed()
        chrome.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
        chrome.find_element("css selector", "nav a[href='#claims']").click()
        assert (
            abs(chrome.execute_script("return document.getElementById('claims').getBoundingClientRect().top"))
            < 5
        )
        chrome.switch_to.default_content()
    assert not [e for e in chrome.get_log("browser") if e["level"] == "SEVERE"]
