"""Cases of signed requests, which are made as whoever gets them makes them: by plain HTTP."""
# ruff: noqa: D102 - a case says what it shows by its name

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.core.backend import EXPIRES_MAX_S, SignAction, SignedRequest, SignRequest
from gateway.core.errors import GatewayError, InvalidArgument, InvalidState, LimitExceeded, NotFound
from gateway.core.model import utc_now
from gateway.testing.backends.clones import cloned
from gateway.testing.backends.harness import Harness, needs
from gateway.testing.backends.snapshots import taken

_PART = 5 << 20


def _plain() -> httpx.AsyncClient:
    """Give somebody who has no keys. No test shows a certificate, and trusting those of the system takes its time."""
    return httpx.AsyncClient(verify=False, trust_env=False)  # noqa: S501


async def ask(request: SignedRequest, body: bytes | None = None, **headers: str) -> httpx.Response:
    """Make a signed request."""
    sent: Mapping[str, str] = {**request.headers, **headers}
    async with _plain() as client:
        return await client.request(request.method, request.url, headers=sent, content=body)


async def signed(harness: Harness, volume: UUID, action: SignAction, key: str, **more: object) -> SignedRequest:
    """Sign a request for an object of a volume."""
    request = SignRequest(action=action, key=key, **more)  # type: ignore[arg-type]
    return await harness.backend.sign(volume, None, request)


class ObjectCases:
    """Sign, and list."""

    @needs("sign")
    async def test_a_signed_request_does_what_it_says(self, harness: Harness) -> None:
        volume, data = await harness.volume(), os.urandom(10_000)
        key = "deep/er/Grüße 漢字 +%?#&=.bin"
        put = await signed(harness, volume, SignAction.PUT, key, size=len(data), content_type="text/x-test")
        assert (await ask(put, data)).is_success
        answer = await ask(await signed(harness, volume, SignAction.GET, key))
        assert (answer.content, answer.headers["content-type"]) == (data, "text/x-test")
        assert (await ask(await signed(harness, volume, SignAction.DELETE, key))).is_success
        assert await harness.held(volume) == {}
        wanted = await signed(harness, volume, SignAction.GET, key, expires_s=60)
        assert 0 < (wanted.expires - utc_now()).total_seconds() <= 60
        assert (await ask(wanted)).status_code == httpx.codes.NOT_FOUND

    @needs("sign")
    async def test_an_object_is_written_in_parts(self, harness: Harness) -> None:
        volume, parts = await harness.volume(), (os.urandom(_PART), b"the end")
        begun = await ask(await signed(harness, volume, SignAction.MULTIPART_START, "big"))
        upload = re.findall(r"<UploadId>(.*?)</UploadId>", begun.text)[0]
        tags = []
        for number, part in enumerate(parts, 1):
            request = await signed(
                harness, volume, SignAction.MULTIPART_PART, "big", upload=upload, part=number, size=len(part)
            )
            tags.append((await ask(request, part)).raise_for_status().headers["etag"])
        assert await harness.held(volume) == {}
        said = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>" for number, tag in enumerate(tags, 1)
        )
        end = await signed(harness, volume, SignAction.MULTIPART_COMPLETE, "big", upload=upload)
        whole = f"<CompleteMultipartUpload>{said}</CompleteMultipartUpload>".encode()
        (await ask(end, whole, **{"Content-Type": "application/xml"})).raise_for_status()
        snapshot = await taken(harness, volume)
        assert await harness.held(volume, snapshot) == {"big": b"".join(parts)}

    @needs("sign")
    async def test_an_upload_in_parts_is_given_up(self, harness: Harness) -> None:
        volume = await harness.volume()
        begun = await ask(await signed(harness, volume, SignAction.MULTIPART_START, "big"))
        upload = re.findall(r"<UploadId>(.*?)</UploadId>", begun.text)[0]
        (await ask(await signed(harness, volume, SignAction.MULTIPART_ABORT, "big", upload=upload))).raise_for_status()
        part = await signed(harness, volume, SignAction.MULTIPART_PART, "big", upload=upload, part=1)
        assert (await ask(part, b"late")).is_client_error

    @needs("sign")
    async def test_what_is_longer_than_signed_is_refused(self, harness: Harness) -> None:
        volume = await harness.volume()
        request = await signed(harness, volume, SignAction.PUT, "a", size=3)
        assert (await ask(request, b"four", **{"Content-Length": "4"})).is_client_error
        assert await harness.held(volume) == {}
        assert (await ask(request, b"two")).is_success

    @needs("sign")
    async def test_a_request_for_another_object_is_not_signed(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha", b=b"beta")
        request = await signed(harness, volume, SignAction.GET, "a")
        path, _, rest = request.url.partition("?")
        async with _plain() as client:
            assert (await client.get(f"{path[:-1]}b?{rest}")).status_code == httpx.codes.FORBIDDEN
            assert (await client.put(request.url, content=b"x")).status_code == httpx.codes.FORBIDDEN
            assert (await client.get(path)).status_code == httpx.codes.FORBIDDEN

    @needs("sign", "snapshot")
    async def test_objects_come_in_order_and_from_where_they_are_asked_for(self, harness: Harness) -> None:
        names = ["a", "b/1", "b/2", "b/ä", "b0", "c", "漢"]
        volume = await harness.volume(**{name: name.encode() for name in names})
        snapshot = await taken(harness, volume)
        await harness.write(volume, **{"b/3": b"later"})
        await harness.remove(volume, "a")
        for of, there in ((snapshot, names), (None, sorted([*names[1:], "b/3"]))):
            for prefix in ("", "b", "b/", "c", "d"):
                for after in ("", "a", "b/1", "b/9", "漢"):
                    found = [each async for each in harness.backend.objects(volume, of, prefix=prefix, after=after)]
                    wanted = [name for name in there if name.startswith(prefix) and name > after]
                    assert [each.key for each in found] == wanted, (of, prefix, after)
                    assert all(each.size == len(each.key.encode()) for each in found if each.key != "b/3")

    @needs("sign", "snapshot", "clone")
    async def test_only_what_is_there_is_signed_for_reading(self, harness: Harness) -> None:
        volume = await harness.volume(a=b"alpha", b=b"beta")
        snapshot = await taken(harness, volume)
        clone = await cloned(harness, volume, snapshot)
        await harness.remove(clone.id, "a")
        await harness.write(volume, c=b"later")
        for of, key in ((snapshot, "c"), (snapshot, ""), (None, "../b"), (None, "x/./y")):
            with pytest.raises((NotFound, InvalidArgument)):
                await harness.backend.sign(volume, of, SignRequest(action=SignAction.GET, key=key))
        for key in ("a", "c"):
            with pytest.raises(NotFound):
                await signed(harness, clone.id, SignAction.GET, key)
        with pytest.raises(NotFound):
            await signed(harness, uuid4(), SignAction.PUT, "a")
        for action in set(SignAction) - {SignAction.GET}:
            with pytest.raises(InvalidState):
                await harness.backend.sign(volume, snapshot, SignRequest(action=action, key="a", upload="u", part=1))

    @needs("sign")
    async def test_what_cannot_be_signed_is_refused(self, harness: Harness) -> None:
        volume = await harness.volume()
        for more in ({"expires_s": 0}, {"expires_s": EXPIRES_MAX_S + 1}, {"size": -1}, {"size": 1 << 50}):
            with pytest.raises(LimitExceeded):
                await signed(harness, volume, SignAction.PUT, "a", **more)
        for key in ("k" * 1025, "ä" * 513):
            with pytest.raises(LimitExceeded):
                await signed(harness, volume, SignAction.PUT, key)
        for part in (0, 10_001):
            with pytest.raises(GatewayError):
                await signed(harness, volume, SignAction.MULTIPART_PART, "a", upload="u", part=part)
        with pytest.raises(InvalidArgument):
            await signed(harness, volume, SignAction.MULTIPART_COMPLETE, "a")
