"""The login endpoint as an ASGI application.

It is served over HTTPS, because the identity library takes no other authority. Its sign-in page asks for no password.
"""

from __future__ import annotations

import html
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from local.sign_in import metadata
from local.sign_in.errors import LoginError
from local.sign_in.grants import Grants
from local.sign_in.sign_ins import SignIn

PEOPLE_SHOWN = 10
PAGE = "<!doctype html><meta charset=utf-8><title>Sign in</title><body style='font: 1.1rem system-ui; margin: 3rem'>{}"
FORM = (
    "<h1>Sign in to the simulated tenant</h1><form method=post>"
    "<p><label>Code <input name=user_code value='{code}' autofocus></label>"
    "<p><label>As (object id) <input name=user size=40 list=people></label><datalist id=people>{people}</datalist>"
    "<p><button>Sign in</button> <button name=decline value=1>Decline</button></form>"
)


class LoginService:
    """The routes, for one tenant."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def app(self) -> Starlette:
        """The application."""
        version = {"": "1.0", "/v2.0": "2.0"}
        routes = [Route("/common/discovery/instance", self._safe(self.instance))]
        for suffix, number in version.items():
            routes += [
                Route(
                    f"/{{tenant}}{suffix}/.well-known/openid-configuration",
                    self._safe(self._metadata(number)),
                ),
                Route(f"/{{tenant}}/discovery{suffix}/keys", self._safe(self.keys)),
                Route(f"/{{tenant}}/oauth2{suffix}/token", self._safe(self.token), methods=["POST"]),
                Route(
                    f"/{{tenant}}/oauth2{suffix}/devicecode", self._safe(self.device_code), methods=["POST"]
                ),
                Route(f"/{{tenant}}/oauth2{suffix}/authorize", self._safe(self.authorize)),
            ]
        routes.append(Route("/devicelogin", self._safe(self.sign_in_page), methods=["GET", "POST"]))
        return Starlette(routes=routes)

    async def instance(self, request: Request) -> Response:
        """Instance discovery for the given authority; any host is accepted."""
        asked = request.query_params.get("authorization_endpoint", "")
        tenant = (asked.split("/") + ["common"] * 4)[3] or "common"
        return JSONResponse(metadata.instance_discovery(_root(request), request.url.netloc, tenant))

    async def keys(self, request: Request) -> Response:
        """The key set."""
        self._grants.check_tenant(request.path_params["tenant"])
        names = self._grants.settings.keys_name_issuer
        return JSONResponse({"keys": [key.published(names) for key in self._grants.keys.published()]})

    async def token(self, request: Request) -> Response:
        """A token for one of the grants."""
        answer = self._grants.token(request.path_params["tenant"], await _form(request))
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    async def device_code(self, request: Request) -> Response:
        """Start a sign-in on another device."""
        form = await _form(request)
        return JSONResponse(self._grants.device_code(request.path_params["tenant"], form, _root(request)))

    async def sign_in_page(self, request: Request) -> Response:
        """A page to enter a device code and choose a user."""
        if request.method == "GET":
            people = "".join(
                f"<option value='{user_id}'>{html.escape(user.display_name)} ({html.escape(user.address)})</option>"
                for user_id, user in list(self._grants.users.items())[:PEOPLE_SHOWN]
            )
            code = html.escape(request.query_params.get("code", ""), quote=True)
            return HTMLResponse(PAGE.format(FORM.format(code=code, people=people)))
        form = await _form(request)
        user = None if form.get("decline") else form.get("user", "").lower()
        if user is not None and user not in self._grants.users:
            raise LoginError("invalid_request", 50034, "The user account does not exist in the tenant.")
        try:
            self._grants.sign_ins.answer(form.get("user_code", "").strip(), user)
        except KeyError:
            raise LoginError("invalid_request", 70008, "The code is not known.") from None
        return HTMLResponse(PAGE.format("<h1>You may close this page</h1>"))

    async def authorize(self, request: Request) -> Response:
        """Sign a user in at once, and send the browser back with a code."""
        query = dict(request.query_params)
        self._grants.check_tenant(request.path_params["tenant"])
        redirect = query.get("redirect_uri", "")
        if query.get("response_type") != "code" or query.get("code_challenge_method") != "S256":
            raise LoginError(
                "unsupported_response_type", 700054, "Only 'code' with a code challenge is supported."
            )
        if not redirect.startswith(("http://localhost:", "http://127.0.0.1:")):
            raise LoginError(
                "invalid_request", 50011, "The redirect URI is not registered for this application."
            )
        user = self._grants.settings.sign_in_as or next(iter(self._grants.users))
        scopes = self._grants.scopes(query.get("scope", ""))
        signed_in = SignIn(query.get("client_id", "").lower(), scopes, user, query.get("nonce"))
        code = self._grants.sign_ins.browser_code(signed_in, query.get("code_challenge", ""))
        answer = {"code": code, "state": query.get("state", "")}
        if query.get("response_mode") != "form_post":
            return RedirectResponse(f"{redirect}?{urlencode(answer)}", 302)
        fields = "".join(
            f"<input type=hidden name={name} value='{html.escape(value, quote=True)}'>"
            for name, value in answer.items()
        )
        target = html.escape(redirect, quote=True)
        form = f"<form method=post action='{target}'>{fields}<button>Continue</button></form>"
        return HTMLResponse(PAGE.format(form + "<script>document.forms[0].submit()</script>"))

    def _metadata(self, version: str) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            tenant = request.path_params["tenant"]
            self._grants.check_tenant(tenant)
            return JSONResponse(
                metadata.openid_configuration(_root(request), self._grants.authority, tenant.lower(), version)
            )

        return answer

    def _safe(
        self, answer: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                return await answer(request)
            except LoginError as refused:
                return JSONResponse(refused.body(), refused.status)

        return endpoint


def _root(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


async def _form(request: Request) -> dict[str, str]:
    # Read by hand: the framework's form parser needs another package for the other kind of form.
    return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
