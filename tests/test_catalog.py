"""What of PyTorch is ready to be audited: complete, legal, and found by name."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import distributions
from torch.distributions.kl import _KL_REGISTRY, kl_divergence

from stabkit import catalog, worker
from stabkit.audit_job import Job
from stabkit.auditor import audit_target
from stabkit.catalog import torch_divergences, torch_losses
from stabkit.domain import Built
from stabkit.errors import DomainError, TargetError
from stabkit.events import Ended, Judged, Ranged
from stabkit.floats import FORMATS
from stabkit.notation import parse_parameter
from stabkit.program import Program, confirm_batching
from stabkit.search.points import draw, probe_points
from stabkit.target import resolve
from stabkit.worker import Workers

EVERYTHING = catalog.find("torch")
CLASSICAL = {  # losses, and distances that losses are made of, whose names do not end in _loss
    *("binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "kl_div"),
    *("cosine_similarity", "pairwise_distance", "pdist"),
}
UNIMPLEMENTED = {  # in 16 bits on a CPU
    *("cdist", "cdist_l1", "ctc_loss", "multi_margin_loss", "multi_margin_loss_squared", "multilabel_margin_loss"),
    *("pdist", *(e.name for e in torch_divergences.ENTRIES if "multivariate" in e.name)),
}


def starts(name: str, entries: Sequence[Any]) -> bool:
    return any(e.name == name or e.name.startswith(f"{name}_") for e in entries)


def test_every_registered_divergence_has_an_entry_or_a_reason() -> None:
    registered = {f"{p.__name__}_{q.__name__}".lower() for p, q in _KL_REGISTRY}
    entries = {e.name for e in torch_divergences.ENTRIES}
    missing = sorted(registered - entries - set(torch_divergences.EXCLUDED))
    assert missing == [], "torch registers divergences that stabkit/catalog/torch_divergences.py does not list"
    assert sorted(set(torch_divergences.EXCLUDED) - registered) == [], "torch registers these exclusions no more"
    assert not entries & set(torch_divergences.EXCLUDED)


def test_every_loss_of_torch_has_an_entry_or_a_reason() -> None:
    losses = {n for n in dir(F) if n.endswith("_loss") and not n.startswith("_")} | CLASSICAL
    missing = sorted(n for n in losses - set(torch_losses.EXCLUDED) if not starts(n, torch_losses.ENTRIES))
    assert missing == [], "torch has losses that stabkit/catalog/torch_losses.py does not list"
    assert sorted(set(torch_losses.EXCLUDED) - losses) == []


PLAIN = {  # an instance of each distribution that an infinite divergence is said to be of
    "bernoulli": distributions.Bernoulli(torch.tensor([0.5])),
    "beta": distributions.Beta(torch.ones(1), torch.ones(1)),
    "binomial": distributions.Binomial(3, torch.tensor([0.5])),
    "continuousbernoulli": distributions.ContinuousBernoulli(torch.tensor([0.3])),
    "exponential": distributions.Exponential(torch.ones(1)),
    "gamma": distributions.Gamma(torch.ones(1), torch.ones(1)),
    "gumbel": distributions.Gumbel(torch.zeros(1), torch.ones(1)),
    "laplace": distributions.Laplace(torch.zeros(1), torch.ones(1)),
    "normal": distributions.Normal(torch.zeros(1), torch.ones(1)),
    "pareto": distributions.Pareto(torch.ones(1), torch.ones(1)),
    "poisson": distributions.Poisson(torch.ones(1)),
    "uniform": distributions.Uniform(torch.zeros(1), torch.ones(1)),
}


@pytest.mark.parametrize("name", torch_divergences.EXCLUDED)
def test_divergences_left_out_as_infinite_are(name: str) -> None:
    p, _, q = name.partition("_")
    assert kl_divergence(PLAIN[p], PLAIN[q]).tolist() == [float("inf")]


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", EVERYTHING)
def test_every_entry_runs_wherever_its_domains_say(name: str, dtype: str) -> None:
    target = resolve(name, [])
    program = Program(target, FORMATS[dtype])
    if name.rpartition(".")[2] in UNIMPLEMENTED and FORMATS[dtype].bits is torch.int16:
        with pytest.raises(DomainError, match="not implemented for"):
            confirm_batching(program, probe_points(program, 5))
        return
    program, _ = confirm_batching(program, probe_points(program, 5))
    count = 200 if program.batched else 20
    outcome = program.run(draw(target.arguments, program.form, count, torch.Generator().manual_seed(3)))
    assert outcome.complaint is None
    assert set(outcome.gradients) == {a.name for a in target.arguments if a.is_differentiable}
    assert bool(outcome.values.isfinite().any())


def test_names_mean_one_entry_a_family_or_everything() -> None:
    assert list(catalog.find("torch:kl.beta_beta")) == ["torch:kl.beta_beta"]
    losses, divergences = catalog.find("torch:losses"), catalog.find("torch:kl")
    assert [*losses, *divergences] == list(EVERYTHING)
    assert len(losses) == len(torch_losses.ENTRIES)
    assert len(divergences) == len(torch_divergences.ENTRIES)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("torch:kl.beta_bta", "did you mean torch:kl.beta_beta?"),
        ("torch:loses.huber_loss", "did you mean torch:losses.huber_loss?"),
        ("torch:losse", "did you mean torch:losses?"),
        ("torch:xyz", "write torch:losses, torch:kl or one of their names"),
    ],
)
def test_an_unknown_name_is_told_the_closest(name: str, remedy: str) -> None:
    with pytest.raises(TargetError) as caught:
        resolve(name, [])
    assert caught.value.remedy == remedy


def test_what_torch_itself_has_stays_a_target_of_its_own() -> None:
    assert resolve("torch:sigmoid", [parse_parameter("input=real")]).function is torch.sigmoid
    assert not catalog.is_meant("torch.nn.functional:mse_loss")


def test_arguments_of_an_entry_can_be_declared_anew() -> None:
    target = resolve("torch:losses.huber_loss", [parse_parameter("input=[0,1]")])
    assert [str(p) for p in target.parameters][:2] == ["input=unit", "target=data:real"]
    with pytest.raises(TargetError, match="did you mean 'target'"):
        resolve("torch:losses.huber_loss", [parse_parameter("targt=[0,1]")])


def test_workers_expand_collections_of_torch() -> None:
    with Workers(1) as workers:
        assert workers.expand(["torch:kl.beta_beta", "torch:sigmoid"]) == ["torch:kl.beta_beta", "torch:sigmoid"]
        assert workers.expand(["torch:losses", "torch:kl"]) == list(EVERYTHING)
        with pytest.raises(TargetError, match="beta_beta"):
            workers.expand(["torch:kl.beta_bet"])


def test_a_dtype_that_torch_does_not_implement_is_not_applicable() -> None:
    events = list(audit_target(Job("torch:losses.pdist", dtypes=("float16", "float32"), seconds=4.0)))
    assert isinstance(events[-1], Ended)
    assert events[-1].status in ("audited", "failed")
    half, single = (e for e in events if isinstance(e, Judged))
    assert {v.verdict for v in half.verdicts} == {"not_applicable"}
    assert "not implemented for 'Half'" in half.verdicts[0].reason
    assert single.coverage is not None


def test_a_range_of_an_entry_is_found() -> None:
    job = Job("torch:kl.poisson_poisson", ("p=Poisson(rate:point{3})",), dtypes=("float16",), seconds=6.0, task="range")
    ranges = [r for e in audit_target(job) if isinstance(e, Ranged) for r in e.ranges]
    assert {r.argument for r in ranges} == {"q.rate"}


def test_python_values_of_a_distribution_are_passed_to_it() -> None:
    built = parse_parameter("p=Binomial(probs:unit,total_count:=10)")
    assert isinstance(built, Built)
    assert str(built) == "p=Binomial(probs:unit,total_count:=10)"
    assert parse_parameter(str(built)) == built
    target = resolve("torch:kl.binomial_binomial", [])
    outcome = Program(target, FORMATS["float64"]).run(
        {"p.probs": torch.tensor([0.5]).double(), "q.probs": torch.tensor([0.25]).double()}
    )
    bernoulli = 0.5 * torch.tensor(4 / 3).double().log()
    assert outcome.values.item() == pytest.approx(10 * float(bernoulli))


def test_targets_that_end_early_leave_their_time_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def start(self: Workers, job: Job, grace: float) -> None:
        given.append(job.seconds)
        self.running.append(worker._Running(None, *[worker.Path("nowhere")] * 3, ended=True))

    monkeypatch.setattr(Workers, "_start", start)
    monkeypatch.setattr(worker.time, "monotonic", lambda: 100.0)
    jobs = [Job("a", seconds=10.0)] * 6
    list(Workers(2).events(jobs, until=160.0))
    assert given == [10.0, 10.0, 30.0, 40.0, 60.0, 60.0]
    given.clear()
    list(Workers(2).events(jobs))
    assert given == [10.0] * 6
