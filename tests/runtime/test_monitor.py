"""What a run tells of itself: findings with names, event files, the page."""

import json
import struct
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from dmc_runtime import monitor
from dmc_runtime.monitor import Trouble
from dmc_runtime.records import make_record, stack
from dmc_runtime.report import Curve, drawing, page
from dmc_runtime.tensorboard import EventFile, crc32c
from dmc_runtime.watch import Watcher, read

Layer = make_record("Layer", ["w", "b"])
Net = make_record("Net", ["blocks", "last"])


def net(ratio: float, depth: int = 5):
    """A gradient whose biases fall towards the first layer by a factor for each layer."""
    items = [Layer(w=np.ones((2, 2)), b=np.full(3, ratio ** (depth - 1 - i))) for i in range(depth)]
    return Net(blocks=stack(items), last=Layer(w=np.ones((2, 1)), b=np.zeros(1)).replace(b=None))


def test_layers_of_a_stack_are_seen_one_by_one():
    layers = monitor.layers(net(0.5))
    assert [layer.path for layer in layers][:3] == ["blocks[0].w", "blocks[1].w", "blocks[2].w"]
    assert layers[-1].path == "last.w"
    assert {layer.kind for layer in layers} == {"Layer.w", "Layer.b"}
    assert monitor.along_depth(layers)["Layer.b"] == pytest.approx(0.5**4)
    assert monitor.of_gradient(layers) == []


@pytest.mark.parametrize(("ratio", "name"), [(0.1, "vanishing"), (10.0, "exploding")])
def test_gradients_that_vanish_or_explode(ratio, name):
    (finding,) = monitor.of_gradient(monitor.layers(net(ratio)), step=7)
    assert finding.trouble == name
    assert str(finding).startswith(f"step 7: {name}: the gradient of `Layer.b` at the first layer")


def test_units_that_are_never_active():
    h = np.maximum(np.random.default_rng(0).standard_normal((9, 4)), 0)
    assert monitor.of_activations({"h": h}) == []
    h[:, 2] = 0
    (finding,) = monitor.of_activations({"h": h})
    assert finding.trouble is Trouble.DEAD
    assert finding.message == "1 of 4 units of `h` are 0 for every example"


def test_losses_that_leap():
    calm = [1.0 + 0.01 * (i % 3) for i in range(20)]
    assert monitor.of_losses([*calm, 1.3]) == []
    assert monitor.of_losses([*calm[:5], 9.0]) == []
    assert monitor.of_losses([*calm, 3.0])[0].trouble is Trouble.SPIKE


def test_gradients_of_neighbours():
    x = np.linspace(0, 6, 200)
    assert monitor.of_neighbours(np.sin(x)) == []
    noise = np.random.default_rng(0).standard_normal(200)
    assert monitor.of_neighbours(noise)[0].trouble is Trouble.SHATTERED


def test_a_watcher_says_a_thing_once_and_goes_on(tmp_path):
    watcher = Watcher(
        tmp_path, lambda net, **given: net, lambda net, **given: (np.zeros((2, 3)),), 0
    )
    for step in (1, 11, 21):
        watcher.look(net(0.1), {}, step)
    assert [str(f) for f in watcher.findings] == [
        "step 1: vanishing: the gradient of `Layer.b` at the first layer is 0.0001 of the last's",
        "step 1: dead: 3 of 3 units of `0` are 0 for every example",
    ]
    assert [look["step"] for look in read(tmp_path)] == [1, 11, 21]
    assert read(tmp_path)[0]["gradient"]["blocks[0].b"] == pytest.approx(1e-4 * 3**0.5)
    with (tmp_path / "layers.jsonl").open("a") as file:
        file.write('{"st')
    Watcher(tmp_path, None, None, 12)
    assert [look["step"] for look in read(tmp_path)] == [1, 11]


def test_event_files_of_tensorboard(tmp_path):
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720
    events = EventFile(tmp_path)
    events.scalars(300, {"loss": 0.5, "rate": 1e-3})
    events.close()
    (file,) = tmp_path.iterdir()
    data, records = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        records.append(data[12 : 12 + length])
        for part, place in ((data[:8], 8), (records[-1], 12 + length)):
            (masked,) = struct.unpack("<I", data[place : place + 4])
            crc = (masked - 0xA282EAD8) & 0xFFFFFFFF
            assert (crc >> 17 | crc << 15) & 0xFFFFFFFF == crc32c(part)
        data = data[16 + length :]
    version, event = records
    assert version[9:] == b"\x1a\x0dbrain.Event:2"
    # step 300; summary of two values: tag (1) and simple_value (2).
    assert event[9:12] == b"\x10\xac\x02"
    loss = b"\x0a\x04loss\x15" + struct.pack("<f", 0.5)
    rate = b"\x0a\x04rate\x15" + struct.pack("<f", 1e-3)
    values = b"".join(b"\x0a" + bytes([len(v)]) + v for v in (loss, rate))
    assert event[12:] == b"\x2a" + bytes([len(values)]) + values


def test_a_page_is_whole_and_needs_nothing_else():
    rows = [{"step": i, "loss": 10.0**-i, "validation_loss": 2 * 10.0**-i} for i in range(1, 6)]
    looks = [{"step": 1, "gradient": {"a": 1.0, "b": 1e-9}}, {"step": 3, "gradient": {"a": 2.0}}]
    text = page("Net <1>", {"seed": 0}, rows, looks, ["step 1: dead: `h`"], {"test": {"loss": 1.0}})
    opened, outside = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            opened.append(tag)
            outside.extend(value for name, value in attrs if name in ("src", "href"))

    Reader().feed(text)
    assert outside == []
    assert "script" not in opened
    assert opened.count("svg") == 2
    assert opened.count("polyline") == 4
    assert "Net &lt;1&gt;" in text
    assert "<li>step 1: dead: `h`</li>" in text
    assert json.loads(text.partition("<pre>")[2].partition("</pre>")[0].replace("&quot;", '"'))
    figure = ElementTree.fromstring(drawing("x", [Curve("a", [0, 1, 2], [1.0, 10.0, 100.0])]))
    points = next(iter(figure.iter("{http://www.w3.org/2000/svg}polyline"))).attrib["points"]
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert heights == pytest.approx([192, 102, 12])
    assert drawing("none", []) == ""
