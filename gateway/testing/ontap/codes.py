"""Error codes: what the door can answer, what is known to be documented, and why some of that is never answered."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path

_CODE = re.compile(r'"([0-9]{1,9})"')
_NO_CODES = frozenset({"openapi.py"})
"""Modules whose numbers are statuses."""


def said() -> frozenset[str]:
    """Give the codes that the door's own sources hold."""
    return in_sources(Path(str(files("gateway.frontends.ontap_rest"))))


def in_sources(folder: Path) -> frozenset[str]:
    """Give every text of digits alone in the modules of a folder."""
    return frozenset(
        code
        for place in folder.rglob("*.py")
        if place.name not in _NO_CODES
        for code in _CODE.findall(place.read_text())
    )


def unsaid() -> Mapping[str, Collection[str]]:
    """Give the documented codes that the door never answers, by the reason."""
    known = said()
    found = {why: [code for code in codes.split() if code not in known] for why, codes in DOCUMENTED.items()}
    return {why: codes for why, codes in found.items() if codes}


UNPROVOKED: Mapping[str, str] = {
    "262160": "too many requests at once are refused below the dialect, which load tests see as 503",
    "262293": "a batch of a test is over before anybody can ask for its results",
    "458771": "a job of a test is over before anybody can resume it",
    "458783": "a job of a test is over before anybody can pause it",
    "458784": "a job of a test is over before anybody can cancel it",
    "65541": "a backend that does not answer in time; the pure table is tested",
    "65552": "a pool that is away; the pure table is tested",
    "4653058": "needs a gateway that other gateways may reach",
    "4653075": "needs two other gateways",
    "4653076": "needs another gateway, with which there is an agreement",
    "4653368": "needs a gateway that other gateways may reach",
    "5242881": "needs a volume that follows another one",
    "5242897": "needs a volume that follows another one",
    "5636096": "an account without a password is one of a certificate",
    "26345576": "needs an SVM of another gateway",
    "26345577": "needs an SVM of another gateway",
    "6620649": "the code of a transfer that failed, shown in a record and never a refusal",
    "6619715": "a relationship that another change holds just now",
    "786439": "pools are configuration, so nobody can name a new one",
    "13303875": "only a pool that is full has no room for a destination",
    "13303918": "needs a gateway whose every pool is unable",
}
"""What the door can answer and no test asks for."""

DOCUMENTED: Mapping[str, str] = {
    "another code says it more precisely": (
        "65562 262177 262185 262203 262222 262247 262201 8586226 13434920 542797 917505 917506 918235 13434884 "
        "13434911 458788 524508 1638554 1704050 1704071 13303819 13303825 6619720 13303811 13303820 3277083 3277149 "
        "1638506 1638510 9240587 9240588"
    ),
    "a PATCH that changes nothing succeeds": "262190 26345577",
    "the door takes no secret in an URL": "262202",
    "whatever is in an order comes from an index or is short": "262210",
    "there is no pass-through of the command line": "262220",
    "every release profile has all that is served": "262155",
    "a batch tells what became of its records in its results": "262288 262289 262290 262291 262292",
    "there are data SVMs only": "2621516 2621601 1704055",
    "there is no MetroCluster": "2621574 2426405 2428841 8585320 459761 459763 459764 460783 460784",
    "the cluster is set up before the door opens": "9241607",
    "changes run to their end, and cannot be held": "458773 458776",
    "licences are told from what pools can do, not installed": (
        "1115130 1115131 1115132 1115137 1115141 1115142 1115143 1115144 1115152 1115159 1115160 1115178 1115213 "
        "1115406 1115564 1114292"
    ),
    "clusters are not peered": (
        "4653058 4653075 4653076 4653079 4653236 4653368 4653419 4656069 4656077 13303886 13303939 13303815"
    ),
    "the cluster has no name service": "8847361 8847362 8847400",
    "pools are configuration, every write is 19726544": (
        "786438 786465 786467 786497 786771 786787 787092 787169 787266 19726341 19726541"
    ),
    "all SVMs of a cluster are peered with each other": (
        "9895956 9895996 9896086 9896095 26345575 26345576 26345579 26345580"
    ),
    "SVMs have no CIFS, directory, certificate, IPspace or root volume": (
        "2621525 2621580 12451843 13434885 13434888 13434912 13434914 23724038 917531 2621507 3277096"
    ),
    "an SVM is made, changed or deleted by one commit, which cannot fail half-way": (
        "13434880 13434881 13434883 13434886 13434889 13434894 13434909 13434910 13434913 13434915 13434916 1703950"
    ),
    "a clone is made or refused with its own reason": "524597",
    "there is no tiering, no object store and no cloud": (
        "787144 787325 918183 918191 918192 918193 918194 918195 918196 918290 918291 918292 918293 918599 918600 "
        "918601 918602 918603 918604 918605 918606 918607 918624 918625 918626 918627 92405873"
    ),
    "jobs fail with the reason itself, not with a wrapper": "917536",
    "every aggregate may hold volumes": "917597",
    "fields without a counterpart are refused with 918701 and 918703": (
        "917829 917831 917835 918233 918240 918241 918244 918271 918521 918524 6881612 6881640 6881654 6881659 "
        "8454210 918702"
    ),
    "volumes are not moved by this door": "918265 918266 918267 918786",
    "there are no FlexGroups and no FlexCaches": (
        "13107256 13107349 13107371 13107404 13109187 13109198 13109290 13109291 918775 918776 1638574 9896093 787254"
    ),
    "no volume was converted from another system": "1638590",
    "snapshots of a volume that cannot be written are told by the state of the volume": (
        "524481 1638461 1638521 1638522 1638532 1638537 1638538"
    ),
    "snapshots have the names that users give": "1638477 1638476",
    "snapshots are told from the catalog": "1638503 1638616 1638617 1638618 1520351",
    "owners of snapshots refuse with 1638555": "1638543",
    "retention periods are no fields here": "918253 13304092 13304118 13304126 13304129 13304130",
    "a policy can be switched on whenever it exists": "1638414 1638416",
    "an SVM has no policy for its volumes": "1638430",
    "an administrator owns every policy": "1638531",
    "policies of transfers name a schedule and not an interval": "6619714 13304108",
    "relationships are asynchronous and between volumes": (
        "13303842 13303843 13303845 13303848 13304040 13304082 13304093"
    ),
    "a relationship changes its state in one commit": (
        "13303813 13303814 13303816 13303823 13303824 13303828 13303829 13303830 13303831 13303833 13304159"
    ),
    "there is no SnapLock": "13304144",
    "export policies are in the catalog, which can always be asked": "1703946 1703953",
    "a client match is judged as a whole (1704039)": "1704040 1704041 1704042 1704043 1704044 1704045 1704054 1704064",
    "an index is free below 2^32": "3277163",
    "there are no qtrees": (
        "5242881 5242886 5242894 5242897 5242916 5242925 5242951 5242952 5242953 5242956 5242972 5242927"
    ),
    "S3 has a door of its own store, not this one": "92405967",
    "262144017 says that something is not on this platform": "721093 852269 53412017",
}
"""Why codes that documents and clients know are not answered; `unsaid` skips those that meanwhile are."""
