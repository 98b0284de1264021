"""Users and their roles, by the modules of netapp.ontap; and a playbook that is run by one of them."""

from __future__ import annotations

import pytest
from ansible_scene import Results, Step, begin, end, once, play

from gateway.testing.live import live_gateway

pytestmark = pytest.mark.timeout(900)

PASSWORD = "a passphrase of 23 letters"
VOLUMES = {"path": "/api/storage/volumes", "access": "readonly"}
CLUSTER = {"path": "/api/cluster", "access": "readonly"}
ROLE = {"name": "looker", "privileges": [VOLUMES, CLUSTER]}
USER = {
    "name": "carl",
    "application_dicts": [{"application": "http", "authentication_methods": ["password"]}],
    "role_name": "looker",
}
AS_CARL = {"username": "carl", "password": PASSWORD}
LOOK = {"gather_subset": ["storage/volumes"]}

STEPS: tuple[Step, ...] = (
    *begin("user_role", ROLE, {"privileges": [{**VOLUMES, "access": "read_modify"}, CLUSTER]}),
    *begin("user", {**USER, "set_password": PASSWORD}),
    once("carl looks", "rest_info", {**LOOK, **AS_CARL}),
    once(
        "carl makes",
        "restit",
        {"api": "svm/svms", "method": "POST", "body": {"name": "x"}, **AS_CARL},
        refused="not authorized",
    ),
    once("user: lock", "user", {**USER, "lock_user": True}, changed=True),
    once("user: lock again", "user", {**USER, "lock_user": True}),
    once("carl is locked out", "rest_info", {**LOOK, **AS_CARL}, refused="User is not authorized"),
    *end("user", {"name": "carl"}),
    *end("user_role", {"name": "looker"}),
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("rights")
    with live_gateway(folder / "gateway", tls=True) as gateway:
        return play(gateway, STEPS, folder / "play")


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_step(results: Results, step: Step) -> None:
    step.verify(results[step.name])
