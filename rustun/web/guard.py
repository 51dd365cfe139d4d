"""Who may ask what: the steps that every request of the web process passes before its route sees it.

Rules of this module
  1. The steps, in this order: Host, Origin, who asks (bearer token, or the cookie of a login), what the route takes,
     CSRF. The table of routes (Route) says what right each takes; one that says nothing takes the read token.
  2. The Host has to be the address that the connection came to, localhost, or a configured name: what a foreign page
     reaches by a name of its own (DNS rebinding) is refused. An Origin has to be the same place.
  3. Tokens are compared in constant time, all of them each time. An address that offers too many wrong ones has to
     wait (failures.py); who is logged in does not notice. Nor does who offers a right one that is as long as 32 bytes
     in Base64: behind a proxy, and on this host, everybody has one address, and nobody guesses that.
  4. A cookie is a random name of a login that is kept here, for LOGIN_SECONDS at most and until the process ends; its
     changes carry the login's CSRF word in a header, which no other site can send.
  5. Every answer, whatever it is, has the headers of SECURITY_HEADERS; every refusal the form of envelope.py.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from rustun.config.web import WebConfig
from rustun.errors import RustunError
from rustun.logs import EventLog, describe_bug
from rustun.printable import printable, quoted
from rustun.web.door import CONNECTIONS, Connections
from rustun.web.envelope import Refusal
from rustun.web.failures import Failures

COOKIE: Final = "rustun_login"
CSRF_HEADER: Final = "X-Rustun-Csrf"
LOGIN_SECONDS: Final = 12 * 3600  # a working day
MAX_LOGINS: Final = 256  # of those who only read, the oldest has to log in again
UNGUESSABLE_CHARACTERS: Final = 43  # 32 bytes in Base64, as `rustun keygen --token` makes them
DESCRIPTION: Final = "/api/openapi.json"  # where an application has an API
MAX_BODY_BYTES: Final = 64 << 10  # a member's entry has some 500 bytes
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_CHALLENGE: Final = {"WWW-Authenticate": "Bearer"}


class Right(IntEnum):
    """What a route takes, and what a token gives."""

    NONE = 0
    READ = 1
    MANAGE = 2


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table of routes; `path` in aiohttp's spelling."""

    method: str
    path: str
    handler: Handler
    right: Right = Right.READ


@dataclass(frozen=True, slots=True)
class Login:
    """Who asks.

    Attributes:
        right: that the token gave.
        csrf: what changes have to carry; empty for a bearer token, which no browser sends by itself.
        ends_at: seconds of CLOCK_MONOTONIC; None for a bearer token.
    """

    right: Right
    csrf: str = ""
    ends_at: float | None = None


NOBODY: Final = Login(Right.NONE)
_WHO: Final = web.RequestKey("login", Login)


class Guard:
    """Judges requests.

    Args:
        config: tokens and names.
        log: told of wrong tokens.
        needs_token: without it whoever reaches this application may read, as if logged in (addresses of this host).
    """

    def __init__(
        self, config: WebConfig, log: EventLog, *, needs_token: bool = True, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._names = frozenset({"localhost", *(name.lower() for name in config.hosts)})
        self._tokens = tuple(
            (right, _digest(token.reveal()))
            for right, token in ((Right.READ, config.token), (Right.MANAGE, config.management_token))
            if token is not None
        )
        self._log = log
        self._least = NOBODY if needs_token else Login(Right.READ)
        self._now = now
        self._failures = Failures(now)
        self._logins: dict[str, Login] = {}  # by cookie, oldest first

    # --- the steps ---------------------------------------------------------------------------------------------------

    def judge(self, request: web.Request, takes: Right) -> None:
        """Let a request pass to a route, or not; who asks is known to `login_of` from then on. Raises: Refusal."""
        self._judge_host(request)
        self._judge_origin(request)
        login = self._who(request)
        request[_WHO] = login
        if login.right < takes:
            raise _lacking(login, takes)
        if login.csrf and takes > Right.NONE and request.method not in ("GET", "HEAD", "OPTIONS"):
            given = request.headers.get(CSRF_HEADER, "")
            if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), login.csrf.encode()):
                raise Refusal(403, f"the header {CSRF_HEADER} is missing or wrong", "load the page again")

    def _judge_host(self, request: web.Request) -> None:
        hosts = request.headers.getall("Host", [])
        name = _host_name(hosts[0]) if len(hosts) == 1 else ""
        own = request.transport.get_extra_info("sockname") if request.transport is not None else None
        if name and (name in self._names or (own and name == str(own[0]).partition("%")[0])):
            return
        remedy = "ask for its address, or add the name to [dashboard_config] hosts"
        raise Refusal(421, "this is not the name of this server", remedy)

    def _judge_origin(self, request: web.Request) -> None:
        origin = request.headers.get("Origin")
        if origin is None:
            return
        scheme, _, place = origin.lower().partition("://")
        same = scheme in ("http", "https") and place == request.headers["Host"].lower()
        named = scheme == "https" and _host_name(place) in self._names - {"localhost"}
        if not same and not named:
            raise Refusal(403, "the request comes from another site's page", "use the dashboard's own page")

    def _who(self, request: web.Request) -> Login:
        given = request.headers.get("Authorization")
        if given is not None:
            scheme, _, token = given.partition(" ")
            if scheme.lower() == "basic":  # what the seed's tools send
                token = _password(token)
            elif scheme.lower() != "bearer":
                raise Refusal(401, "only tokens are taken", "send Authorization: Bearer TOKEN", _CHALLENGE)
            return Login(self.right_of(request, token.strip()))
        login = self._logins.get(request.cookies.get(COOKIE, ""))
        if login is None or (login.ends_at is not None and login.ends_at <= self._now()):
            return self._least
        return login

    def right_of(self, request: web.Request, token: str) -> Right:
        """Return what a token gives. Raises: Refusal: it is wrong, or its sender has to wait."""
        sender = request.remote or ""
        digest = _digest(token)
        found = [right for right, known in self._tokens if hmac.compare_digest(digest, known)]  # all of them, always
        wait = self._failures.wait_seconds(sender)
        if wait > 0 and not (found and len(token) >= UNGUESSABLE_CHARACTERS):
            headers = {"Retry-After": str(int(wait) + 1)}
            raise Refusal(429, "too many wrong tokens from this address", f"try again in {int(wait) + 1} s", headers)
        if not found:
            self._failures.note(sender)
            self._log.event("warning", "web-wrong-token", "somebody offers a wrong token", remote=sender)
            remedy = "it stands in the file that [dashboard_config] token_file names"
            raise Refusal(401, "the token is wrong", remedy, _CHALLENGE)
        return max(found)

    # --- logins ------------------------------------------------------------------------------------------------------

    def log_in(self, request: web.Request, token: str) -> tuple[Login, str]:
        """Return a new login and its cookie. Raises: Refusal, as `right_of`."""
        right = self.right_of(request, token)
        now = self._now()
        gone = [name for name, login in self._logins.items() if login.ends_at is not None and login.ends_at <= now]
        for name in gone:
            del self._logins[name]
        while len(self._logins) >= MAX_LOGINS:
            del self._logins[min(self._logins, key=lambda one: self._logins[one].right)]  # min takes the first
        login, cookie = Login(right, secrets.token_urlsafe(32), now + LOGIN_SECONDS), secrets.token_urlsafe(32)
        self._logins[cookie] = login
        return login, cookie

    def log_out(self, request: web.Request) -> None:
        """End the login of a request's cookie, if there is one."""
        self._logins.pop(request.cookies.get(COOKIE, ""), None)

    def goes_on(self, login: Login) -> bool:
        """Return whether a login has not ended yet, by time or by `log_out`; a bearer token's never does."""
        if login.ends_at is None:
            return True
        return login.ends_at > self._now() and any(one is login for one in self._logins.values())

    def seconds_left(self, login: Login) -> float | None:
        """Return how long a login goes on, None for a bearer token."""
        return None if login.ends_at is None else max(0.0, login.ends_at - self._now())


def login_of(request: web.Request) -> Login:
    """Return who asks, as the guard found."""
    return request[_WHO]


def guarded(routes: Sequence[Route], guard: Guard, log: EventLog, connections: Connections) -> web.Application:
    """Return an application with these routes and nothing else, every one of them behind the guard."""
    rights: dict[web.AbstractRoute, Right] = {}
    paths = tuple(dict.fromkeys(route.path for route in routes))

    @web.middleware
    async def pass_guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        connections.note_request(request.transport)
        try:
            guard.judge(request, rights.get(request.match_info.route, Right.NONE))  # no route: its 404 needs no right
            return await handler(request)
        except Refusal as refusal:
            return refusal.response()
        except web.HTTPException as error:  # aiohttp's own: no such path, method, body too large
            return Refusal(error.status, *_in_words(error, request, paths), headers=_kept(error)).response()
        except RustunError as error:
            return Refusal(503, error.message, error.remedy).response()
        except ConnectionError:  # whoever asked has gone
            raise
        except Exception as error:  # noqa: BLE001 - one request's defect; the log says where
            log.event("error", "internal-error", f"a defect of rustun, please report it: {describe_bug(error)}")
            return Refusal(500, "an internal error", "it stands in the server's log").response()

    app = web.Application(middlewares=[pass_guard], client_max_size=MAX_BODY_BYTES)
    app.on_response_prepare.append(_add_headers)
    app[CONNECTIONS] = connections
    for route in routes:
        rights[app.router.add_route(route.method, route.path, route.handler)] = route.right
    return app


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["Server"] = "rustun"


def _in_words(error: web.HTTPException, request: web.Request, paths: Sequence[str]) -> tuple[str, str]:
    """Return what is wrong and what to do about it, of which aiohttp has a number; `paths` are all that are served."""
    if isinstance(error, web.HTTPNotFound):
        if DESCRIPTION in paths and request.path.startswith("/api/"):
            return f"the API has no path {quoted(request.path)}", f"GET {DESCRIPTION} describes all it has"
        return f"nothing is served at {quoted(request.path)}", f"begin at {'/' if '/' in paths else ' or '.join(paths)}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        taken = " or ".join(sorted(error.allowed_methods))
        return f"{printable(error.method)} is not taken at {quoted(request.path)}", f"it takes {taken}"
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return f"the body is over {MAX_BODY_BYTES:,} bytes long", "is this the right file?"
    return error.reason, ""


def _kept(error: web.HTTPException) -> dict[str, str]:
    return {name: value for name, value in error.headers.items() if name in ("Allow", "Location")}


def _lacking(login: Login, takes: Right) -> Refusal:
    if login.right is Right.NONE:
        remedy = "log in, or send Authorization: Bearer TOKEN"
        return Refusal(401, "this needs a token", remedy, _CHALLENGE)
    return Refusal(403, "this needs the management token", "see [dashboard_config] management_token_file")


def _host_name(host: str) -> str:
    """Return name or address of HOST[:PORT] in lower case, empty for what is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _password(credentials: str) -> str:
    """Return the password of HTTP Basic (RFC 7617), which stands for a token; whoever it names."""
    try:
        return b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _digest(token: str) -> bytes:
    """Return what is compared: of one length, whatever was sent."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
