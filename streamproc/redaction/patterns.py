r"""The secrets that are known by their looks: one or more rows each, by the name that stands in the mask.

Leads and lengths are those that the services document or issue. A run is accepted from somewhat less than its real
length on; its rest is masked however long it is. Where a secret may hold a slash, `\/` and `\u002f` are read as one.
"""

from collections.abc import Mapping
from typing import Final

from streamproc.redaction.shapes import Lit, Run, Shape

__all__ = ["DEFAULT_PATTERNS", "PATTERNS", "PEM"]

PEM: Final = "pem"
"""The rest of a private key: up to the line that ends it."""

_WORD: Final = "A-Za-z0-9_-"
_ALNUM: Final = "A-Za-z0-9"
_BASE64: Final = "A-Za-z0-9+/="
_ESCAPED: Final = r"\\"  # in JSON a slash may be written with one
_SEPARATOR: Final = r"\s\"'\\:="
_USER: Final = r"^\s:/@\"'\\<>?#"
_PASSWORD: Final = r"^\s/@\"'\\<>?#"
_DOMAIN: Final = "A-Za-z0-9-"
_RANDOM: Final = "[a-z_-]{0,31}[A-Z0-9]"  # hyphenated words have neither


def _lead(name: str, lead: str, chars: str, least: int, most: int = 0, needs: str = "") -> Shape:
    """A secret that begins with a text of its own. Letters and digits after it go too: none may border on a mask."""
    return Shape(
        name=name,
        lead=(Lit(lead),),
        body=Run(chars, least, most or least),
        rest=chars if _ALNUM in chars else _ALNUM,
        needs=needs,
    )


def _after(name: str, lead: str, gap: Run | None, chars: str, least: int, most: int = 0, needs: str = "") -> Shape:
    """A secret that is known by what stands before it, which is shown."""
    body = Run(chars + _ESCAPED if "/" in chars else chars, least, most or least)
    parts = (Lit(lead, any_case=True),) if gap is None else (Lit(lead, any_case=True), gap)
    return Shape(name=name, lead=parts, shown=True, body=body, rest=chars, needs=needs, cut=False)


PATTERNS: Final[Mapping[str, tuple[Shape, ...]]] = {
    "anthropic_key": (_lead("anthropic_key", "sk-ant-", _WORD, 16),),
    "openai_key": (_lead("openai_key", "sk-", _WORD, 20, 32, needs=_RANDOM),),
    "github_token": (
        *(_lead("github_token", f"gh{kind}_", _ALNUM, 30) for kind in "pousr"),
        _lead("github_token", "github_pat_", "A-Za-z0-9_", 22),
    ),
    "gitlab_token": (_lead("gitlab_token", "glpat-", _WORD, 20),),
    "slack_token": (
        *(_lead("slack_token", f"xox{kind}-", "A-Za-z0-9.-", 12) for kind in "abeoprs"),
        _lead("slack_token", "xoxe.", "A-Za-z0-9.-", 12),
        _lead("slack_token", "xapp-", "A-Za-z0-9-", 12),
        _after("slack_token", "hooks.slack.com/services/", None, "A-Za-z0-9/", 12),
    ),
    "google_key": (
        _lead("google_key", "AIza", _WORD, 30),
        _lead("google_key", "ya29.", "A-Za-z0-9_.-", 20),
        _lead("google_key", "GOCSPX-", _WORD, 20),
    ),
    "stripe_key": (
        *(_lead("stripe_key", f"{kind}k_{mode}_", _ALNUM, 16) for kind in "sr" for mode in ("live", "test")),
        _lead("stripe_key", "whsec_", _BASE64, 16),
    ),
    "aws_access_key": tuple(_lead("aws_access_key", lead, "A-Z0-9", 16) for lead in ("AKIA", "ASIA", "ABIA", "ACCA")),
    "aws_secret_key": tuple(
        _after("aws_secret_key", lead, Run(_SEPARATOR, 1, 12), _BASE64, 30)
        for lead in ("secret_access_key", "secretaccesskey")
    ),
    "azure_key": tuple(
        _after("azure_key", f"{lead}=", None, f"{_BASE64}%", 20)
        for lead in ("accountkey", "sharedaccesskey", "sharedaccesssignature", "sig")
    ),
    "huggingface_token": (_lead("huggingface_token", "hf_", _ALNUM, 30),),
    "npm_token": (_lead("npm_token", "npm_", _ALNUM, 30),),
    "pypi_token": (_lead("pypi_token", "pypi-", _WORD, 30),),
    "private_key": (
        Shape(
            name="private_key",
            lead=(Lit("-----BEGIN "), Run("A-Z ", 0, 24, gives_back=True), Lit("PRIVATE KEY")),
            body=Run(" -", 1, 1),
            rest=PEM,
            border="none",
            cut=False,
        ),
    ),
    "jwt": (
        Shape(
            name="jwt",
            lead=(Lit("eyJ"), Run(_WORD, 8, 512), Lit(".")),
            body=Run(_WORD, 8, 8),
            rest="A-Za-z0-9_.-",
            cut=False,
        ),
    ),
    "bearer": (_after("bearer", "bearer", Run(r"\s", 1, 4), "A-Za-z0-9._~+/=-", 16),),
    "basic": (
        _after("basic", "basic", Run(r"\s", 1, 4), _BASE64, 12, 40, needs=r"[A-Za-z]{0,39}(?:[0-9+/=]|[a-z][A-Z])"),
    ),
    "url_password": tuple(
        Shape(
            name="url_password",
            lead=(Lit(lead), Run(_USER, 0, 64), Lit(":")),
            shown=True,
            body=Run(_PASSWORD, 1, 256),
            after="@",
            border="none",
            cut=False,
        )
        for lead in ("://", r":\/\/")
    ),
    "email": (
        Shape(
            name="email",
            lead=(Run("A-Za-z0-9._%+-", 1, 64), Lit("@"), Run(_DOMAIN, 1, 63), Lit(".")),
            body=Run(_ALNUM, 2, 2),
            rest="A-Za-z0-9.-",
            cut=False,
        ),
    ),
}
"""Name -> how such a secret is spelled. What can be read in two ways is what stands first."""

DEFAULT_PATTERNS: Final = tuple(name for name in PATTERNS if name != "email")
