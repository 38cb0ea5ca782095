"""What an address may hold."""

from __future__ import annotations

import pytest

from reparam.errors import ParameterError
from reparam.explorer.queries import Parameter, box, flag, numbers, one_of, polygon, read_query, real, whole

KNOWN = {
    "row": Parameter(whole(0, 9), "0"),
    "heat": Parameter(real(0.0, 3.0), "1"),
    "eps": Parameter(numbers(2)),
    "kind": Parameter(one_of(("a", "b")), "a"),
    "box": Parameter(box),
    "lasso": Parameter(polygon(4)),
    "on": Parameter(flag),
}


def test_an_address_is_read():
    found = read_query("row=3&heat=0.5&eps=1,-2e-1&kind=b&box=0+1+-1+1&lasso=0+0+1+0+1+1&on=1", KNOWN)
    assert found == {
        "row": 3,
        "heat": 0.5,
        "eps": (1.0, -0.2),
        "kind": "b",
        "box": (0.0, 1.0, -1.0, 1.0),
        "lasso": ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),
        "on": True,
    }
    assert read_query("", KNOWN) == {
        "row": 0,
        "heat": 1.0,
        "eps": None,
        "kind": "a",
        "box": None,
        "lasso": None,
        "on": False,
    }


@pytest.mark.parametrize(
    "query",
    [
        "row=10", "row=-1", "row=1.0", "row=", "row=1e1", "row=٣", "row=" + "9" * 5000, "row=1&row=2", "unknown=1", "row[]=1",
        "heat=nan", "heat=inf", "heat=-0.1", "heat=1_0", "heat=0x1", "eps=1", "eps=1+2+3", "eps=1+nan", "eps=1+1e300",
        "kind=c", "kind=<script>", "box=1+0+0+1", "box=0+0+0+0", "box=1+2+3", "lasso=0+0+1+1", "lasso=0+0+1+0+1+1+0", "on=2",
        "row=%ff%fe", "&".join(f"a{i}=1" for i in range(300)), "row=" + "../" * 9, "__class__=1",
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(query):
    with pytest.raises(ParameterError) as found:
        read_query(query, KNOWN)
    assert len(str(found.value)) < 400
    assert "\n" not in str(found.value)
