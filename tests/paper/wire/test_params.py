from decimal import Decimal

import pytest

from vigil.paper.refusals import Refusal
from vigil.paper.wire.params import Params


@pytest.mark.parametrize(
    ("read", "values", "reason"),
    [
        (lambda p: p.text("x"), {}, "value required"),
        (lambda p: p.text("x"), {"x": 1}, "invalid value"),
        (lambda p: p.number("x"), {"x": "1"}, "invalid value"),
        (lambda p: p.number("x"), {"x": True}, "invalid value"),
        (lambda p: p.number("x"), {"x": Decimal("1e999999")}, "invalid value"),
        (lambda p: p.integer("x", least=10), {"x": 5}, "value must be >= 10"),
        (lambda p: p.integer("x"), {"x": Decimal("1.5")}, "invalid value"),
        (lambda p: p.flag("x"), {"x": "true"}, "invalid value"),
        (lambda p: p.choice("x", ("a",)), {"x": "b"}, "invalid value"),
        (lambda p: p.texts("x"), {"x": [1]}, "invalid value"),
        (lambda p: p.objects("x"), {"x": "[]"}, "invalid value"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_reason(read, values, reason):
    with pytest.raises(Refusal) as caught:
        read(Params(values))
    assert caught.value.code == -32602
    assert caught.value.data == {"reason": reason, "param": "x"}


def test_a_query_string_is_read_as_text():
    params = Params({"n": "0.5", "f": "true", "l": '["a"]', "o": '[{"p": 1.5}]'}, is_text=True)
    assert params.number("n") == Decimal("0.5")
    assert params.flag("f") is True
    assert params.texts("l") == ["a"]
    assert params.objects("o")[0].number("p") == Decimal("1.5")
