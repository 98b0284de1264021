from __future__ import annotations

from gateway.client.flows import Listing
from gateway.client.records import Ref


def every() -> Listing[Ref]:
    """Ask for every tenant (ONTAP's SVM)."""
    return Listing(path="/api/svm/svms", kind=Ref, query=(("fields", "uuid,name"),))
