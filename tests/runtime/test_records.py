"""Records as values: construction, immutability, trees, arithmetic, stacks, text."""

import copy
import pickle
from xml.etree import ElementTree

import numpy as np
import pytest

from dmc_runtime.errors import ArgumentError
from dmc_runtime.flat import flatten
from dmc_runtime.records import (
    Field,
    Record,
    Role,
    build,
    constants_of,
    make_record,
    stack,
    stack_of,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_paths,
    tree_unflatten,
)

f32 = np.float32


def linear_class() -> type[Record]:
    fields = [Field("w", Role.PARAM, "f32[I, O]", "The weights."), Field("b", Role.PARAM)]
    return make_record("Linear", fields, sizes=["I", "O"], module="nn", doc="A layer.")


Linear = linear_class()
Net = make_record(
    "Net",
    ["l1", "l2", Field("seen", Role.STATE), Field("avg", Role.STATE), Field("stem", Role.FROZEN)],
    sizes=["D"],
    hyper=["rate"],
    module="m",
)


def linear(i: int, o: int, value: float = 1.0) -> Record:
    return Linear(w=np.full((i, o), value, f32), b=np.zeros(o, f32), I=i, O=o)


@pytest.fixture
def net() -> Record:
    return Net(
        l1=linear(3, 4),
        l2=linear(4, 2),
        seen=np.asarray(3),
        avg=np.ones(2, f32),
        stem=linear(2, 2),
        D=3,
        rate=0.1,
    )


def test_fields_and_constants_are_attributes(net):
    assert net.l1.w.shape == (3, 4)
    assert (net.D, net.rate, net.l2.O) == (3, 0.1, 2)
    assert {"l1", "seen", "D", "rate", "replace"} <= set(dir(net))
    assert Linear.__module__ == "nn"
    assert Linear.__doc__ == "A layer."
    assert vars(Linear)["w"].__doc__ == "The weights."


def test_a_field_may_be_called_like_a_method():
    names = ["replace", "params", "class", "spec", "check", "items", "self", "__x"]
    odd = make_record("Odd", names)
    value = odd(**{name: float(i) for i, name in enumerate(names)})
    assert [getattr(value, name) for name in names] == list(range(8))
    assert tree_leaves(value * 2) == [2.0 * i for i in range(8)]


def test_pattern_matching(net):
    match net:
        case Record(l1=Linear(w=w, b=b)):
            assert w.shape == (3, 4)
            assert b.shape == (4,)
        case _:
            pytest.fail("no match")
    assert vars(Linear)["__match_args__"] == ("w", "b")


def test_wrong_construction_names_the_field(net):
    with pytest.raises(TypeError, match="Linear has no field `bias`; it has `w`, `b`"):
        Linear(bias=1)
    with pytest.raises(TypeError, match="Linear needs a value for field `b`"):
        Linear(w=1)
    with pytest.raises(TypeError, match="Net has no field `l9`"):
        net.replace(l9=1)
    with pytest.raises(AttributeError, match="Net has no field `l9`"):
        _ = net.l9
    with pytest.raises(ValueError, match="declares `a` twice"):
        make_record("Bad", ["a", "a"])


def test_records_are_immutable(net):
    for name in ("l1", "new"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(net, name, 1)
    with pytest.raises(AttributeError, match="immutable"):
        del net.l1
    with pytest.raises(TypeError, match=r"dmc\.save"):
        pickle.dumps(net)


def test_check_completes_what_users_pass():
    def check(values, constants):
        return {"b": f32(0), **values}, {"D": len(values["w"]), **constants}

    cls = make_record("W", ["w", "b"], sizes=["D"], check=check)
    value = cls(w=np.zeros(5))
    assert value.D == 5
    assert value.b == 0
    assert value.replace(w=np.zeros(5)).D == 5
    assert constants_of(build(cls, [1.0, 2.0])) == {}


def test_replace_and_equality(net):
    assert net == net.replace()
    assert net != net.replace(rate=0.2)
    assert net != net.replace(seen=np.asarray(4))
    assert net != net.replace(avg=np.ones(2))
    assert net != "net"
    assert copy.copy(net) is net
    deep = copy.deepcopy(net)
    assert deep == net
    assert deep.avg is not net.avg
    with pytest.raises(TypeError, match="unhashable"):
        hash(net)


def test_classes_of_the_same_declaration_are_interchangeable():
    other = linear_class()(w=np.ones((3, 4), f32), b=np.zeros(4, f32), I=3, O=4)
    assert other == linear(3, 4)
    assert (other + linear(3, 4)).w[0, 0] == 2


def test_flatten_and_unflatten(net):
    tree = {"z": (1.0, None), "a": [net, 2], "two words": ()}
    leaves, treedef = tree_flatten(tree)
    assert treedef.count == len(leaves) == 10
    assert tree_unflatten(treedef, leaves) == tree
    assert tree_paths(tree)[:2] == ["a[0].l1.w", "a[0].l1.b"]
    assert tree_paths(tree)[-2:] == ["a[1]", "z[0]"]
    assert tree_paths({"two words": 1.0}) == ["['two words']"]
    assert tree_paths(1.0) == [""]
    again = tree_flatten(copy.deepcopy(tree))[1]
    assert again == treedef
    assert hash(again) == hash(treedef)
    assert tree_flatten(net)[1] != tree_flatten(net.replace(rate=0.3))[1]
    assert tree_flatten((1.0,))[1] != tree_flatten([1.0])[1]
    with pytest.raises(ValueError, match="9 leaves given for a tree of 10"):
        tree_unflatten(treedef, leaves[1:])


def test_map_needs_equal_structures():
    doubled = tree_map(lambda x, y: x + y, linear(2, 2), linear(2, 2))
    assert doubled.w[0, 0] == 2
    with pytest.raises(ValueError, match="differ in structure"):
        tree_map(lambda x, y: x, linear(2, 2), linear(2, 3))


def test_items_are_paths_and_leaves(net):
    paths = [path for path, _ in net]
    assert paths == [path for path, _ in net.items()] == tree_paths(net)
    assert paths[0] == "l1.w"


def test_params_leave_out_state_frozen_and_integers(net):
    assert tree_paths(net.params) == ["l1.w", "l1.b", "l2.w", "l2.b"]
    assert net.params.stem.w is None
    assert net.params.D == 3
    point = make_record("P", ["x", "n"])(x=1.5, n=3)
    assert tree_paths(point.params) == ["x"]


def test_moving_along_a_gradient_leaves_state_alone(net):
    moved = net - np.float64(0.5) * net.params
    assert moved.l1.w.dtype == f32
    assert moved.l1.w[0, 0] == 0.5
    assert np.shares_memory(moved.avg, net.avg)
    assert moved.seen == net.seen
    assert np.shares_memory((net.params + net).avg, net.avg)
    assert -linear(1, 1) == 0 * linear(1, 1) - linear(1, 1)
    assert abs(linear(1, 1, -2.0)) == linear(1, 1, 2.0)


def test_arithmetic_moves_what_is_differentiable(net):
    for result, scale in (
        (0.5 * net, 0.5),
        (net + net, 2.0),
        (-net, -1.0),
        (net * net.params, 1.0),
    ):
        assert result.l1.w.tolist() == (scale * net.l1.w).tolist()
        assert result.seen == net.seen
        assert result.avg.tolist() == net.avg.tolist()
        assert result.stem == net.stem
        assert constants_of(result) == constants_of(net)
    assert (net.params - net).l1.w.tolist() == (0 * net.l1.w).tolist()
    assert (2.0 * make_record("P", ["x", "n"])(x=1.5, n=3)).n == 3


def test_a_record_is_a_value():
    given, part = np.ones(3), np.zeros(2)
    record = make_record("P", ["x", "parts"])(x=given, parts=(part, 1.0))
    given[:] = part[:] = 9.0
    assert record.x.tolist() == [1, 1, 1]
    assert record.parts[0].tolist() == [0, 0]
    with pytest.raises(ValueError, match="read-only"):
        record.x[0] = 2.0
    with pytest.raises(ValueError, match="read-only"):
        record.parts[0][0] = 2.0
    changed = record.replace(x=given)
    given[:] = 7.0
    assert changed.x.tolist() == [9, 9, 9]
    assert np.shares_memory(changed.parts[0], record.parts[0])


def test_scalar_arithmetic_keeps_the_dtype_and_arrays_stay_arrays():
    x = make_record("X", ["a", "b"])(a=np.asarray(3.0, f32), b=np.full(2, 4.0))
    y = 1.0 / (2 * x**2) + np.asarray(1.0) - np.float64(0.5)
    assert isinstance(y.a, np.ndarray)
    assert y.a.dtype == f32
    assert y.b.dtype == np.float64
    assert y.b[0] == 1 / 32 + 0.5
    assert (2.0**x).b[0] == 16
    assert (1 - x).b[0] == -3


def test_arithmetic_refuses_what_does_not_fit(net):
    with pytest.raises(TypeError, match="records differ here: Net and Linear"):
        _ = net + net.l1
    with pytest.raises(TypeError, match=r"records differ at `l1.w`: f32\[3, 4\] and None"):
        _ = net * net.params.replace(l1=net.l1.replace(w=None, b=None))
    with pytest.raises(ValueError, match=r"leaf `w`: f32\[1, 2\] does not meet f32\[1, 3\]"):
        _ = linear(1, 2) + linear(1, 3)
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = net + "1"
    with pytest.raises(TypeError):
        _ = np.ones(3) * net


def test_stacks():
    layers = [linear(2, 3, float(i)) for i in range(4)]
    net = make_record("Tower", ["blocks", "extra"])
    tower = stack([net(blocks=stack(layers), extra=(layer, None)) for layer in layers])
    assert stack_of(tower) == (4,)
    assert stack_of(tower.blocks) == (4, 4)
    assert tower[2].extra[0] == layers[2]
    assert tower[-1].blocks[1] == layers[1]
    assert stack_of(tower[1:3]) == (2,)
    assert stack_of(tower * 2.0) == (4,)
    assert tower.replace(extra=None).extra is None
    with pytest.raises(IndexError, match="index 4 of a stack of 4"):
        _ = tower[4]
    with pytest.raises(TypeError, match="not a stack"):
        _ = layers[0][0]
    with pytest.raises(ValueError, match="no records"):
        stack([])


def test_repr_shows_shapes_and_small_arrays(net):
    assert repr(linear(3, 7)) == "Linear[I=3, O=7](w=f32[3, 7], b=f32[7])"
    assert repr(stack([linear(3, 4)] * 2)) == "2 * Linear[I=3, O=4](w=f32[2, 3, 4], b=f32[2, 4])"
    pair = make_record("Pair", ["x", "n"])(x=np.array([[0.5, 1e-9]]), n=np.array([1, 2]))
    assert repr(pair) == "Pair(x=f64[1, 2]([[5.e-01, 1.e-09]]), n=i64[2]([1, 2]))"
    page = ElementTree.fromstring(pair._repr_html_())
    assert [cell.text for cell in page.iter("code")] == ["Pair", "x", "f64[1, 2]", "n", "i64[2]"]
    assert "1 … 7" in make_record("Many", ["x"])(x=np.arange(1, 8))._repr_html_()
    lines = repr(net).splitlines()
    assert lines[0] == "Net[D=3, rate=0.1]("
    assert lines[3] == "    seen=i64(3),"
    assert lines[-1] == ")"
    many = make_record("Many", ["a", "b", "c", "d"])
    value = many(a=None, b=(1.5,), c=[np.float32(2.5)], d={"k": np.zeros((1, 2), bool)})
    assert repr(value) == "Many(a=None, b=(1.5,), c=[2.5], d={'k': bool[1, 2]([[False, False]])})"


def test_flat_vectors(net):
    vector, unflatten = flatten(net)
    assert vector.shape == (sum(np.size(leaf) for _, leaf in net.params),)
    assert unflatten(vector) == net
    moved = unflatten(vector + 1)
    assert moved.params == net.params + 1.0
    assert moved.seen == net.seen
    gradient, back = flatten(net.params)
    assert np.array_equal(gradient, vector)
    assert back(vector) == net.params
    mixed, again = flatten((np.array([1, 2], np.float32), 3.0))
    assert mixed.tolist() == [1, 2, 3]
    assert mixed.dtype == np.float64
    first, second = again(mixed)
    assert (first.dtype, second) == (np.float32, 3.0)
    with pytest.raises(ArgumentError, match=r"takes a vector of 3 numbers, not float64\[2\]"):
        again(mixed[:2])
    with pytest.raises(ArgumentError, match="no leaf that is differentiable"):
        flatten(np.arange(3))
