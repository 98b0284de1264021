"""Tokens: how each kind is verified, and what each fault of one is answered with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from token_scene import ISSUER, SECRET, claims, described, issuing, pem, raw, signed

from gateway.config import ConfigError, IssuerSettings, UsernameClaim
from gateway.core.errors import GatewayError, PermissionDenied, Unauthenticated, Unavailable
from gateway.core.observer import SilentObserver
from gateway.core.principal import Principal
from gateway.core.roles import EVERYBODY
from gateway.core.secret import Secret
from gateway.server.auth import Accounts
from gateway.server.callers import GUEST, AccountsAndTokens, TokensAndGuests
from gateway.server.passwords import hash_password
from gateway.server.tokens import Tokens

RSA = rsa.generate_private_key(65537, 2048)
EC = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
ALICE = Principal(name="alice", roles=("system.user",), groups=("users",))
OTHER = "another secret that nobody was told about"

Load = Callable[..., Tokens]


@pytest.fixture
async def load() -> AsyncIterator[Load]:
    """Load tokens of one issuer, by default one with a shared secret."""
    loaded: list[Tokens] = []

    def make(**settings: object) -> Tokens:
        one = IssuerSettings(**({"issuer": ISSUER, "shared_secret": Secret(SECRET)} | settings))  # type: ignore[arg-type]
        loaded.append(Tokens.load({"one": one}, SilentObserver()))
        return loaded[-1]

    yield make
    for tokens in loaded:
        await tokens.close()


async def refused(tokens: Tokens, token: str) -> type[GatewayError]:
    with pytest.raises((PermissionDenied, Unauthenticated)) as caught:
        await TokensAndGuests(tokens).authenticate(f"bearer {token}")
    for told in (str(caught.value), repr(caught.value)):
        assert SECRET not in told
        assert not token or token not in told
    return caught.type


# --- algorithms ---


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_shared_secret(load: Load, algorithm: str) -> None:
    assert await load().principal(signed(algorithm)) == ALICE


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
async def test_rsa_key(load: Load, tmp_path: Path, algorithm: str) -> None:
    (tmp_path / "key.pem").write_bytes(pem(RSA))
    tokens = load(shared_secret=None, rsa_public_key=tmp_path / "key.pem")
    assert await tokens.principal(signed(algorithm, RSA)) == ALICE
    another = rsa.generate_private_key(65537, 2048)
    assert await refused(tokens, signed(algorithm, another)) is PermissionDenied


@pytest.mark.parametrize("algorithm", EC)
async def test_ec_key(load: Load, tmp_path: Path, algorithm: str) -> None:
    key = ec.generate_private_key(EC[algorithm])
    (tmp_path / "key.pem").write_bytes(pem(key))
    tokens = load(shared_secret=None, ec_public_key=tmp_path / "key.pem")
    assert await tokens.principal(signed(algorithm, key)) == ALICE
    assert await refused(tokens, signed(algorithm, ec.generate_private_key(EC[algorithm]))) is PermissionDenied


async def test_several_kinds_of_key_of_one_issuer(load: Load, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "rsa.pem").write_bytes(pem(RSA))
    (tmp_path / "ec.pem").write_bytes(pem(key))
    tokens = load(rsa_public_key=tmp_path / "rsa.pem", ec_public_key=tmp_path / "ec.pem")
    for algorithm, signer in (("HS256", SECRET), ("RS256", RSA), ("ES256", key)):
        assert await tokens.principal(signed(algorithm, signer)) == ALICE
    assert await refused(tokens, signed("PS256", RSA)) is PermissionDenied


async def test_alg_none(load: Load) -> None:
    for name in ("none", "None", "NONE", "", "nOnE"):
        for signature in (b"", b"x"):
            assert await refused(load(), raw({"alg": name, "typ": "JWT"}, claims(), signature)) is PermissionDenied


async def test_hs_signed_with_the_rsa_public_key(load: Load, tmp_path: Path) -> None:
    """The public key is no secret: a gateway that took it for one would believe everybody."""
    (tmp_path / "key.pem").write_bytes(pem(RSA))
    forged = _hmac_with(pem(RSA))
    assert await refused(load(shared_secret=None, rsa_public_key=tmp_path / "key.pem"), forged) is PermissionDenied
    assert await refused(load(rsa_public_key=tmp_path / "key.pem"), forged) is PermissionDenied


def _hmac_with(secret: bytes) -> str:
    """Sign as no library that knows better would."""
    unsigned = raw({"alg": "HS256", "typ": "JWT"}, claims()).rpartition(".")[0]
    signature = hmac.new(secret, unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def test_a_key_of_the_token_itself_is_not_believed(load: Load, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(pem(RSA))
    tokens = load(shared_secret=None, rsa_public_key=tmp_path / "key.pem")
    another = rsa.generate_private_key(65537, 2048)
    headers = {"jwk": described(another, "x"), "jku": "http://127.0.0.1:1/keys", "kid": "../../dev/null"}
    assert await refused(tokens, jwt.encode(claims(), another, algorithm="RS256", headers=headers)) is PermissionDenied


# --- the table of outcomes ---


async def test_no_header_is_a_guest(load: Load) -> None:
    door = TokensAndGuests(load())
    assert await door.authenticate(None) == await door.authenticate("") == GUEST
    assert (GUEST.name, GUEST.roles, GUEST.administrator) == ("", ("system.guest",), False)


async def test_the_scheme_is_compared_without_case(load: Load) -> None:
    for scheme in ("bearer", "Bearer", "BEARER"):
        assert await TokensAndGuests(load()).authenticate(f"{scheme} {signed()}") == ALICE


@pytest.mark.parametrize("header", ["Basic YTpi", "bearer", "token x", signed(), " ", "bearer  "])
async def test_a_header_that_is_no_bearer(load: Load, header: str) -> None:
    with pytest.raises(Unauthenticated):
        await TokensAndGuests(load()).authenticate(header)


HEADER = {"alg": "HS256", "typ": "JWT"}


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "..",
        "é.é.é",
        "\ud800.a.b",
        raw(b"[" * 9000, {}),
        raw(HEADER, b"[" * 9000),
        raw(HEADER, b"{" * 9000),
        raw(HEADER, []),
        raw(HEADER, b'{"iss": ' + b"9" * 6000 + b"}"),
        raw(HEADER, b"\xff"),
        raw([], claims()),
        raw({**HEADER, "kid": 7}, claims()),
        raw({**HEADER, "crit": ["exp"], "exp": 1}, claims()),
        raw(HEADER, claims(iss="")),
        raw(HEADER, claims(iss=None)),
        raw(HEADER, claims(iss=["openstorage.io"])),
        "a" * 40_000,
    ],
)
async def test_what_is_no_token_or_has_no_issuer(load: Load, token: str) -> None:
    assert await refused(load(), token) is Unauthenticated


async def test_an_issuer_that_is_not_configured(load: Load) -> None:
    assert await refused(load(), signed(iss="elsewhere")) is Unauthenticated


@pytest.mark.parametrize(
    "wrong",
    [
        {"exp": int(time.time()) - 3600},
        {"exp": int(time.time())},
        {"iat": int(time.time()) + 3600},
        {"nbf": int(time.time()) + 3600},
        {"exp": "soon"},
        {"exp": {}},
        {"iat": "x"},
        {"nbf": []},
        *({claim: None} for claim in ("sub", "exp", "iat", "name", "email")),
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\0"},
        {"sub": "a\ud800"},
        {"groups": ["a\ud800"]},
        {"roles": "system.admin"},
        {"roles": [7]},
        {"groups": "*"},
        {"groups": {"*": 1}},
        {"groups": ["a"] * 501},
    ],
    ids=",".join,
)
async def test_times_and_claims_that_do_not_hold(load: Load, wrong: dict[str, object]) -> None:
    assert await refused(load(), signed(**wrong)) is PermissionDenied


async def test_a_bad_signature(load: Load) -> None:
    good = signed()
    assert await refused(load(), signed(key=OTHER)) is PermissionDenied
    assert await refused(load(), good.rpartition(".")[0] + ".") is PermissionDenied
    forged = raw(HEADER, claims(groups=["*"])).rpartition(".")[0]
    assert await refused(load(), f"{forged}.{good.rpartition('.')[2]}") is PermissionDenied


async def test_a_far_expiry(load: Load) -> None:
    assert await load().principal(signed(exp=10**300)) == ALICE
    assert await refused(load(), raw(HEADER, b'{"iss": "openstorage.io", "exp": 1e999}')) is PermissionDenied


async def test_roles_and_groups_are_optional(load: Load) -> None:
    assert await load().principal(signed(roles=None, groups=None)) == Principal(name="alice", roles=())


@pytest.mark.parametrize(("claim", "name"), [("sub", "alice"), ("email", "alice@example.com"), ("name", "Alice Doe")])
async def test_the_claim_that_is_the_name(load: Load, claim: str, name: str) -> None:
    tokens = load(username_claim=UsernameClaim(claim))
    assert (await tokens.principal(signed())).name == name
    assert await refused(tokens, signed(**{claim: ""})) is PermissionDenied


async def test_no_issuer_means_no_authentication() -> None:
    tokens = Tokens.load({}, SilentObserver())
    for header in (None, "", "bearer nonsense", "Basic x"):
        assert await TokensAndGuests(tokens).authenticate(header) is EVERYBODY
    assert EVERYBODY.administrator
    await tokens.close()


# --- what is remembered ---


async def test_a_token_is_known_until_it_expires() -> None:
    now = [time.time()]
    settings = IssuerSettings(issuer=ISSUER, shared_secret=Secret(SECRET))
    tokens = Tokens.load({"one": settings}, SilentObserver(), wall=lambda: now[0])
    token = signed()
    first = await tokens.principal(token)
    assert await tokens.principal(token) is first
    now[0] += 601
    assert await tokens.principal(token) is not first
    await tokens.close()


async def test_a_reload_reads_the_key_files_again_and_forgets(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(RSA))
    tokens, token = load(shared_secret=None, rsa_public_key=file), signed("RS256", RSA)
    assert await tokens.principal(token) == ALICE
    file.write_bytes(b"nonsense")
    with pytest.raises(ConfigError):
        tokens.reload()
    assert await tokens.principal(token) == ALICE
    file.write_bytes(pem(rsa.generate_private_key(65537, 2048)))
    tokens.reload()
    assert await refused(tokens, token) is PermissionDenied


async def test_nothing_keeps_or_logs_a_token(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    tokens, token = load(), signed()
    await tokens.principal(token)
    await refused(tokens, signed(key=OTHER))
    kept = repr(vars(tokens)) + caplog.text
    for secret in (token, token.rpartition(".")[2], SECRET, OTHER):
        assert secret not in kept


# --- configuration ---


@pytest.mark.parametrize(
    ("content", "option"),
    [
        (b"nonsense", "rsa_public_key"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "rsa_public_key"),
        (pem(RSA), "ec_public_key"),
        (pem(rsa.generate_private_key(65537, 1024)), "rsa_public_key"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "ec_public_key"),
        (None, "ec_public_key"),
    ],
)
def test_key_files_that_cannot_be_used(tmp_path: Path, content: bytes | None, option: str) -> None:
    file = tmp_path / "key.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError):
        Tokens.load({"one": IssuerSettings(issuer=ISSUER, **{option: file})}, SilentObserver())  # type: ignore[arg-type]


def test_a_secret_that_can_be_guessed() -> None:
    with pytest.raises(ConfigError, match="32 or more") as caught:
        Tokens.load({"one": IssuerSettings(issuer=ISSUER, shared_secret=Secret("guessable"))}, SilentObserver())
    assert "guessable" not in str(caught.value)


async def test_a_secret_serves_what_it_is_long_enough_for(load: Load) -> None:
    short = "0123456789abcdef" * 2
    tokens = load(shared_secret=Secret(short))
    assert await tokens.principal(signed("HS256", short)) == ALICE
    with pytest.warns(UserWarning, match="below"):
        token = signed("HS512", short)
    assert await refused(tokens, token) is PermissionDenied


# --- the ONTAP door ---


async def test_the_ontap_door_takes_accounts_and_tokens_and_no_guests(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(f'[account.a]\npassword = "{hash_password("b", n=16, r=1, p=1)}"\nrole = "readonly"\n')
    accounts = Accounts.load(file)
    door = AccountsAndTokens(accounts, load())
    assert (await door.authenticate("Basic YTpi")).roles == ("system.view",)
    assert await door.authenticate(f"Bearer {signed()}") == ALICE
    for header in (None, "", f"Bearer {signed(exp=1)}", f"Bearer {signed(iss='x')}", "Bearer", f"Token {signed()}"):
        with pytest.raises(Unauthenticated):
            await door.authenticate(header)
    accounts.close()


async def test_the_ontap_door_without_issuers_knows_no_tokens(tmp_path: Path) -> None:
    file = tmp_path / "accounts.toml"
    file.write_text(f'[account.a]\npassword = "{hash_password("b", n=16, r=1, p=1)}"\nrole = "admin"\n')
    accounts, tokens = Accounts.load(file), Tokens.load({}, SilentObserver())
    with pytest.raises(Unauthenticated):
        await AccountsAndTokens(accounts, tokens).authenticate(f"Bearer {signed()}")
    accounts.close()
    await tokens.close()


# --- OpenID ---


async def test_openid_tokens_are_for_the_client(tmp_path: Path) -> None:
    async with issuing() as issuer:
        issuer.keys = [described(RSA, "k1")]
        for skip in (False, True):
            settings = IssuerSettings(issuer=issuer.url, client_id="gateway", skip_client_id_check=skip)
            tokens = Tokens.load({"idp": settings}, SilentObserver())
            mine = signed("RS256", RSA, kid="k1", iss=issuer.url, aud=["x", "gateway"])
            assert await tokens.principal(mine) == ALICE
            for aud in ("another", ["another"], None, 7):
                token = signed("RS256", RSA, kid="k1", iss=issuer.url, aud=aud)
                if skip:
                    assert await tokens.principal(token) == ALICE
                else:
                    assert await refused(tokens, token) is PermissionDenied
            await tokens.close()


async def test_openid_claims_in_a_name_space_count_first() -> None:
    async with issuing() as issuer:
        issuer.keys = [described(RSA, "k1")]
        settings = IssuerSettings(issuer=issuer.url, skip_client_id_check=True, claim_namespace="https://x/")
        tokens = Tokens.load({"idp": settings}, SilentObserver())
        more = {"https://x/roles": ["r"], "https://x/groups": ["g"]}
        token = signed("RS256", RSA, kid="k1", iss=issuer.url, **more)
        assert await tokens.principal(token) == Principal(name="alice", roles=("r",), groups=("g",))
        assert await tokens.principal(signed("RS256", RSA, kid="k1", iss=issuer.url)) == ALICE
        await tokens.close()


async def test_a_token_of_a_key_that_has_gone_is_forgotten() -> None:
    new, now = rsa.generate_private_key(65537, 2048), [1000.0]
    async with issuing() as issuer:
        issuer.keys = [described(RSA, "k1")]
        settings = IssuerSettings(issuer=issuer.url, skip_client_id_check=True)
        tokens = Tokens.load({"idp": settings}, SilentObserver(), clock=lambda: now[0])
        old = signed("RS256", RSA, kid="k1", iss=issuer.url)
        await tokens.principal(old)
        issuer.keys = [described(new, "k2")]
        now[0] += 11
        assert await tokens.principal(signed("RS256", new, kid="k2", iss=issuer.url)) == ALICE
        assert await refused(tokens, old) is PermissionDenied
        await tokens.close()


async def test_an_issuer_that_cannot_be_reached() -> None:
    async with issuing() as issuer:
        url = issuer.url
    tokens = Tokens.load({"idp": IssuerSettings(issuer=url, skip_client_id_check=True)}, SilentObserver())
    for _ in range(3):
        with pytest.raises(Unavailable):
            await tokens.principal(signed("RS256", RSA, iss=url))
    assert await refused(tokens, signed("HS256", iss=url)) is PermissionDenied
    await tokens.close()
