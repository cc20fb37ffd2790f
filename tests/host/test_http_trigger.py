"""HTTP functions behind the local host: complete requests, unchanged replies."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.host_process import Account, HostProcess, hosts_in
from tests.support.host_process import account as account

APP = """
anonymous = func.AuthLevel.ANONYMOUS
met = threading.Event()

@app.route(route="handshake", auth_level=anonymous)
def handshake(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(req.params["validationToken"], mimetype="text/plain")

@app.route(route="items/{item}/{*rest}", methods=["PUT", "GET"], auth_level=func.AuthLevel.FUNCTION)
def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    return func.HttpResponse(json.dumps({
        "method": req.method, "url": req.url, "headers": dict(req.headers), "query": dict(req.params),
        "route": dict(req.route_params), "body": req.get_body().hex(),
        "trace": [context.trace_context.Traceparent, context.trace_context.Tracestate],
    }), mimetype="application/json")

@app.route(route="bytes", auth_level=anonymous)
def raw(req: func.HttpRequest) -> func.HttpResponse:
    headers = {"Content-Type": "application/x-raw", "Retry-After": "7", "Set-Cookie": "a=b; Path=/; HttpOnly"}
    return func.HttpResponse(bytes(range(256)), status_code=503, headers=headers)

@app.route(route="text", auth_level=anonymous)
def text(req: func.HttpRequest) -> str:
    return "just text"

@app.route(auth_level=anonymous)
def unrouted(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("by name")

@app.route(route="broken", auth_level=anonymous)
def broken(req: func.HttpRequest) -> func.HttpResponse:
    logging.warning("about to break")
    print("printed")
    raise ValueError("a secret detail")

@app.route(route="wait", auth_level=anonymous)
def wait(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(str(met.wait(20)))

@app.route(route="meet", auth_level=anonymous)
async def meet(req: func.HttpRequest) -> func.HttpResponse:
    met.set()
    return func.HttpResponse("met")
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, account: Account) -> Iterator[HostProcess]:
    with hosts_in(tmp_path_factory.mktemp("app"), account) as start:
        yield start(APP)


def test_a_text_reply_arrives_byte_for_byte(host: HostProcess) -> None:
    reply = host.call("POST", "/api/handshake?validationToken=Validation%3A%20%3Ca%3E+b%E2%82%AC")
    assert reply.status == 200
    assert reply.body == "Validation: <a> b€".encode()
    names = {name.lower(): value for name, value in reply.headers}
    assert names.pop("date")
    assert names == {"content-type": "text/plain; charset=utf-8", "content-length": "20"}


def test_status_headers_cookies_and_bytes_are_unchanged(host: HostProcess) -> None:
    reply = host.call("GET", "/api/bytes")
    assert (reply.status, reply.body) == (503, bytes(range(256)))
    assert {(name.lower(), value) for name, value in reply.headers if name.lower() != "date"} == {
        ("content-type", "application/x-raw"),
        ("content-length", "256"),
        ("retry-after", "7"),
        ("set-cookie", "a=b; HttpOnly; Path=/"),
    }


def test_the_request_arrives_whole(host: HostProcess) -> None:
    reply = host.call(
        "PUT",
        "/api/Items/a%2Fb%20c/d/e?x=1&x=2&empty=&plus=a+b",
        b"\x00\xff",
        {"X-Two": "one", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "k=v"},
    )
    seen = json.loads(reply.body)
    assert seen["method"] == "PUT"
    assert seen["url"] == f"{host.url}/api/Items/a%2Fb%20c/d/e?x=1&x=2&empty=&plus=a+b"
    assert seen["query"] == {"x": "1,2", "empty": "", "plus": "a b"}
    assert seen["body"] == "00ff"
    assert seen["headers"]["x-two"] == "one"
    assert seen["trace"] == [f"00-{'a' * 32}-{'b' * 16}-01", "k=v"]


def test_route_parameters_are_passed(host: HostProcess) -> None:
    seen = json.loads(host.call("GET", "/api/items/one%20two/three/four").body)
    assert seen["route"] == {"item": "one two", "rest": "three/four"}


@pytest.mark.parametrize("parent", [None, "nonsense"])
def test_a_request_without_a_trace_gets_a_fresh_one(host: HostProcess, parent: str | None) -> None:
    headers = {"traceparent": parent} if parent else {}
    traces = [
        json.loads(host.call("GET", "/api/items/x/y", headers=headers).body)["trace"][0] for _ in range(2)
    ]
    assert all(re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace) for trace in traces)
    assert traces[0] != traces[1]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/items/x/y"), ("GET", "/api/nothing"), ("GET", "/handshake"), ("GET", "/api")],
)
def test_what_no_route_and_method_fits_is_not_found(host: HostProcess, method: str, path: str) -> None:
    assert host.call(method, path).status == 404


def test_a_str_and_a_function_without_a_route(host: HostProcess) -> None:
    assert host.call("GET", "/api/text").body == b"just text"
    assert host.call("GET", "/api/unrouted").body == b"by name"


def test_an_exception_is_500_without_a_word(host: HostProcess) -> None:
    reply = host.call("GET", "/api/broken")
    assert (reply.status, reply.body) == (500, b"")
    assert "WARNING [broken] about to break" in host.log
    assert re.search(r"ERROR \[broken\] .*a secret detail", host.log)
    assert "printed" in host.log


def test_requests_are_served_while_others_wait(host: HostProcess) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(host.call, "GET", "/api/wait")
        assert host.call("GET", "/api/meet").body == b"met"
        assert waiting.result().body == b"True"


def test_a_body_over_the_limit_is_refused(host: HostProcess) -> None:
    too_large = {"Content-Length": str(100 * 1024 * 1024 + 1)}
    assert host.call("PUT", "/api/items/x/y", headers=too_large).status == 413


def test_the_route_prefix_is_host_jsons(tmp_path_factory: pytest.TempPathFactory, account: Account) -> None:
    with hosts_in(tmp_path_factory.mktemp("app"), account) as start:
        host = start(APP, host_json={"extensions": {"http": {"routePrefix": ""}}})
        assert host.call("GET", "/text").body == b"just text"
        assert host.call("GET", "/api/text").status == 404
