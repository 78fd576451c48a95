"""index.html in headless Chromium, opened as a file: it sorts, filters, and has a player for every sound."""

import json
import re

import browser
import make_run
import pytest
import test_answer

from tts_diffvoc_eval import report

pytestmark = pytest.mark.skipif(
    browser.find() is None, reason="no Chromium is installed; on Debian: apt-get install chromium"
)
SHOWN = (
    "[...document.querySelectorAll('#leaderboard tbody tr')].filter(row => !row.hidden).map(row => row.dataset.system)"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = make_run.make(tmp_path_factory.mktemp("run with spaces & signs") / "made #1")
    report.redraw(folder)
    return folder


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A run that allows all sentences of the answer."""
    folder = make_run.make(tmp_path_factory.mktemp("run") / "answered", test_answer.systems(), test_answer.CLIPS[:3])
    report.redraw(folder)
    return folder


@pytest.fixture(scope="module")
def chromium():
    with browser.Browser() as opened:
        yield opened


@pytest.fixture
def page(chromium, run):
    chromium.events.clear()
    chromium.size(1280, 900)
    chromium.open(run / "index.html")
    yield chromium
    assert chromium.troubles() == []


def means(run, metric):
    systems = json.loads((run / "leaderboard.json").read_text(encoding="utf-8"))["systems"]
    return {entry["system"]: entry["cells"][metric]["value"] for entry in systems}


def click_heading(page, label):
    found = f"[...document.querySelectorAll('thead th')].find(th => th.dataset.label === {json.dumps(label)})"
    page.run(f"{found}.querySelector('button').click()")
    return page.run(f"{found}.getAttribute('aria-sort')")


def test_a_click_sorts(page, run):
    pesq = means(run, "pesq_wb")
    assert page.run(SHOWN)[0] == "original"
    assert click_heading(page, "PESQ-WB") == "descending"
    order = page.run(SHOWN)
    assert order == sorted(pesq, key=lambda name: -pesq[name])
    assert click_heading(page, "PESQ-WB") == "ascending"
    assert page.run(SHOWN) == order[::-1]
    assert page.run("document.querySelectorAll('thead th[aria-sort]').length") == 1
    assert page.run("document.querySelector('#status').textContent") == "Sorted by PESQ-WB, ascending."


def test_what_is_not_known_goes_last_either_way(page, run):
    for _ in range(2):
        click_heading(page, "Speed")
        assert page.run(SHOWN)[-1] == "original"
    assert click_heading(page, "System") == "ascending"
    assert page.run(SHOWN)[0] == "diffwave-50"


def test_the_keyboard_sorts(page, run):
    wanted = "[...document.querySelectorAll('thead th')].find(th => th.dataset.label === 'DNSMOS')"
    page.run(f"{wanted}.querySelector('button').focus()")
    page.key("Enter", 13, "\r")
    dnsmos = means(run, "dnsmos")
    assert page.run(SHOWN) == sorted(dnsmos, key=lambda name: -dnsmos[name])
    page.key(" ", 32, " ")
    assert page.run(f"{wanted}.getAttribute('aria-sort')") == "ascending"


def test_every_sound_has_a_player_and_a_spectrogram(page, run):
    for clip in make_run.CLIPS:
        for seed in make_run.SEEDS:
            choose = "const it = document.querySelector('{0}'); it.value = '{1}'; it.dispatchEvent(new Event('change'))"
            page.run(f"(() => {{ {choose.format('#clip', clip)} }})()")
            page.run(f"(() => {{ {choose.format('#seed', seed)} }})()")
            cards = page.run(
                "[...document.querySelectorAll('.player')].map(card => [card.dataset.system,"
                " card.querySelector('audio')?.getAttribute('src'), card.querySelector('audio')?.preload,"
                " card.querySelector('img')?.getAttribute('src'), card.textContent])"
            )
            assert sorted(card[0] for card in cards) == sorted(make_run.SYSTEMS)
            assert cards[0][0] == "original"
            for name, sound, preload, picture, text in cards:
                if (name, clip) == make_run.FAILED[:2]:
                    assert sound is None and f"Failed: {make_run.FAILED[2]}" in text
                    continue
                taken = 0 if make_run.SYSTEMS[name].deterministic else seed
                assert sound == f"audio/{name}/{clip}-{taken}.mp3" and preload == "none"
                assert (run / sound).is_file() and (run / picture).is_file()


def test_a_player_plays(page):
    page.run("document.querySelector('.player audio').play()")
    page.wait("document.querySelector('.player audio').currentTime > 0.05")
    assert page.run("document.querySelector('.player audio').duration") == pytest.approx(0.7, abs=0.01)
    page.run("document.querySelectorAll('.player audio')[1].play()")
    page.wait("document.querySelector('.player audio').paused")


AUDIBLE = "[...document.querySelectorAll('audio')].filter(it => !it.paused && !it.muted && it.readyState > 2)"


def test_another_player_takes_over_without_a_gap(page):
    """From frame to frame exactly one is heard, and time goes on."""
    page.run("document.querySelectorAll('#three button')[0].click()")
    page.wait("document.querySelector('.player audio').currentTime > 0.1")
    heard = page.run(
        "new Promise(done => { const seen = []; document.querySelectorAll('#three button')[1].click();"
        " const heard = it => [it.closest('.player').dataset.system, it.currentTime];"
        f" const look = () => {{ seen.push({AUDIBLE}.map(heard));"
        " if (seen.length < 12) requestAnimationFrame(look); else done(seen); }; look(); })"
    )
    assert [len(one) for one in heard] == [1] * len(heard)
    names, times = zip(*(one[0] for one in heard))
    assert names[0] == "original" and names[-1] == "diffwave-50"
    assert times[-1] > 0.1 and all(after > before - 0.05 for before, after in zip(times, times[1:]))
    assert page.run("[...document.querySelectorAll('#three button')].map(it => it.ariaPressed)") == [
        "false", "true", "false"]  # fmt: skip


def test_a_key_plays(page):
    page.run("document.querySelectorAll('#three button')[2].focus()")
    page.key("Enter", 13, "\r")
    page.wait(f"{AUDIBLE}.some(it => it.closest('.player').dataset.system === data.three[2])")
    page.key(" ", 32, " ")
    page.wait(f"{AUDIBLE}.length === 0")


@pytest.mark.parametrize("width, height", [(1280, 800), (390, 844)])
def test_the_first_screen_holds_answer_plot_and_sounds(page, answered, width, height):
    page.size(width, height)
    page.open(answered / "index.html")
    page.wait("document.querySelector('#front .plot img').naturalWidth > 0")
    wanted = ".answer li, #front .plot img, #three button"
    ends = page.run(f"[...document.querySelectorAll('{wanted}')].map(it => it.getBoundingClientRect().bottom)")
    assert len(ends) == 5 + 1 + 3 and max(ends) <= height
    shown = page.run("document.querySelector('#front .plot img').currentSrc")
    assert shown.endswith("-narrow.png") == (width == 390)


def test_headings_stay_when_the_table_scrolls(page):
    page.size(390, 844)
    page.run("document.querySelector('#views input[value=all]').click()")
    box = "document.querySelector('#leaderboard .scroll')"
    where = "[...document.querySelectorAll('thead th')].map(it => it.getBoundingClientRect().top)"
    page.run(f"{box}.style.maxHeight = '300px'; {box}.scrollTo(400, 150)")
    assert page.run(f"{box}.scrollTop") == 150 and page.run(f"{box}.scrollLeft") == 400
    top = page.run(f"{box}.getBoundingClientRect().top")
    assert all(abs(one - top) < 3 for one in page.run(where))
    assert abs(page.run("document.querySelector('tbody th').getBoundingClientRect().left - "
                        f"{box}.getBoundingClientRect().left")) < 3  # fmt: skip


def test_families_and_columns_are_chosen(page):
    page.run("document.querySelector('#families input[value=gan]').click()")
    assert not {"hifigan-v2", "hifigan-copy", "melgan"} & set(page.run(SHOWN))
    hidden = "[...document.querySelectorAll('.player')].filter(card => card.hidden).map(card => card.dataset.system)"
    assert set(page.run(hidden)) == {"hifigan-v2", "hifigan-copy", "melgan"}
    labels = "[...document.querySelectorAll('thead th')].filter(th => th.offsetParent).map(th => th.dataset.label)"
    assert {"Rank", "PESQ-WB", "Speed", "Training", "Failures"} < set(page.run(labels))
    page.run("document.querySelector('#views input[value=quality]').click()")
    assert "MCD" in page.run(labels) and "Speed" not in page.run(labels)
    page.run("document.querySelector('#views input[value=all]').click()")
    assert {"MCD", "Speed", "Memory", "Pitch spread"} < set(page.run(labels))


def test_every_plot_is_on_the_page(page, run):
    images = page.run("[...document.querySelectorAll('figure img')].map(image => image.getAttribute('src'))")
    images += page.run("[...document.querySelectorAll('figure source')].map(image => image.getAttribute('srcset'))")
    assert sorted(images) == sorted(f"plots/{path.name}" for path in (run / "plots").glob("*.png"))
    shown = "[...document.querySelectorAll('figure')].filter(figure => !figure.hidden)"
    page.wait(f"{shown}.every(figure => figure.querySelector('img').naturalWidth > 0)")
    page.run("document.querySelector('#metrics input[value=dnsmos]').click()")
    assert page.run(f"{shown}.map(figure => figure.dataset.metric)") == ["dnsmos"]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_and_text_can_be_read(page, run, width, dark):
    page.size(width, 844, dark)
    page.open(run / "index.html")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    assert page.run(browser.CONTRAST) >= 4.5  # WCAG 2, level AA


def test_everything_has_a_name_for_a_screen_reader(page):
    nameless = """[...document.querySelectorAll('a, button, input, select, audio, img, .mark')].filter(it => !(
      it.ariaLabel || it.labels?.length || it.textContent.trim() || it.hasAttribute('alt')
      || it.querySelector('img[alt]'))).map(it => it.outerHTML)"""
    assert page.run(nameless) == []
    assert page.run("document.documentElement.lang") == "en" and page.run("document.querySelectorAll('h1').length") == 1
    focusable = (
        "[...document.querySelectorAll('a, button, input, select, audio, [tabindex]')].every(it => it.tabIndex >= 0)"
    )
    assert page.run(focusable)


def test_nothing_is_fetched_and_text_is_text(page, run):
    html = (run / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", html)
    assert page.run("document.querySelectorAll('body b').length") == 0  # "<b>" in a note stays text
    assert "</script><b>not a tag</b>" in page.run("document.querySelector('#manifest').textContent")
