"""The training loop on a small regression: learning, exact resume, interruption, refusals."""

import csv
import json
import os
import resource
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmc_runtime import keys, metrics, plot
from dmc_runtime.checkpoint import assemble, read, restore, save
from dmc_runtime.data import Table
from dmc_runtime.errors import CheckpointError, MissingExtraError, TrainCode, TrainError
from dmc_runtime.rates import Range, find_rate
from dmc_runtime.recipe import Last, Quantity, Recipe, Watch, parse
from dmc_runtime.records import Record, make_record
from dmc_runtime.runs import Functions, Report
from dmc_runtime.sources import load_tables
from dmc_runtime.train import evaluate, run

Line = make_record("Line", ["w", "b"], sizes=["D"])
Momentum = make_record("Momentum", ["v", "t"])
Metrics = make_record("Metrics", ["accuracy", "learning_rate", "gradient_norm"])
Score = make_record("Score", ["loss", "accuracy"])
f32 = np.float32


def init() -> Record:
    return Line(w=np.zeros(3, f32), b=np.zeros((), f32), D=3)


def start(net: Record) -> Record:
    return Momentum(v=net * 0.0, t=np.asarray(0))


def error(net, x, y):
    return x @ net.w + net.b - y


def step(net, opt, /, x, y, peak, total, key):
    """Noisy momentum descent whose rate falls to zero: depends on step, key and all state."""
    r = error(net, x, y)
    noise = f32(0.01) * keys.normal(key, 3, f32)
    grad = net.replace(w=2 * (r @ x) / f32(len(y)) + noise, b=np.asarray(2 * r.mean(), f32))
    v = 0.5 * opt.v + grad
    lr = peak * (1 - opt.t / total)
    norm = float(np.sqrt(sum(float(np.sum(leaf**2)) for _, leaf in grad)))
    close = (np.abs(r) < 0.5).mean()
    told = Metrics(accuracy=close, learning_rate=f32(lr), gradient_norm=norm)
    return f32((r**2).mean()), net - lr * v, Momentum(v=v, t=opt.t + 1), told


def score(net, /, x, y):
    r = error(net, x, y)
    return Score(loss=(r**2).mean(), accuracy=(np.abs(r) < 0.5).mean())


FUNCTIONS = Functions(init, start, step, score)


@pytest.fixture
def recipe(tmp_path) -> Recipe:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(130, 3)).astype(f32)
    y = (x @ np.array([1.0, -2.0, 0.5], f32) + 3).astype(f32)
    np.savez(tmp_path / "train.npz", x=x[:100], label=y[:100])
    np.savez(tmp_path / "test.npz", x=x[100:], label=y[100:])
    content = {
        "program": "line.dm",
        "seed": 1,
        "epochs": 6,
        "model": {"name": "Line"},
        "data": {
            "train": "train.npz",
            "test": "test.npz",
            "validation": 0.2,
            "inputs": {"x": "x", "y": "label"},
            "batch_size": 12,
        },
        "arguments": {"peak": 0.1, "total": "steps", "key": "key"},
        "outputs": {"best": "accuracy", "best_mode": "max", "plot": False},
    }
    return parse(content, folder=tmp_path)


def quiet(recipe: Recipe, functions: Functions = FUNCTIONS, **options) -> Report:
    """A run without a progress bar, over what the run before it left unless it goes on."""
    return run(recipe, functions, progress=False, overwrite=True, **options)


def test_a_run_learns_and_reports(recipe, tmp_path):
    report = quiet(recipe)
    assert report.steps == 6 * 7
    assert not report.interrupted
    assert report.training.keys() == {"loss", "accuracy", "learning_rate", "gradient_norm"}
    assert report.validation["accuracy"] == 1
    assert report.test["loss"] < 0.02
    assert report.test == evaluate(recipe, FUNCTIONS, report.checkpoint)
    assert restore(report.checkpoint, Line, part="net").D == 3
    assert read(tmp_path / "run" / "last.safetensors").metadata["step"] == 42


def test_metrics_have_a_row_for_each_step(recipe, tmp_path):
    quiet(recipe)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 43))
    assert [row["epoch"] for row in rows[6:8]] == ["1", "2"]
    assert rows[6]["validation_loss"] != ""
    assert rows[7]["validation_loss"] == ""
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert float(rows[9]["loss"]) == json.loads(lines[9])["loss"]
    assert float(rows[0]["learning_rate"]) == pytest.approx(0.1)


def outcome(folder: Path):
    """What must not depend on interruptions: every byte of the state, and metrics but for time."""
    state = {k: v.tobytes() for k, v in read(folder / "last.safetensors").arrays.items()}
    best = {k: v.tobytes() for k, v in read(folder / "best.safetensors").arrays.items()}
    rows = metrics.read(folder)
    for row in rows:
        del row["seconds"]
    return state, best, rows


def test_a_resumed_run_ends_with_the_same_bits(recipe, tmp_path):
    whole = replace(recipe, outputs=replace(recipe.outputs, directory="whole"))
    parts = replace(recipe, outputs=replace(recipe.outputs, directory="parts"))
    quiet(whole)
    assert quiet(parts, max_steps=1).steps == 1
    for steps in (5, 7, 20, None):
        quiet(parts, resume=True, max_steps=steps)
    assert outcome(tmp_path / "whole") == outcome(tmp_path / "parts")
    done = quiet(parts, resume=True)
    assert done.steps == 42
    assert outcome(tmp_path / "whole") == outcome(tmp_path / "parts")


def test_a_run_goes_on_from_any_checkpoint(recipe, tmp_path):
    quiet(recipe, max_steps=14)
    early = (tmp_path / "run" / "last.safetensors").rename(tmp_path / "early.safetensors")
    quiet(recipe)
    finished = outcome(tmp_path / "run")
    quiet(recipe, resume=early)
    assert outcome(tmp_path / "run") == finished


def test_a_crash_loses_only_what_came_after_the_checkpoint(recipe, tmp_path):
    def failing(net, opt, /, **arguments):
        if opt.t == 17:
            raise OSError("power cut")
        return step(net, opt, **arguments)

    whole = replace(recipe, outputs=replace(recipe.outputs, directory="whole"))
    quiet(whole)
    with pytest.raises(OSError, match="power cut"):
        quiet(recipe, replace(FUNCTIONS, step=failing))
    assert read(tmp_path / "run" / "last.safetensors").metadata["step"] == 14
    quiet(recipe, resume=True)
    assert outcome(tmp_path / "whole") == outcome(tmp_path / "run")


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_after_the_step(recipe, tmp_path, kind):
    def interrupting(net, opt, /, **arguments):
        if opt.t == 9:
            os.kill(os.getpid(), kind)
        return step(net, opt, **arguments)

    before = signal.getsignal(kind)
    report = quiet(recipe, replace(FUNCTIONS, step=interrupting))
    assert signal.getsignal(kind) is before
    assert report.interrupted
    assert report.steps == 10
    assert report.test == {}
    whole = replace(recipe, outputs=replace(recipe.outputs, directory="whole"))
    quiet(whole)
    quiet(recipe, resume=True)
    assert outcome(tmp_path / "whole") == outcome(tmp_path / "run")


def test_a_second_interrupt_stops_at_once(recipe):
    def interrupting(net, opt, /, **arguments):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return step(net, opt, **arguments)

    with pytest.raises(KeyboardInterrupt):
        quiet(recipe, replace(FUNCTIONS, step=interrupting))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: (f32(np.nan), *r[1:]), r"`loss` is nan at step 11 \(epoch 2, batch 4 of 7\)"),
        (lambda r: (*r[:3], r[3].replace(gradient_norm=np.inf)), "`gradient_norm` is inf at step"),
    ],
)
def test_what_is_not_finite_stops_the_run(recipe, tmp_path, spoil, message):
    def spoilt(net, opt, /, **arguments):
        result = step(net, opt, **arguments)
        return spoil(result) if opt.t == 10 else result

    with pytest.raises(TrainError, match=message) as caught:
        quiet(recipe, replace(FUNCTIONS, step=spoilt))
    assert caught.value.code == TrainCode.NONFINITE
    assert read(tmp_path / "run" / "last.safetensors").metadata["step"] == 7


def test_parameters_that_are_not_finite_are_never_saved(recipe, tmp_path):
    def spoilt(net, opt, /, **arguments):
        loss, net, opt, told = step(net, opt, **arguments)
        return loss, net.replace(b=np.asarray(np.nan, f32)) if opt.t == 14 else net, opt, told

    with pytest.raises(TrainError, match="`b` is not finite at step 14"):
        quiet(recipe, replace(FUNCTIONS, step=spoilt))
    assert read(tmp_path / "run" / "last.safetensors").metadata["step"] == 7


@pytest.mark.parametrize("when", [0, 7])
def test_scores_that_are_not_finite_stop_the_run(recipe, tmp_path, when):
    steps = 0

    def counted(net, opt, /, **arguments):
        nonlocal steps
        steps += 1
        return step(net, opt, **arguments)

    def spoilt(net, /, x, y):
        return score(net, x, y).replace(accuracy=np.nan if steps >= when else 0.5)

    with pytest.raises(TrainError, match=f"`accuracy` .* is nan after {when} steps") as caught:
        quiet(recipe, replace(FUNCTIONS, step=counted, evaluate=spoilt))
    assert caught.value.code == TrainCode.NONFINITE
    assert read(tmp_path / "run" / "last.safetensors").metadata["step"] == 0


@pytest.mark.parametrize("name", ["metrics.csv", "metrics.jsonl", "run"])
def test_what_cannot_be_written_is_named(recipe, tmp_path, name):
    quiet(recipe)
    if name == "run":
        shutil.rmtree(tmp_path / "run")
        (tmp_path / "run").write_text("")
    else:
        (tmp_path / "run" / name).unlink()
        (tmp_path / "run" / name).mkdir()
    with pytest.raises(TrainError, match=f"cannot write .*{name}") as caught:
        quiet(recipe)
    assert caught.value.code == TrainCode.OUTPUT


@pytest.mark.parametrize("room", [2048, 4096])
def test_a_full_disk_stops_the_run_which_resumes(recipe, tmp_path, room):
    def limited(net, opt, /, **arguments):
        if opt.t == 7:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        return step(net, opt, **arguments)

    quiet(recipe)
    whole = restore(tmp_path / "run" / "last.safetensors", Line, part="net")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises((TrainError, CheckpointError), match="the disk is full"):
            quiet(recipe, replace(FUNCTIONS, step=limited))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    quiet(recipe, resume=True)
    assert restore(tmp_path / "run" / "last.safetensors", Line, part="net") == whole


@pytest.mark.parametrize(
    "damage",
    [
        b"[]",
        b"null",
        b'{"step": "a"}',
        b'{"loss": 1}',
        b"\xff\xfe",
        b'{"step": 1, "loss": {"a": 1}}',
        b"[" * 100_000,
        b'{"step": 1, "other": 3}',
    ],
    ids=lambda damage: str(damage[:20]),
)
def test_a_damaged_log_ends_where_it_is_damaged(recipe, tmp_path, damage):
    quiet(recipe, max_steps=14)
    log = tmp_path / "run" / "metrics.jsonl"
    first, second, _, *rest = log.read_bytes().splitlines()
    log.write_bytes(b"\n".join([first, second, damage, *rest]) + b"\n")
    assert quiet(recipe, resume=True).steps == 42
    steps = [row["step"] for row in metrics.read(tmp_path / "run")]
    assert steps[:2] == [1, 2]
    assert steps[-1] == 42


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told.pop("recipe"),
        lambda told: told.update(recipe=3),
        lambda told: told.update(step=-1),
        lambda told: told.update(step="many"),
        lambda told: told.update(seconds=[]),
        lambda told: told.update(best={"score": 1.0}),
        lambda told: told.update(best=3),
    ],
)
def test_a_checkpoint_that_no_run_wrote_is_refused(recipe, tmp_path, change):
    quiet(recipe, max_steps=3)
    last = tmp_path / "run" / "last.safetensors"
    saved = read(last)
    told = dict(saved.metadata)
    change(told)
    net = init()
    save(assemble(saved, {"net": net, "opt": start(net)}), last, told)
    with pytest.raises(TrainError) as caught:
        quiet(recipe, resume=True)
    assert caught.value.code == TrainCode.RESUME


def test_resuming_another_recipe_is_refused(recipe):
    quiet(recipe, max_steps=3)
    other = replace(recipe, seed=2)
    with pytest.raises(TrainError, match=r"another recipe: `seed` differs") as caught:
        quiet(other, resume=True)
    assert caught.value.code == TrainCode.RESUME


def test_a_run_goes_on_with_more_epochs_or_another_rate(recipe, tmp_path):
    quiet(recipe)
    longer = replace(recipe, epochs=8, arguments={**recipe.arguments, "peak": 0.01})
    report = quiet(longer, resume=True)
    assert report.steps == 8 * 7
    assert report.changed == ("arguments.peak", "epochs")
    rows = metrics.read(tmp_path / "run")
    assert [row["step"] for row in rows] == list(range(1, 57))
    assert rows[42]["learning_rate"] == pytest.approx(0.01 * (1 - 42 / 56))
    shorter = replace(recipe, epochs=0, steps=60)
    assert quiet(shorter, resume=True).steps == 60


def test_no_run_is_written_over_unasked(recipe, tmp_path):
    def failing(net, opt, /, **arguments):
        raise OSError("broken")

    for _ in range(2):  # a run without a step is none
        with pytest.raises(OSError, match="broken"):
            run(recipe, replace(FUNCTIONS, step=failing), progress=False)
    run(recipe, FUNCTIONS, progress=False)
    last = tmp_path / "run" / "last.safetensors"
    before = last.read_bytes()
    for damage in (False, True):
        if damage:
            last.write_bytes(before[:100])
        with pytest.raises(TrainError, match=r"holds a run.*--overwrite") as caught:
            run(recipe, FUNCTIONS, progress=False)
        assert caught.value.code == TrainCode.EXISTS
        assert last.read_bytes() == (before[:100] if damage else before)


def test_callbacks_see_each_step_and_end_a_run(recipe, tmp_path):
    seen = []

    def watch(moment):
        seen.append((moment.step, moment.epoch, moment.row["loss"], moment.net.b))
        return moment.step == 9

    report = quiet(recipe, callbacks=[watch])
    assert [(step, epoch) for step, epoch, *_ in seen] == [(n, 1 + (n > 7)) for n in range(1, 10)]
    assert report.steps == 9
    assert not report.interrupted
    assert report.net == restore(report.checkpoint, Line, part="net")
    assert report.training["loss"] == seen[-1][2]


def test_a_run_stops_when_its_score_does_not_become_better(recipe, tmp_path):
    def scored(net, /, x, y):
        return score(net, x, y).replace(accuracy=0.5)

    patient = replace(recipe, watch=Watch(patience=2))
    flat = replace(FUNCTIONS, evaluate=scored)
    report = quiet(patient, flat)
    assert report.stopped
    assert report.steps == 3 * 7
    assert quiet(patient, flat, max_steps=10).steps == 10
    assert quiet(patient, flat, resume=True).steps == 3 * 7
    assert not quiet(recipe, flat).stopped


def test_a_run_leaves_a_page_and_events(recipe, tmp_path):
    quiet(replace(recipe, outputs=replace(recipe.outputs, tensorboard=True)))
    assert "Line: 42 steps" in (tmp_path / "run" / "report.html").read_text()
    assert len(list((tmp_path / "run").glob("events.out.tfevents.*"))) == 1


def test_a_rate_is_found(recipe):
    told = {**recipe.arguments, "total": 10_000}
    search = find_rate(replace(recipe, arguments=told), FUNCTIONS, "peak", Range(1e-4, 1e3, 80))
    assert 0.01 < search.suggestion < 0.5
    assert search.rates[-1] < 100  # it ran away there
    with pytest.raises(TrainError, match="no argument `rate`; it has peak, total, key"):
        find_rate(recipe, FUNCTIONS, "rate")


def test_a_masked_batch_gives_the_gradient_of_a_short_one(recipe):
    def masked(net, opt, /, x, y, here, **arguments):
        return step(net, opt, x=x[here], y=y[here], **arguments)

    told = {**recipe.arguments, "here": Quantity.MASK}
    padded = replace(recipe, arguments=told, data=replace(recipe.data, last=Last.MASK))
    short = replace(recipe, data=replace(recipe.data, last=Last.SHORT))
    a, b = quiet(padded, replace(FUNCTIONS, step=masked)), quiet(short)
    assert a.training == b.training
    assert a.net == b.net


def test_functions_that_do_not_fit_are_refused(recipe):
    for broken, message in [
        (replace(FUNCTIONS, step=lambda net, opt, /, **_: (f32(1), net)), r"must give \(loss"),
        (
            replace(FUNCTIONS, step=lambda n, o, /, **_: (f32(1), n, o, n)),
            "the metric `w` is an array",
        ),
        (replace(FUNCTIONS, evaluate=lambda net, /, **_: f32(1)), "no score `accuracy`"),
    ]:
        with pytest.raises(TrainError, match=message) as caught:
            quiet(recipe, broken)
        assert caught.value.code == TrainCode.STEP


def test_without_held_out_data_the_last_model_counts(recipe):
    bare = replace(recipe, data=replace(recipe.data, validation=0.0, test=""))
    report = quiet(bare, replace(FUNCTIONS, evaluate=None))
    assert report.test == {}
    assert report.checkpoint.name == "last.safetensors"
    with pytest.raises(TrainError, match="no held-out data"):
        evaluate(bare, FUNCTIONS, report.checkpoint)


def test_scores_are_means_over_examples_not_batches(recipe):
    report = quiet(recipe)
    batched = replace(recipe, data=replace(recipe.data, evaluation_batch_size=7))
    assert evaluate(batched, FUNCTIONS, report.checkpoint)["loss"] == pytest.approx(
        report.test["loss"], rel=1e-5
    )


def test_inputs_from_csv_columns(recipe, tmp_path):
    (tmp_path / "line.csv").write_text("a,b,c,y\n" + "1,2,3,4\n5,6,7,8\n" * 10)
    content = replace(
        recipe.data, train="line.csv", inputs={"x": ("a", "b", "c"), "y": "y"}, test=""
    )
    tables = load_tables(replace(recipe, data=content))
    assert isinstance(tables.train, Table)
    assert tables.train["x"].shape == (16, 3)
    with pytest.raises(TrainError, match="`f8` is no dtype of data; known: bf16, f16, "):
        load_tables(replace(recipe, data=replace(content, dtypes={"y": "f8"})))


def test_the_plot_shows_the_run(recipe, tmp_path):
    report = quiet(replace(recipe, outputs=replace(recipe.outputs, plot=True)))
    assert report.plot == tmp_path / "run" / "training.png"
    data = (tmp_path / "run" / "training.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) > 20_000


def test_missing_extras_are_named(recipe, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"a plot needs .*dmc\[plot\]"):
        plot.require()
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(MissingExtraError, match=r"a progress bar needs .*dmc\[train\]"):
        run(recipe, FUNCTIONS)


def test_a_cut_last_line_of_the_log_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    assert metrics.read(tmp_path) == [{"step": 1}]
    assert metrics.read(tmp_path / "none") == []
