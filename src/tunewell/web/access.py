"""Who may look: a token per start in a file that only its owner reads, one-time links, and cookies made of them."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

import msgspec

from tunewell.problems import Problem, RunError
from tunewell.runs.disk import in_words

LINK_SECONDS = 12 * 3600
"""How long a link that nobody opened stays good: a run begun in the evening is looked at in the morning."""
_MOST_SESSIONS = 200
_LEAST_TOKEN = 22  # characters of 128 bits in base64


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """A server that runs: what another command of the same person needs to reach it."""

    pid: int
    host: str
    port: int
    root: str
    token: str
    started: float

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class Access:
    """The keys of one server: its token, the links that wait to be opened, and the sessions opened by them."""

    def __init__(self, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(32)
        self._links: dict[str, float] = {}
        self._sessions: dict[str, None] = {}

    def link_code(self) -> str:
        """Return the code of a new one-time link."""
        now = time.monotonic()
        self._links = {code: until for code, until in self._links.items() if until > now}
        code = secrets.token_urlsafe(24)
        self._links[code] = now + LINK_SECONDS
        return code

    def open(self, code: str) -> str | None:
        """Use up `code` and return the session's secret for a cookie; None: it is unknown, used or too old."""
        known = next((one for one in self._links if _same(one, code)), None)
        if known is None or self._links.pop(known) < time.monotonic():
            return None
        session = secrets.token_urlsafe(32)
        self._sessions[session] = None
        while len(self._sessions) > _MOST_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        return session

    def is_session(self, secret: str) -> bool:
        """Whether a cookie of this server holds `secret`."""
        return any(_same(one, secret) for one in self._sessions)

    def is_token(self, token: str) -> bool:
        """Whether `token` is this server's."""
        return _same(self.token, token)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "surrogateescape"))


def state_folder() -> Path:
    """Return the folder, open to its owner alone, in which servers leave word of themselves."""
    chosen = os.environ.get("TUNEWELL_STATE")
    if chosen:
        folder = Path(chosen)
    else:
        from platformdirs import user_state_path

        folder = user_state_path("tunewell") / "servers"
    with in_words("make the folder of the server's token", folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    return folder


def serving_file(root: Path) -> Path:
    """Return the file in which the server of `root` leaves word of itself."""
    name = hashlib.blake2b(os.fsencode(root.resolve()), digest_size=8).hexdigest()
    return state_folder() / f"{name}.json"


def tell(serving: Serving) -> Path:
    """Leave word of a server, readable by its owner alone, and return the file."""
    path = serving_file(Path(serving.root))
    temporary = path.with_suffix(f".{os.getpid()}")
    with in_words("write the server's token", path):
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(serving))
        temporary.replace(path)
    return path


def untell(serving: Serving) -> None:
    """Take back what `tell` left, unless another server has left its own since."""
    if told(Path(serving.root)) == serving:
        serving_file(Path(serving.root)).unlink(missing_ok=True)


def told(root: Path) -> Serving | None:
    """Return what a server of `root` left, whether it still runs or not; None: nothing that can be understood."""
    try:
        return msgspec.json.decode(serving_file(root).read_bytes(), type=Serving)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def token_of_file(path: Path) -> str:
    """Return the token in `path`, made there when there is no such file; refuses one that others may read."""
    with in_words("read the token file", path):
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32) + "\n")
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise RunError(
                Problem(
                    "run", "others may read the token file", str(path), field="--token-file",
                    fix=f"close it to them: chmod 600 {path}",
                )
            )  # fmt: skip
        token = path.read_text(encoding="utf-8").strip()
    if len(token) < _LEAST_TOKEN or not token.isascii() or any(char.isspace() for char in token):
        what = f"the token has fewer than {_LEAST_TOKEN} plain characters"
        fix = "delete the file and a new token is made, or put one from `openssl rand -hex 16` into it"
        raise RunError(Problem("run", what, str(path), field="--token-file", fix=fix))
    return token
