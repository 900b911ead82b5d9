"""Members of a body that come twice."""

from __future__ import annotations

import pytest

from kerma_common.errors import InvalidRequest
from kerma_results.adapters.deliveries.members import PIECE, check_members


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"a":1,"b":{"a":1,"a":2},"c":[{"a":1},{"a":2}]}',
        b'{"a":[[{"b":1}]],"b":1}',
        b' {"a":99999999999999999999999,"b":1e999} ',
    ],
)
def test_members_of_values_are_none_of_the_body(body: bytes) -> None:
    check_members(body)


@pytest.mark.parametrize("between", [b'"x"', b"[" + b"0," * PIECE + b"0]", b'{"update_key":{}}'])
def test_the_member_is_named(between: bytes) -> None:
    body = b'{"update_key":1,"logfiles":%b,"update_key":1}' % between
    with pytest.raises(InvalidRequest) as refused:
        check_members(body)
    assert list(refused.value.fields) == ["update_key"]
