"""The health page and the picture of a meeting in a real browser, also for a keyboard and a screen reader."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from azure.storage.blob import ContainerClient

from local.stack.compose import Stack
from local.stack.program import ROOT
from shared import settings, times
from shared.cli.draw import image, timeline
from shared.cli.training.page import render_page
from shared.health import diagnosis, page, readings, search
from shared.health.diagnosis import HealthReport
from shared.health.lookup import build_lookup
from shared.health.readings import DeniedOrganizer, DeniedOrganizers, QueueLength, Readings
from shared.ledger import access
from shared.storage.clients import QUEUES
from shared.storage.state import StateStore
from shared.subscriptions.status import SubscriptionStatus, SubscriptionView
from tests.support.app_settings import ENVIRON
from tests.support.front import Front, own_stack
from tests.support.health_states import CURE, HOSTILE, ORGANIZER, world
from tests.support.simulated_app import HOUR, NOW, call, running
from tests.support.training import account
from tests.unit import test_timeline
from tests.unit.test_lookup import archive, guid
from tests.unit.test_timeline import person

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

stack = own_stack()

CHROMIUM = next(
    filter(
        None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
    ),
    None,
)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed on this machine")
PHONE, DESK = 390, 1280
ELSEWHERE = "99999999-0000-4000-8000-000000000000"  # another tenant
# What a browser itself writes about the page's own status.
STATUS_LINE = "Failed to load resource: the server responded with a status of 503 (Service Unavailable)"

AXE = ROOT / ".local" / "axe" / "node_modules" / "axe-core" / "axe.min.js"  # installed by `make check`
# What axe-core finds wrong, what it is not sure of, and how many texts have enough contrast (WCAG 2, AA).
RUN_AXE = """async () => {
  const options = {
    ignoreUnicode: false, ignoreLength: true,  // marks and single letters count too, unlike by default
    boldValue: 700, boldTextPt: 14, largeTextPt: 18, pseudoSizeThreshold: 0.25, shadowOutlineEmMax: 0.2,
    textStrokeEmMin: 0.03, contrastRatio: {normal: {expected: 4.5}, large: {expected: 4.5}},
  };
  axe.configure({checks: [{id: 'color-contrast', options}]});
  const within = {exclude: ['figure text']};  // black on white, whose contrast it cannot tell
  const {violations, incomplete, passes} = await axe.run(within);
  const brief = rules => rules.map(({id, nodes}) => [id, ...nodes.map(each => each.html)]);
  const clear = passes.find(({id}) => id === 'color-contrast');
  return {wrong: brief(violations), unsure: brief(incomplete), clear: clear ? clear.nodes.length : 0};
}"""
# The element that has the focus: its role, its accessible texts, and the width of its outline.
FOCUS = """() => {
  const element = document.activeElement;
  const name = element.labels?.length ? element.labels[0].innerText : element.innerText;
  return [element.tagName.toLowerCase(), name.trim(), parseFloat(getComputedStyle(element).outlineWidth)];
}"""


@dataclass(frozen=True)
class View:
    """The page as it was opened, with what the browser wrote and asked for meanwhile."""

    page: Page
    console: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # here, because tests that are not heavy run without it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(params=[(PHONE, "light"), (PHONE, "dark"), (DESK, "light"), (DESK, "dark")], ids=str)
def view(browser: Browser, request: pytest.FixtureRequest) -> Iterator[View]:
    """A new window: a phone or a desk, light or dark."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    opened = View(context.new_page(), [], [])
    opened.page.on("console", lambda message: opened.console.append(message.text))
    opened.page.on("pageerror", lambda error: opened.console.append(str(error)))
    opened.page.on("request", lambda asked: opened.requests.append(asked.url))
    yield opened
    context.close()


def open_fully(view: View, url: str) -> None:
    """Load the page, unfold all of it, and see that it is sound."""
    view.page.goto(url)
    view.page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert [line for line in view.console if line != STATUS_LINE] == []
    assert view.requests == [url]
    assert view.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert view.page.locator("script, img, link, iframe, [style], [onclick]").count() == 0
    check_access(view.page)


def check_access(page: Page) -> None:
    """See that axe-core finds nothing wrong."""
    page.evaluate(AXE.read_text())
    found = page.evaluate(RUN_AXE)
    assert (found["wrong"], found["unsure"]) == ([], [])
    assert found["clear"] >= 3


@pytest.fixture(scope="module", params=["new", "well", "ill"])
def state(request: pytest.FixtureRequest) -> str:
    """How the app is."""
    return str(request.param)


@pytest.fixture(scope="module")
def url(stack: Stack, state: str) -> Iterator[str]:
    """Where the page of an app in that state is."""
    front = Front(stack)
    poison = stack.queue_service().get_queue_client("upkeep-poison")
    if state == "well":
        front.subscribe()  # in the stack's own containers, where it awaits the record of the run
    with world(stack) as made:
        stack.restart_functions(made.changes)
        match state:
            case "well":
                made.alive()
            case "ill":
                made.ill()
                poison.send_message("e30=")
        yield f"{front.url}/health"
    poison.clear_messages()
    for each in front.control.subscriptions():
        front.control.remove_subscription(each["id"])
    stack.restart_functions()


@pytest.mark.heavy("Chromium and its driver are 160 MB and more")
@needs_browser
class TestOnTheLocalStack:
    def test_the_page_is_sound_and_says_how_it_stands(self, view: View, url: str, state: str) -> None:
        open_fully(view, url)
        headline = view.page.get_by_role("heading", level=1)
        problems = view.page.locator("section:has(h2:text-is('Problems')) li")
        expected = {"new": 1, "well": 0, "ill": 4}[state]
        assert headline.is_visible()
        assert (
            headline.inner_text()
            == {
                "new": "Needs attention: 1 problem",
                "well": "Healthy",
                "ill": "Needs attention: 4 problems",
            }[state]
        )
        assert problems.count() == expected
        assert all(problem.is_visible() for problem in problems.all())
        if state == "ill":
            assert HOSTILE in problems.all_inner_texts()[0]

    def test_the_chart_has_a_bar_a_day_that_says_what_it_means(
        self, view: View, url: str, state: str
    ) -> None:
        view.page.goto(url)
        bars = view.page.get_by_role("img")
        today = times.now().date()
        assert bars.count() == 14
        assert all(bar.is_visible() for bar in bars.all())
        if state == "new":
            assert view.page.get_by_role("img", name=f"{today}: unknown").count() == 1
        else:
            name = f"{today}: open, 242 signals, 161 reports"
            assert view.page.get_by_role("img", name=name).count() == 1
            name = f"{today - timedelta(days=2)}: complete, 1,320 signals, 924 reports"
            assert view.page.get_by_role("img", name=name).count() == 1

    def test_every_table_names_its_columns_and_rows(self, view: View, url: str) -> None:
        view.page.goto(url)
        tables = view.page.locator("table").all()
        assert len(tables) >= 4
        for table in tables:
            assert table.locator("thead th:not([scope=col])").count() == 0
            rows = table.locator("tbody tr").count()
            assert table.locator("tbody tr th[scope=row]:first-child").count() == rows > 0

    def test_the_keyboard_reaches_everything_in_order_and_searches(self, view: View, url: str) -> None:
        page = view.page
        page.goto(url)
        seen = []
        folded = page.locator("section", has_text="Last 14 days").locator("summary").all_inner_texts()
        assert folded[0] == "Show the numbers"
        assert folded[1:] in ([], ["Show how late the reports were"])
        expected = [
            *(("summary", each) for each in folded),
            ("input", "Its link, or the id of its signal, call or report"),
            ("button", "Search"),
        ]
        for _ in expected:
            page.keyboard.press("Tab")
            seen.append(page.evaluate(FOCUS))
        assert [(tag, name) for tag, name, _ in seen] == expected
        assert [name for _, name, outline in seen if outline < 2] == []
        page.keyboard.press("Shift+Tab")
        page.keyboard.type(f'https://teams.microsoft.com/l/meetup-join/x/0?context={{"Tid":"{ELSEWHERE}"}}')
        page.keyboard.press("Enter")
        page.wait_for_load_state()
        page.get_by_role("heading", level=1, name="The app knows of no such meeting").wait_for()
        assert page.get_by_text(
            f"Its organizer is of another tenant: the link names {ELSEWHERE}"
        ).is_visible()
        assert page.url == url
        check_access(page)
        page.get_by_role("link", name="Health of the app").press("Enter")
        page.get_by_role("heading", level=2, name="Queues").wait_for()
        assert page.url == url

    def test_a_screen_reader_has_landmarks_and_headings_in_order(self, view: View, url: str) -> None:
        view.page.goto(url)
        for landmark in ("banner", "main", "contentinfo"):
            assert view.page.get_by_role(landmark).count() == 1
        levels = view.page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(each => each.tagName)")
        assert levels[0] == "H1"
        assert set(levels[1:]) == {"H2"}


@pytest.mark.heavy("Chromium and its driver are 160 MB and more")
@needs_browser
class TestAsRendered:
    """What would take a deployment long to come to, from a report made here."""

    URL = "http://health.test/api/health"

    def show(self, view: View, report: HealthReport) -> None:
        self.fulfill(view, page.render_page(report))

    def fulfill(self, view: View, body: str) -> None:
        headers: Mapping[str, str] = {"Content-Security-Policy": page.POLICY}
        view.page.route(
            self.URL,
            lambda route: route.fulfill(
                body=body, headers={**headers, "Content-Type": "text/html; charset=utf-8"}
            ),
        )
        open_fully(view, self.URL)

    def test_5000_organizers_without_access_are_counted_and_50_are_shown(self, view: View) -> None:
        organizers = [
            DeniedOrganizer(ORGANIZER.format(n), times.now(), CURE.format(ORGANIZER.format(n)))
            for n in range(50)
        ]
        self.show(view, report(denied=DeniedOrganizers(access.MOST, tuple(organizers))))
        section = view.page.locator("section:has(h2:text-is('Organizers without access'))")
        assert section.locator("tbody tr").count() == 50
        assert "5,000 or more organizers." in section.inner_text()

    def test_a_wrong_setting_is_all_there_is(self, view: View) -> None:
        self.show(
            view,
            HealthReport(
                times.now(), {}, wrong_setting="App setting TENANT_ID is 'contoso'; allowed: a GUID."
            ),
        )
        assert view.page.get_by_role("heading", level=1).inner_text() == "Needs attention: 1 problem"
        assert view.page.get_by_text("App setting TENANT_ID is 'contoso'; allowed: a GUID.").is_visible()
        assert view.page.locator("table, svg").count() == 0

    def test_the_story_of_a_meeting_is_sound(self, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
        with running() as app:
            state = StateStore(cast(ContainerClient, app.state))
            lookup = build_lookup(cast(ContainerClient, app.container), cast(ContainerClient, app.state))
            monkeypatch.setattr(
                readings, "app_sources", lambda _: SimpleNamespace(lookup=lookup, state=state)
            )
            archive(app, call(guid(1), NOW - HOUR))
            found = search.respond(ENVIRON, f"meeting={guid(1)}".encode())
        self.fulfill(view, found.text)
        section = view.page.locator("section").first
        assert section.get_by_role("heading").inner_text() == f"Signal cr-{guid(1)}"
        assert "The report is stored." in section.inner_text()
        assert section.get_by_role("listitem").count() >= 2

    def test_the_picture_of_a_meeting_is_sound(self, view: View) -> None:
        names = ("Ana", "王小明", "अनन्या शर्मा", "محمد")
        known = timeline.parse_timeline(test_timeline.report(*(person(name, (0, 60)) for name in names)))
        view.page.set_content(image.render_picture(known, "html").decode())
        check_access(view.page)
        assert set(view.page.get_by_role("rowheader").all_inner_texts()) == set(names)

    @pytest.mark.parametrize("dates", [1, 2])
    def test_the_page_of_a_training_is_sound_and_printed_in_light_colours(
        self, view: View, dates: int
    ) -> None:
        view.page.set_content(render_page(account(dates)))
        size = view.page.viewport_size
        assert size
        if size["width"] == DESK:  # on a phone axe-core cannot tell the contrast of what is scrolled away
            check_access(view.page)
        assert view.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert view.page.get_by_role("table").count() == (3, 7)[dates - 1]
        assert "Hugo Lind" in view.page.get_by_role("rowheader").all_inner_texts()
        view.page.emulate_media(media="print")
        colours = view.page.evaluate(
            "(({backgroundColor, color}) => [backgroundColor, color])(getComputedStyle(document.documentElement))"
        )
        assert colours == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]


@pytest.mark.heavy("Chromium and its driver are 160 MB and more")
@needs_browser
def test_light_and_dark_are_two_pages(browser: Browser) -> None:
    seen = set()
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme="light" if scheme == "light" else "dark")
        window = context.new_page()
        window.set_content(page.render_page(report()))
        seen.add(window.evaluate("getComputedStyle(document.body).backgroundColor"))
        context.close()
    assert seen == {"rgb(255, 255, 255)", "rgb(20, 24, 29)"}


def test_whatever_a_text_holds_it_stays_a_text() -> None:
    told = replace(report(), diagnosis=replace(report().diagnosis, problems=(HOSTILE,), warnings=(HOSTILE,)))
    text = page.render_page(told)
    assert "<script" not in text
    assert "<img" not in text
    assert text.count("&lt;script&gt;") == 2


@pytest.mark.parametrize("status", SubscriptionStatus)
def test_each_state_of_a_subscription_has_words(status: SubscriptionStatus) -> None:
    view = SubscriptionView("communications/callRecords", times.now(), status, "an id")
    told = replace(report(), diagnosis=replace(report().diagnosis, subscriptions=(view,)))
    row = page.render_page(told).split("communications/callRecords</th>")[1].split("</tr>")[0]
    assert re.match(r"<td>[a-z ]{6,}</td>", row)


def report(**changes: object) -> HealthReport:
    """What health tells of a new deployment, but for `changes` in what it read."""
    now = times.now()
    config = settings.load(ENVIRON)
    known: dict[str, object] = {
        "queues": dict.fromkeys(QUEUES, QueueLength(0, 0)),
        "containers": {"attendance": None, "attendance-state": None},
        "subscriptions": (),
        "last_notification": None,
        "last_report": None,
        "refused": None,
        "maintenance": None,
        "recent": None,
        "full": None,
        "days": {now.date() - timedelta(days=back): None for back in reversed(range(14))},
        "denied": DeniedOrganizers(0, ()),
    }
    read = Readings(**known | changes)  # type: ignore[arg-type]
    return HealthReport(now, settings.public_values(ENVIRON), read, diagnosis.diagnose(read, config, now))
