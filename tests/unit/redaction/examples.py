"""A secret of each built-in pattern, made up, with what is around it; and what looks like one and is none."""

from typing import Final

from msgspec import Struct

RANDOM: Final = "aB3dE5gH7jK9mN1pQ4sT6vW8xYz0aC2bD4eF6gH8kL3mP5"


class Canary(Struct, frozen=True):
    """A secret in its context.

    Attributes:
        name: of the pattern.
        before, after: what stays visible.
    """

    name: str
    secret: str
    before: str = ""
    after: str = ""

    @property
    def text(self) -> str:
        return f"{self.before}{self.secret}{self.after}"

    @property
    def shown(self) -> str:
        return f"{self.before}[redacted:{self.name}]{self.after}"


CANARIES: Final = {
    "openai": Canary("openai_key", f"sk-{RANDOM}"),
    "openai, of a project": Canary("openai_key", f"sk-proj-{RANDOM[:12]}_{RANDOM}"),
    "anthropic": Canary("anthropic_key", f"sk-ant-api03-{RANDOM}"),
    "github": Canary("github_token", f"ghp_{RANDOM[:36]}"),
    "github, fine-grained": Canary("github_token", f"github_pat_{RANDOM[:22]}_{RANDOM}"),
    "gitlab": Canary("gitlab_token", f"glpat-{RANDOM[:20]}"),
    "slack": Canary("slack_token", f"xoxb-123456789012-{RANDOM[:24]}"),
    "slack, rotated": Canary("slack_token", f"xoxe.xoxp-1-{RANDOM}"),
    "slack, of an app": Canary("slack_token", f"xapp-1-A12345678-{RANDOM[:30]}"),
    "slack, webhook": Canary("slack_token", f"T0123/B4567/{RANDOM[:24]}", "https://hooks.slack.com/services/", " ."),
    "google": Canary("google_key", f"AIza{RANDOM[:35]}"),
    "google, access": Canary("google_key", f"ya29.{RANDOM}"),
    "google, client": Canary("google_key", f"GOCSPX-{RANDOM[:28]}"),
    "stripe": Canary("stripe_key", f"sk_live_{RANDOM[:24]}"),
    "stripe, webhook": Canary("stripe_key", f"whsec_{RANDOM[:20]}+/{RANDOM[:10]}="),
    "aws": Canary("aws_access_key", f"AKIA{RANDOM.upper()[:16]}"),
    "aws, secret": Canary(
        "aws_secret_key", f"{RANDOM[:20]}/+{RANDOM[:18]}", "aws_secret_access_key = ", "\nregion = x"
    ),
    "azure, storage": Canary("azure_key", f"{RANDOM}{RANDOM[:38]}==", "x;SharedAccessKey=", ";EndpointSuffix=x"),
    "azure, signature": Canary("azure_key", f"{RANDOM[:40]}%2B%3D", "https://x.blob/c?sv=1&sig=", "&se=2"),
    "huggingface": Canary("huggingface_token", f"hf_{RANDOM[:34]}"),
    "npm": Canary("npm_token", f"npm_{RANDOM[:36]}"),
    "pypi": Canary("pypi_token", f"pypi-{RANDOM}{RANDOM}"),
    "pem": Canary(
        "private_key",
        f"-----BEGIN RSA PRIVATE KEY-----\nMIIE{RANDOM}\n{RANDOM}\n-----END RSA PRIVATE KEY-----",
        after="\nand more",
    ),
    "pem, of google, in JSON": Canary(
        "private_key",
        rf"-----BEGIN PRIVATE KEY-----\nMIIE{RANDOM}\n{RANDOM}=\n-----END PRIVATE KEY-----",
        '{"data": "',
        r'\n", "n": 1}',
    ),
    "jwt": Canary("jwt", f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{RANDOM}"),
    "bearer": Canary("bearer", f"{RANDOM}.~+/=", "curl -H 'X-Auth: Bearer ", "' x"),
    "basic": Canary("basic", "dXNlcjpodW50ZXIyMjI=", "X-Auth: Basic ", " x"),
    "url": Canary("url_password", "hunter22:x%40y", "postgres://app:", "@db.example:5432/app"),
    "url, in JSON": Canary("url_password", "hunter22x", r'{"u": "amqp:\/\/app:', r'@mq\/"}'),
    "key": Canary("key", r"hunter22\"x\\", '{"a": 1, "Db-Password": "', '", "b": 2}'),
    "key, in JSON in JSON": Canary("key", r"hunter22\\\"x", r'{"x": "{\"password\": \"', r'\", \"b\": 2}"}'),
    "key, a setting": Canary("key", "hunter22x", "export DB_PASSWORD=", " next"),
    "key, in code": Canary("key", "hunter22x", "apiKey = '", "'\nnext"),
}
"""The last ones are told by the names of members."""

INNOCENT: Final = (
    "a task-force for disk-usage-of-the-whole-department, sk-learn and sk-circle-fade-dot-delay-in-css",
    "Basic understanding of bearer bonds, basic JavaScript",
    "the secret: be kind. A token is a token; password: none",
    'and "secret": null, "token": true, "monkeypassword": "x", "max_tokens": 12',
    "http://localhost:8080/a?b=c http://[::1]:80/ ftp://a.b/c:d@e",
    "eyJ is how it begins, AKIA too, ghp_ and xoxb- and AIza, npm_config_registry_of_mine",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b, uuid 123e4567-e89b-12d3-a456-426614174000",
    "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
    "a@b.example and call_abc123, step_1, run_AKIAx",
)


def pieces(secret: str, size: int = 8) -> set[str]:
    """All runs of so many characters of a secret."""
    return {secret[at : at + size] for at in range(max(1, len(secret) - size + 1))}
