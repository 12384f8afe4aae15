"""Watching a loss in a user's loop: what is seen, how it is declared, and that nothing of the loop changes."""

import gc
import importlib
import io
import math
import shlex
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal

import stabkit
from stabkit.audit_job import Job
from stabkit.auditor import audit_target
from stabkit.errors import TargetError
from stabkit.events import Begun, Ended, Judged
from stabkit.recording.observation import Watched

LOSSES = """
import torch
from torch import nn

def loss(pred, target, scale, *, reduction="mean"):
    if pred.isnan().any():
        raise ValueError("pred is NaN")
    return torch.nn.functional.cross_entropy(pred / scale, target, reduction=reduction)

def squares(x, weight, temperature, beta=1.0):
    return beta * ((x * weight) ** 2).sum(-1) / temperature

def divergence(q):
    return torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(-1)

def make(power):
    def closure(x):
        return x ** power
    return closure

class Model(nn.Module):
    def __init__(self, power=2):
        super().__init__()
        self.power = power
    def forward(self, x):
        return x ** self.power
    def cost(self, x):
        return self.forward(x)
    @classmethod
    def of_class(cls, x):
        return x * 2
    @staticmethod
    def of_nothing(x):
        return x * 3

class Needy(nn.Module):
    def __init__(self, power):
        super().__init__()
        self.power = power
    def forward(self, x):
        return x ** self.power

model = Model(3)
"""
TRAINING = "from watched_losses import loss as cost\ndef step(*args): return cost(*args)\n"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """Two loaded modules of a user: the losses, and the loop that imports one of them under another name."""
    (tmp_path / "watched_losses.py").write_text(LOSSES)
    (tmp_path / "watched_training.py").write_text(TRAINING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("watched_losses"), importlib.import_module("watched_training")
    for name in ("watched_losses", "watched_training"):
        sys.modules.pop(name)


@pytest.fixture
def losses(modules: tuple[Any, Any]) -> Any:
    return modules[0]


def silent() -> io.StringIO:
    return io.StringIO()


def audited(command: str) -> tuple[Begun, Judged]:
    """What an audit with exactly the words of a command says; it must come to a verdict."""
    words = shlex.split(command)
    assert words[:2] == ["stabkit", "audit"]
    assert set(words[3::2]) <= {"--arg"}
    events = list(audit_target(Job(words[2], tuple(words[4::2]), dtypes=("float32",), seconds=6.0)))
    begun, judged, ended = events[0], events[1], events[-1]
    assert isinstance(ended, Ended)
    assert ended.status in ("audited", "failed"), ended.reason
    assert isinstance(begun, Begun)
    assert isinstance(judged, Judged)
    assert begun.arguments == words[4::2]
    assert judged.coverage is not None
    assert judged.coverage.raised == 0
    return begun, judged


def test_calls_through_every_module_that_imported_the_function_are_seen_and_written_as_a_command(
    modules: tuple[Any, Any],
) -> None:
    losses, training = modules
    original, output = losses.loss, io.StringIO()
    with stabkit.record(losses.loss, output) as watched:
        training.step(torch.tensor([[-4.05, 5.0, 1.0]], requires_grad=True), torch.tensor([2]), torch.tensor(0.25))
        pred = torch.tensor([[0.0, 5.13, 1.0], [1.0, 1.0, 1.0]], requires_grad=True)
        losses.loss(pred, target=torch.tensor([0, 1]), scale=torch.tensor(3.37), reduction="none")
    assert losses.loss is training.cost is original
    assert watched.calls == 2
    assert output.getvalue() == (
        "# 2 calls of watched_losses:loss seen\n"
        "# reduction: left out in 1 of 2 calls\n"
        "stabkit audit watched_losses:loss --arg 'pred=[-4.1,5.2]@[*,3]' --arg 'target=data:index[0,3)'"
        """ --arg 'scale=data:[0.25,3.4]@[*,1]' --arg "reduction=='none'"\n"""
    )
    assert output.getvalue().splitlines()[-1] == watched.command
    audited(watched.command)


def test_references_come_back_after_an_exception_which_passes_unchanged(modules: tuple[Any, Any]) -> None:
    losses, training = modules
    original, static, own = losses.loss, vars(losses.Model)["of_nothing"], dict(vars(losses.model))
    before = {m: dict(vars(m)) for m in (losses, training)}
    watched: list[Watched] = []

    def loop() -> None:
        with (
            stabkit.record(original, silent()) as yielded,
            stabkit.record(losses.Model.of_nothing, silent()),
            stabkit.record(losses.model.cost, silent()),
            stabkit.record(losses.Model.of_class, silent()),
            stabkit.record(losses.model, silent()),
        ):
            watched.append(yielded)
            assert losses.loss is not original
            losses.loss(torch.tensor([[math.nan, 1.0]]), torch.tensor([0]), torch.tensor(1.0))

    with pytest.raises(ValueError, match="pred is NaN"):
        loop()
    assert {m: dict(vars(m)) for m in (losses, training)} == before
    assert all(vars(m)[n] is v for m, names in before.items() for n, v in names.items())
    assert vars(losses.Model)["of_nothing"] is static
    assert isinstance(vars(losses.Model)["of_class"], classmethod)
    assert dict(vars(losses.model)) == own
    assert watched[0].calls == 1
    assert watched[0].notes == ("pred: NaN 1 time, not declared",)


def test_a_module_that_is_imported_inside_the_block_gets_the_function_back(losses: Any) -> None:
    sys.modules.pop("watched_training")
    with stabkit.record(losses.loss, silent()) as watched:
        training = importlib.import_module("watched_training")
        training.step(torch.ones(1, 3), torch.tensor([0]), torch.tensor(1.0))
    assert watched.calls == 1
    assert training.cost is losses.loss


def test_a_name_that_the_block_gives_another_meaning_keeps_it(modules: tuple[Any, Any]) -> None:
    losses, training = modules
    original = losses.loss
    with stabkit.record(original, silent()):
        training.cost = abs
    assert training.cost is abs
    assert losses.loss is original


def test_a_module_instance_is_watched_by_its_calls_and_named(losses: Any) -> None:
    with stabkit.record(losses.model, silent()) as watched:
        losses.model(x=torch.tensor([0.5, -1.5]))
        watched(torch.tensor([2.53]))
    assert not losses.model._forward_pre_hooks
    assert watched.command == "stabkit audit watched_losses:model --arg 'x=[-1.5,2.6]'"
    losses.model(torch.tensor([9.0]))
    assert watched.calls == 2
    audited(watched.command)


def test_an_instance_without_a_name_is_named_by_its_class_or_asks_for_a_name(losses: Any) -> None:
    for module, target, note in (
        (losses.Model(5), "watched_losses:Model", "Model is built anew, with no argument"),
        (losses.Needy(2), "watched_losses.py:NAME", "what was watched has no name at the top of a module"),
    ):
        with stabkit.record(module, silent()) as watched:
            module(torch.tensor([0.5]))
        assert shlex.split(watched.command)[2] == target
        assert watched.notes[0].startswith(note)


@pytest.mark.parametrize(
    ("path", "target"),
    [("model.cost", "model.cost"), ("Model.of_class", "Model.of_class"), ("Model.of_nothing", "Model.of_nothing")],
)
def test_bound_class_and_static_methods_are_watched_through_their_owner(losses: Any, path: str, target: str) -> None:
    owner, name = getattr(losses, path.partition(".")[0]), path.partition(".")[2]
    with stabkit.record(getattr(owner, name), silent()) as watched:
        truth = getattr(owner, name)(torch.tensor([0.5]))
    assert torch.equal(truth, getattr(owner, name)(torch.tensor([0.5])))
    assert watched.command == f"stabkit audit watched_losses:{target} --arg 'x=[0.5,0.5]'"
    audited(watched.command)


def test_a_closure_is_watched_by_calling_what_the_block_yields(losses: Any) -> None:
    closure, output = losses.make(3), io.StringIO()
    with stabkit.record(closure, output) as watched:
        assert torch.equal(watched(torch.tensor([2.5])), torch.tensor([15.625]))
    assert shlex.split(watched.command)[2] == "watched_losses.py:NAME"
    assert "give it one, and write it in place of NAME" in output.getvalue()


def test_without_a_call_it_says_what_to_call(losses: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with stabkit.record(losses.make(2)) as watched:
        pass
    assert (watched.calls, watched.command, watched.arguments) == (0, "", ())
    assert "call the object that `with` yields" in capsys.readouterr().err


def test_a_module_that_only_the_scripts_folder_holds_is_named_so_that_a_command_finds_it(
    losses: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elsewhere"
    (folder / "watched_package").mkdir(parents=True)
    (folder / "watched_package" / "__init__.py").write_text("def f(x): return x * 2\n")
    monkeypatch.chdir(folder.parent / "elsewhere" / "watched_package")
    with stabkit.record(losses.model, silent()) as alone:
        losses.model(torch.tensor([0.5]))
    monkeypatch.syspath_prepend(str(folder))
    package = importlib.import_module("watched_package")
    with stabkit.record(package.f, silent()) as packaged:
        package.f(torch.tensor([0.5]))
    sys.modules.pop("watched_package")
    assert shlex.split(alone.command)[2] == f"{tmp_path / 'watched_losses.py'}:model"
    assert shlex.split(packaged.command)[2] == "watched_package:f"
    assert packaged.notes == (f"run the command in {folder}",)
    audited(alone.command)


def test_a_function_of_a_script_is_named_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "my script.py"
    script.write_text("def f(x): return x * 2\n")
    main = ModuleType("__main__")
    main.__file__ = str(script)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec(script.read_text(), vars(main))
    with stabkit.record(vars(main)["f"], silent()) as watched:
        vars(main)["f"](torch.tensor([0.5]))
    assert watched.command == "stabkit audit 'my script.py:f' --arg 'x=[0.5,0.5]'"
    assert watched.notes == (
        "the file runs once more when it is audited: keep its loop below if __name__ == '__main__'",
    )
    audited(watched.command)


def test_arguments_of_different_shapes_are_audited_as_they_were_observed(losses: Any) -> None:
    with stabkit.record(losses.squares, silent()) as watched:
        x = torch.linspace(-2, 2, 6).reshape(2, 3).requires_grad_()
        losses.squares(x, torch.tensor([0.5, 1.0, 2.5]), torch.tensor(1.5), 0.5)
        losses.squares(x, torch.tensor([0.5, 1.0, 2.5]), torch.tensor(2.5), 0.75)
    assert [str(a) for a in watched.arguments] == [
        "x=[-2.0,2.0]@[*,3]", "weight=data:[0.5,2.5]@[3]", "temperature=data:[1.5,2.5]@[*,1]", "beta==0.5",
    ]  # fmt: skip
    assert watched.notes == ("beta: its value varies from call to call; the first is declared",)
    audited(watched.command)


def test_a_distribution_is_declared_by_its_parameters_and_audits(losses: Any) -> None:
    with stabkit.record(losses.divergence, silent()) as watched:
        loc, log_scale = torch.tensor([[-1.5, 2.0]]), torch.tensor([[0.0, -0.5]], requires_grad=True)
        losses.divergence(Normal(loc, log_scale.exp()))
    assert [str(a) for a in watched.arguments] == ["q=Normal(loc:data:[-1.5,2.0]@[*,2],scale:[0.6,1.0]@[*,2])"]
    audited(watched.command)


def test_gradients_the_generator_and_the_results_are_those_of_the_loop_alone(losses: Any) -> None:
    def run() -> tuple[Tensor, Tensor]:
        torch.manual_seed(0)
        x = torch.linspace(-1, 1, 6).reshape(2, 3).requires_grad_()
        result = losses.loss(x * torch.rand(2, 3), torch.tensor([0, 2]), torch.tensor(0.5))
        result.backward()
        assert x.grad is not None
        return x.grad, torch.rand(3)

    alone = run()
    with stabkit.record(losses.loss, silent()) as watched:
        beside = run()
    assert watched.calls == 1
    assert all(map(torch.equal, alone, beside))


def test_no_tensor_is_kept_alive(losses: Any) -> None:
    with stabkit.record(losses.model, silent()) as watched:
        x = torch.ones(4, requires_grad=True)
        gone = weakref.ref(x)
        losses.model(x)
        del x
        gc.collect()
        assert gone() is None
    assert watched.calls == 1


def test_a_compiled_function_and_module_are_watched_from_outside(losses: Any) -> None:
    function, module = torch.compile(losses.squares, backend="eager"), torch.compile(losses.model, backend="eager")
    with stabkit.record(function, silent()) as outside, stabkit.record(module, silent()) as of_module:
        outside(torch.tensor([[0.5]]), torch.tensor([2.5]), torch.tensor(1.5))
        module(torch.tensor([0.75]))
    assert [shlex.split(w.command)[2] for w in (outside, of_module)] == [
        "watched_losses:squares", "watched_losses:model",
    ]  # fmt: skip
    assert [str(a) for a in of_module.arguments] == ["x=[0.75,0.75]"]
    step = torch.compile(lambda x: losses.model(losses.squares(x, x, x)), backend="eager", fullgraph=True)
    with stabkit.record(losses.squares, silent()) as inside, stabkit.record(losses.model, silent()):
        assert torch.equal(step(torch.tensor([[2.0]])), torch.tensor([[8.0 * 64]]))
    assert inside.calls == 0


def test_calls_from_threads_are_all_counted(losses: Any) -> None:
    def work(k: int) -> None:
        for i in range(50):
            losses.model.cost(torch.tensor([k + i / 50]))

    with stabkit.record(losses.model.cost, silent()) as watched:
        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert watched.calls == 200
    assert [str(a) for a in watched.arguments] == ["x=[0.0,4.0]"]


def test_nested_records_see_their_own_calls(losses: Any) -> None:
    with stabkit.record(losses.squares, silent()) as outer, stabkit.record(losses.divergence, silent()) as inner:
        losses.divergence(Normal(torch.zeros(1), torch.ones(1)))
        losses.divergence(Normal(torch.zeros(1), torch.ones(1)))
        losses.squares(torch.ones(1), 1.0, 1.0)
    assert (outer.calls, inner.calls) == (1, 2)


def test_a_call_that_does_not_fit_raises_as_ever_and_is_not_counted(losses: Any) -> None:
    with stabkit.record(losses.squares, silent()) as watched, pytest.raises(TypeError, match="missing"):
        losses.squares(torch.ones(1))
    assert watched.calls == 0


def test_the_command_is_written_into_a_file_and_a_full_disk_does_not_hide_the_loops_own_exception(
    losses: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stabkit.record(losses.model, tmp_path / "words.txt") as watched:
        losses.model(torch.tensor([0.5]))
    assert (tmp_path / "words.txt").read_text().splitlines()[-1] == watched.command

    def loop() -> None:
        with stabkit.record(losses.model, tmp_path / "no" / "folder"):
            losses.model(torch.tensor([0.5]))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        loop()
    assert "cannot write" in (said := capsys.readouterr().err)
    assert watched.command in said


@pytest.mark.parametrize("loss", [nn.Linear, 3])
def test_what_cannot_be_watched_is_told(loss: Any) -> None:
    with pytest.raises(TargetError, match=r"is not a function or an nn\.Module"), stabkit.record(loss):
        pass
