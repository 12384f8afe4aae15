"""Finding and calling targets: what can be audited, and what each mistake is told."""

from pathlib import Path

import pytest
import torch

from stabkit.errors import TargetError
from stabkit.floats import FORMATS
from stabkit.notation import parse_parameter
from stabkit.program import Program, confirm_batching, loss_of, sample_of
from stabkit.search.points import probe_points
from stabkit.target import Target, resolve

SINGLE = FORMATS["float32"]

SOURCE = """
import torch
from torch import Tensor, nn

def elementwise(x, *, scale: Tensor): return x / scale
def mean_loss(pred, target): return ((pred - target) ** 2).mean()
def per_sample(x): return (x ** 2).sum(-1)
def tupled(x): return x * 2, {"extra": 1}
def coupled(x): return x - x.mean()
def needs_string(x, mode: str): return x
def detached(x): return (x * 2).detach()
def counts(x): return (x > 0).sum()
def nothing(x): return None
def raises(x): raise RuntimeError("as ever")
def picky(x):
    if (x > 3).any(): raise ValueError("too large")
    return x * 1
def positional(x, /, y): return x + y
def many(z, b, y, a, x, c): return z * b * y * a * x * c

class Module(nn.Module):
    def __init__(self, weight: float = 3.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))
    def forward(self, x): return self.weight * x

class NeedsArguments(nn.Module):
    def __init__(self, size): super().__init__()

instance = Module(5.0)
constant = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "losses_under_test.py"
    path.write_text(SOURCE)
    return str(path)


def program_of(target: Target) -> tuple[Program, str]:
    program = Program(target, SINGLE)
    return confirm_batching(program, probe_points(program, 5))


def test_functions_modules_and_instances_are_found_and_run_in_the_dtype(file: str) -> None:
    for name, expected in (("Module", 3.0), ("instance", 5.0)):
        program, _ = program_of(resolve(f"{file}:{name}", []))
        outcome = program.in_dtype("bfloat16").run({"x": torch.tensor([2.0], dtype=torch.bfloat16)})
        assert outcome.values.dtype is torch.bfloat16
        assert outcome.values.item() == 2 * expected


def test_keyword_only_and_positional_only_arguments_are_passed_as_they_must_be(file: str) -> None:
    for name in ("elementwise", "positional"):
        program, why = program_of(resolve(f"{file}:{name}", []))
        assert why == ""
        assert bool(program.run(probe_points(program, 4)).values.isfinite().any())


def test_undeclared_domains_are_guessed_from_names_and_marked(file: str) -> None:
    target = resolve(f"{file}:elementwise", [parse_parameter("x=[0,1]")])
    assert [str(a) for a in target.guesses] == ["scale=positive"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("mean_loss", "it reduces over the batch"),
        ("coupled", "samples of a batch influence each other"),
        ("tupled", ""),
        ("picky", ""),
    ],
)
def test_the_probe_decides_whether_samples_run_together(file: str, name: str, why: str) -> None:
    program, reason = program_of(resolve(f"{file}:{name}", [parse_parameter("x=[-1,1]")] if name == "picky" else []))
    assert reason == why
    outcome = program.run(probe_points(program, 6))
    assert outcome.values.shape == (6, 1)
    assert len(next(iter(outcome.gradients.values()))) == 6


def test_a_vector_sample_gives_one_value_and_a_gradient_of_its_shape(file: str) -> None:
    program, _ = program_of(resolve(f"{file}:per_sample", [parse_parameter("x=real@[*,3]")]))
    outcome = program.run({"x": torch.tensor([[1.0, 2.0, 3.0]])})
    assert outcome.values.tolist() == [[14.0]]
    assert outcome.gradients["x"].tolist() == [[2.0, 4.0, 6.0]]


def test_without_a_star_the_shape_is_that_of_one_call(file: str) -> None:
    program, reason = program_of(resolve(f"{file}:per_sample", [parse_parameter("x=real@[3]")]))
    assert reason == "declared without a batch dimension"
    assert program.run({"x": torch.ones(2, 3)}).values.tolist() == [[3.0], [3.0]]


def test_samples_that_raise_are_marked_and_the_others_go_on(file: str) -> None:
    program, _ = program_of(resolve(f"{file}:picky", [parse_parameter("x=[-1,1]")]))
    outcome = program.run({"x": torch.tensor([1.0, 5.0, 2.0, 7.0])})
    assert outcome.raised.tolist() == [False, True, False, True]
    assert outcome.complaint == "ValueError: too large"
    assert outcome.values[~outcome.raised].flatten().tolist() == [1.0, 2.0]


def test_gradients_come_in_the_order_of_the_arguments_whatever_the_hash_seed(file: str) -> None:
    program, _ = program_of(resolve(f"{file}:many", []))
    assert list(program.run(probe_points(program, 4)).gradients) == ["z", "b", "y", "a", "x", "c"]


def test_distribution_objects_are_built_from_their_parameters() -> None:
    parameters = [
        parse_parameter("p=Normal(loc:real,scale:positive)"),
        parse_parameter("q=Normal(loc:real,scale:positive)"),
    ]
    program, _ = program_of(resolve("torch.distributions.kl:kl_divergence", parameters))
    one, zero = torch.ones(1), torch.zeros(1)
    outcome = program.run({"p.loc": zero, "p.scale": one, "q.loc": one, "q.scale": one})
    assert outcome.values.item() == 0.5
    assert outcome.gradients["q.loc"].item() == 1.0


def test_a_builtin_without_signature_takes_its_arguments_in_order() -> None:
    parameters = [parse_parameter("x=real"), parse_parameter("y=real")]
    program, _ = program_of(resolve("torch:hypot", parameters))
    assert program.run({"x": torch.tensor([3.0]), "y": torch.tensor([4.0])}).values.item() == 5.0
    with pytest.raises(TargetError, match="declare them in order"):
        resolve("torch:hypot", [])


@pytest.mark.parametrize(
    ("target", "arguments", "says"),
    [
        ("{file}:elementwize", (), "did you mean 'elementwise'?"),
        ("{file}:constant", (), "is a int, not a function"),
        ("{file}:NeedsArguments", (), "point to an instance"),
        ("{file}:needs_string", (), '--arg "mode==VALUE"'),
        ("{file}:elementwise", ("skale=positive",), "did you mean 'scale'?"),
        ("nowhere.py:f", (), "file 'nowhere.py' does not exist"),
        ("no_such_module:f", (), "cannot be found"),
        ("elementwise", (), "module:function, path/file.py:function or zoo:name"),
        ("zoo:kl_of_log_scale", (), "is not in the zoo"),
        ("zoo:nll", ("sigma=positive",), "it takes x, mean, scale"),
    ],
)
def test_a_wrong_target_is_told_with_a_remedy(file: str, target: str, arguments: tuple[str, ...], says: str) -> None:
    with pytest.raises(TargetError) as caught:
        resolve(target.format(file=file), [parse_parameter(a) for a in arguments])
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("raises", "raises at every input tried (RuntimeError: as ever)"),
        ("detached", "mark its arguments data:"),
        ("counts", "returns a tensor of torch.int64"),
        ("nothing", "returns a NoneType"),
    ],
)
def test_a_target_that_cannot_be_judged_says_why(file: str, name: str, says: str) -> None:
    with pytest.raises(TargetError) as caught:
        program_of(resolve(f"{file}:{name}", [parse_parameter("x=[-1,1]")]))
    assert says in str(caught.value)


def test_a_module_that_fails_to_import_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "broken_module.py").write_text("1 / 0")
    with pytest.raises(TargetError, match="fails to import \\(ZeroDivisionError"):
        resolve(f"{tmp_path / 'broken_module.py'}:f", [])
    (tmp_path / "needy_module.py").write_text("import a_package_that_is_not_there")
    with pytest.raises(TargetError, match="install a_package_that_is_not_there"):
        resolve(f"{tmp_path / 'needy_module.py'}:f", [])


def test_the_loss_is_the_first_floating_tensor_returned() -> None:
    wanted = torch.tensor(1.5)
    assert loss_of((torch.tensor(1), wanted), "t") is wanted
    assert loss_of({"n": 3, "loss": wanted}, "t") is wanted


def test_samples_come_back_exactly() -> None:
    assert sample_of({"x": torch.tensor([[0.1, 2.0]]), "k": torch.tensor([3])}, 0) == {
        "x": [0.10000000149011612, 2.0],
        "k": 3,
    }
