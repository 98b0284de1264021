"""Whose tokens are accepted: the rules of the reference as they were observed, for the door and for services."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from ls_door_scene import KEY, token

from gateway.core.secret import Secret
from gateway.frontends.libstorage.auth import Auth
from gateway.frontends.libstorage.errors import LsError
from gateway.frontends.libstorage.settings import Algorithm, LibstorageAuth, LibstorageOptions, ServiceOptions

OTHER_KEY = "another secret that is long enough for it"
SECRET = Secret(KEY)


NOBODY = LibstorageAuth()


def auth(door: LibstorageAuth = NOBODY, **services: LibstorageAuth | None) -> Auth:
    chosen = {name: ServiceOptions(pool="p", auth=own) for name, own in services.items()}
    return Auth(LibstorageOptions(auth=door, service=chosen))


def let_in(auth: Auth, text: str | None, *services: str) -> str | None:
    """Give the subject as the door and the services let it in."""
    return auth.use(auth.enter(None if text is None else f"Bearer {text}"), services)


def kept_out(auth: Auth, text: str | None, *services: str) -> None:
    with pytest.raises(LsError) as caught:
        let_in(auth, text, *services)
    told = caught.value.body()
    assert (told.status, told.message, told.error) == (401, "invalid security token", "invalid security token")


ONLY_AKUTZ = LibstorageAuth(key=SECRET, allow=("akutz",))


def test_without_lists_nobody_is_asked() -> None:
    assert let_in(auth(), None, "a") is None
    assert let_in(auth(LibstorageAuth(key=SECRET)), "nonsense", "a") is None
    assert not auth().asks(["a"])


def test_who_is_allowed_comes_in_whatever_the_case() -> None:
    asking = auth(LibstorageAuth(key=SECRET, allow=("AKutz", "bob")))
    assert let_in(asking, token("akutz")) == "akutz"
    assert let_in(asking, token("BOB")) == "BOB"
    kept_out(asking, token("eve"))
    kept_out(asking, None)
    assert asking.asks(["any"])


def test_denial_counts_before_leave() -> None:
    asking = auth(LibstorageAuth(key=SECRET, allow=("akutz", "bob"), deny=("BOB",)))
    assert let_in(asking, token("akutz")) == "akutz"
    kept_out(asking, token("bob"))


def test_denial_alone_keeps_everybody_out() -> None:
    kept_out(auth(LibstorageAuth(key=SECRET, deny=("bob",))), token("akutz"))


@pytest.mark.parametrize("claim", ["sub", "iat", "exp", "nbf"])
def test_every_claim_must_be_there(claim: str) -> None:
    kept_out(
        auth(ONLY_AKUTZ), token(**{claim: None} if claim != "sub" else {}, subject=None if claim == "sub" else "akutz")
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 0},
        {"exp": 1_500_000_000},
        {"nbf": 2**33},
        {"exp": "never"},
        {"exp": 1e400},
        {"iat": "today"},
        {"iat": True},
        {"iat": []},
    ],
    ids=str,
)
def test_times_are_numbers_and_hold_now(claims: dict[str, Any]) -> None:
    kept_out(auth(ONLY_AKUTZ), token(**claims))


def test_other_claims_mean_nothing() -> None:
    told = token(aud="somebody else", iss="anybody", iat=int(time.time()) + 3600, roles=["none"])
    assert let_in(auth(ONLY_AKUTZ), told) == "akutz"


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer a.b.c", "Bearer x", f"bearer {token()}", f"Basic {token()}", token()],
)
def test_what_is_no_bearer_of_a_token_is_refused(header: str) -> None:
    with pytest.raises(LsError, match="invalid security token"):
        auth(ONLY_AKUTZ).enter(header)


def test_the_word_bearer_counts_in_its_case_and_the_token_as_it_is() -> None:
    asking = auth(ONLY_AKUTZ)
    assert asking.enter(f"Bearer {token()}").subject == "akutz"
    for header in (f"BEARER {token()}", f"Bearer  {token()}", f"Bearer {token()} ", f"Bearer {token()}x"):
        with pytest.raises(LsError):
            asking.enter(header)


def test_a_token_that_is_too_long_is_not_looked_at() -> None:
    assert let_in(auth(ONLY_AKUTZ), token(more="x" * 20_000)) == "akutz"
    kept_out(auth(ONLY_AKUTZ), token(more="x" * 40_000))


def test_signature_and_algorithm_must_be_the_configured_ones() -> None:
    kept_out(auth(ONLY_AKUTZ), token(key=OTHER_KEY))
    kept_out(auth(ONLY_AKUTZ), token(key=KEY * 2, algorithm="HS512"))
    long = LibstorageAuth(key=Secret(KEY * 2), alg=Algorithm.HS512, allow=("akutz",))
    assert let_in(auth(long), token(key=KEY * 2, algorithm="HS512")) == "akutz"
    kept_out(auth(long), token(key=KEY * 2))
    unsigned = jwt.encode({"sub": "akutz", "iat": 1, "nbf": 1, "exp": 2**32}, None, algorithm="none")
    kept_out(auth(ONLY_AKUTZ), unsigned)


def pem(private: Any) -> tuple[str, str]:
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(), public


RSA_KEYS = pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))
CURVES: dict[str, Any] = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


@pytest.mark.parametrize("algorithm", [each for each in Algorithm if not each.startswith("HS")])
def test_public_keys_verify(algorithm: Algorithm) -> None:
    private, public = pem(ec.generate_private_key(CURVES[algorithm])) if algorithm in CURVES else RSA_KEYS
    asking = auth(LibstorageAuth(key=Secret(public), alg=algorithm, allow=("akutz",)))
    assert let_in(asking, token(key=private, algorithm=algorithm)) == "akutz"
    # The public key is no secret: nobody may sign with it as if it were one.
    kept_out(asking, token(key=KEY))


@pytest.mark.parametrize(
    ("door", "why"),
    [
        (LibstorageAuth(allow=("a",)), "auth: subjects are listed, but no key"),
        (LibstorageAuth(key=Secret("short"), allow=("a",)), "auth.key: has 5 bytes; HS256 needs 32 or more"),
        (LibstorageAuth(key=SECRET, alg=Algorithm.HS512, deny=("a",)), "auth.key: has 44 bytes; HS512 needs 64"),
        (LibstorageAuth(key=SECRET, alg=Algorithm.RS256, allow=("a",)), "is no public key in PEM"),
        (LibstorageAuth(key=Secret(RSA_KEYS[1]), alg=Algorithm.ES256, allow=("a",)), "is no public key in PEM"),
        (LibstorageAuth(key=Secret(RSA_KEYS[0]), alg=Algorithm.RS256, allow=("a",)), "is no public key in PEM"),
        (LibstorageAuth(key=Secret(RSA_KEYS[1]), allow=("a",)), "cannot be a secret for HS256"),
        (LibstorageAuth(key=Secret(RSA_KEYS[0]), alg=Algorithm.HS512, allow=("a",)), "cannot be a secret for HS512"),
        (LibstorageAuth(key=SECRET, allow=("eyJhbGciOi.x.y",)), "auth.allow: has a token that cannot be read"),
        (LibstorageAuth(key=SECRET, deny=(token(subject=None),)), "auth.deny: has a token without a subject"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_verified_with_is_told_at_once(door: LibstorageAuth, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace(".", r"\.")):
        auth(door)


def test_entries_may_be_tokens_of_which_the_subject_counts() -> None:
    entries = (token("akutz", key=OTHER_KEY, exp=0), f"somebody:{token('Bob')}", "name:with:colons")
    asking = auth(LibstorageAuth(key=SECRET, allow=entries))
    for subject in ("akutz", "bob", "name:with:colons"):
        assert let_in(asking, token(subject)) == subject
    kept_out(asking, token("somebody"))


# --- services ---


def test_a_service_says_only_what_differs() -> None:
    asking = auth(LibstorageAuth(key=SECRET, allow=("akutz", "bob")), Closed=LibstorageAuth(deny=("bob",)), open=None)
    assert let_in(asking, token("akutz"), "closed", "open") == "akutz"
    assert let_in(asking, token("bob"), "open") == "bob"
    kept_out(asking, token("bob"), "closed")
    kept_out(asking, token("bob"), "open", "closed")


def test_a_key_of_its_own_counts_only_where_the_door_asks_for_none() -> None:
    own = LibstorageAuth(key=Secret(OTHER_KEY), allow=("akutz",))
    alone = auth(closed=own, open=None)
    assert let_in(alone, token(key=OTHER_KEY), "closed") == "akutz"
    kept_out(alone, token(), "closed")
    kept_out(alone, None, "closed")
    assert let_in(alone, None, "open") is None
    below = auth(ONLY_AKUTZ, closed=own)
    assert let_in(below, token(), "closed") == "akutz"
    kept_out(below, token(key=OTHER_KEY), "closed")


def test_a_service_takes_the_doors_key_also_where_the_door_does_not_ask() -> None:
    asking = auth(LibstorageAuth(key=SECRET), closed=LibstorageAuth(allow=("akutz",)))
    assert let_in(asking, None) is None
    assert let_in(asking, token(), "closed") == "akutz"
    kept_out(asking, token("eve"), "closed")


def test_several_services_must_all_let_in() -> None:
    mine = LibstorageAuth(key=SECRET, allow=("akutz",))
    yours = LibstorageAuth(key=SECRET, allow=("akutz", "bob"))
    asking = auth(mine=mine, yours=yours, open=None)
    assert let_in(asking, token("akutz"), "mine", "yours", "open") == "akutz"
    assert let_in(asking, token("bob"), "yours", "open") == "bob"
    kept_out(asking, token("bob"), "mine", "yours", "open")
    assert asking.asks(["mine", "yours"])
    assert not asking.asks(["mine", "yours", "open"])
