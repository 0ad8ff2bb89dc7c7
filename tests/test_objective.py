import copy
import math
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from mspn.data.batches import Batch, normalise
from mspn.errors import UserError
from mspn.experiment.config import Recipe
from mspn.experiment.grid import load_grid
from mspn.experiment.scale_file import load_scale
from mspn.networks.build import build_network
from mspn.training.hardware import Options, prepare
from mspn.training.literal import LiteralObjective, literal_blocks
from mspn.training.objective import Learner, Objective, accumulate_gradients, starting_network
from mspn.training.optimiser import load_optimiser, make_optimiser, take_step, update_average
from mspn.training.schedule import learning_rate

PAPER = Recipe(batch=256, iterations=90_000, lr=5e-4, augmentation="paper-literal", norm_batch=32)
RELEASED = Recipe(batch=256, iterations=96_000, lr=4e-3, warmup_iterations=2400, norm_batch=32)
CPU = torch.device("cpu")
torch.set_num_threads(1)


def test_papers_schedule():
    assert [learning_rate(PAPER, step) for step in (0, 45_000, 90_000)] == [5e-4, 2.5e-4, 0]
    with pytest.raises(ValueError, match="step 90001 of a schedule of 90000"):
        learning_rate(PAPER, 90_001)
    assert learning_rate(PAPER, 89_999) == pytest.approx(5e-4 / 90_000)


def test_released_schedule():
    rates = [learning_rate(RELEASED, step) for step in (0, 1200, 2400, 49_200, 96_000)]
    assert rates == pytest.approx([4e-4, 2.2e-3, 4e-3, 2e-3, 0])
    assert learning_rate(RELEASED, 2399) < learning_rate(RELEASED, 2400) > learning_rate(RELEASED, 2401)


@pytest.mark.parametrize("recipe", [PAPER, RELEASED])
def test_schedule_is_linear_on_either_side_of_the_warmup(recipe):
    warmup = recipe.warmup_iterations
    for steps in (range(0, warmup), range(warmup, recipe.iterations)):
        rates = [learning_rate(recipe, step) for step in list(steps)[:: max(len(steps) // 10, 1)]]
        differences = [b - a for a, b in pairwise(rates)]
        assert np.allclose(differences, differences[:1] * len(differences), rtol=1e-6)


def test_the_paper_scale_trains_by_the_released_recipe_and_another_can_be_named(tmp_path):
    recipe = load_scale("paper").recipes["coco"]
    assert recipe.model_copy(update={"precision": "fp32"}) == RELEASED
    path = tmp_path / "literal.yaml"
    path.write_text("extends: paper\nrecipes: {coco: {extends: paper-literal, precision: fp32}}")
    assert load_scale(str(path)).recipes["coco"] == PAPER
    path.write_text("extends: paper\nrecipes: {coco: {extends: papers}}")
    with pytest.raises(UserError, match=r"recipes.coco.extends: no recipe 'papers'; .* has: released, paper"):
        load_scale(str(path))


def test_a_cooldown_holds_the_rate_and_lets_it_fall_within_its_share():
    recipe = Recipe(batch=2, iterations=100, lr=1.0, warmup_iterations=10, cooldown=0.2)
    rates = [learning_rate(recipe, step) for step in (0, 5, 10, 79, 80, 90, 100)]
    assert rates == pytest.approx([0.1, 0.55, 1, 1, 1, 0.5, 0])


def small_network():
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1, bias=False)]
    return prepare(nn.Sequential(*layers), CPU, Options())


def test_adam_agrees_with_the_paper_of_adam():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 2.0)
    adam, x, m, v = make_optimiser(network, weight_decay=0.5), 2.0, 0.0, 0.0
    for t in range(1, 5):
        (3 * network.weight.square().sum()).backward()
        take_step(adam, 0.1)
        g = 6 * x + 0.5 * x
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x -= 0.1 * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        assert network.weight.item() == pytest.approx(x, rel=1e-5)


def test_adam_goes_on_from_a_saved_state_in_another_memory_layout():
    there, here = small_network(), small_network().to(memory_format=torch.contiguous_format)
    optimisers = [make_optimiser(network, 0.1) for network in (there, here)]
    x = torch.randn(2, 3, 5, 5)

    def step(network, optimiser):
        network(x).square().sum().backward()
        take_step(optimiser, 0.01)

    step(there, optimisers[0])
    here.load_state_dict(there.state_dict())
    load_optimiser(optimisers[1], copy.deepcopy(optimisers[0].state_dict()))
    for network, optimiser in zip((there, here), optimisers, strict=True):
        step(network, optimiser)
    for a, b in zip(there.parameters(), here.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
        assert a.grad is None


class Plain(nn.Module):
    """Two stages of two scales without batch norm: what a sample gives depends on no other."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2 * 2 * 17, 4, 4)

    def forward(self, images, all_stages=False):
        maps = self.conv(images)
        return maps.reshape(len(maps), 2, 2, 17, *maps.shape[-2:]) if all_stages else maps[:, -17:]


def random_batch(samples, size=(32, 24)):
    generator = torch.Generator().manual_seed(3)
    joints = torch.rand(samples, 17, 3, generator=generator) * torch.tensor([size[1], size[0], 3.0])
    joints[..., 2].floor_()
    images = torch.randint(0, 256, (samples, *size, 3), dtype=torch.uint8, generator=generator)
    return Batch(images, joints, torch.arange(samples))


def gradients(network, batches, objective, global_batch):
    learner = Learner(network, objective, CPU, Options(channels_last=False))
    losses, rows = accumulate_gradients(
        learner, batches, global_batch=global_batch, micro=len(batches), device=CPU
    )
    assert torch.equal(rows, torch.cat([batch.index for batch in batches]))
    return losses, {name: p.grad.clone() for name, p in network.named_parameters()}


def part(batch, cut):
    return Batch(batch.images[cut], batch.joints[cut], batch.index[cut])


def test_accumulation_gives_the_gradient_of_the_whole_batch():
    torch.manual_seed(0)
    network = Plain()
    objective, batch = Objective((32, 24), 2, (9, 7), (7, 5)), random_batch(8)
    losses, whole = gradients(network, [batch], objective, 8)
    network.zero_grad()
    parts = [part(batch, slice(start, start + 2)) for start in range(0, 8, 2)]
    losses_of_parts, accumulated = gradients(network, parts, objective, 8)
    torch.testing.assert_close(losses, losses_of_parts, rtol=1e-5, atol=0)
    torch.testing.assert_close(whole, accumulated, rtol=1e-4, atol=1e-3)
    assert whole["conv.weight"].abs().max() > 5  # so that the tolerance above means something


def test_running_statistics_follow_the_first_micro_batch_of_a_step():
    """As those of the first of several GPUs do, whatever one device takes one after the other."""
    objective, batch = Objective((32, 24), 1, (7,) * 4, (7,) * 4), random_batch(4)
    found = []
    for parts in ([part(batch, slice(0, 2))], [part(batch, slice(0, 2)), part(batch, slice(2, 4))]):
        torch.manual_seed(0)
        network = build_network("mspn-1", width=0.0625).train()
        gradients(network, parts, objective, 4)
        found.append({key: value for key, value in network.state_dict().items() if "running" in key})
        assert network.stem.conv.norm.num_batches_tracked == 1  # type: ignore[union-attr]
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_gradient_is_that_of_the_mean_over_the_global_batch():
    torch.manual_seed(0)
    network = Plain()
    objective, batch = Objective((32, 24), 2, (9, 7), (7, 5)), random_batch(4)
    _, ours = gradients(network, [batch], objective, 4)
    network.zero_grad()
    images = (batch.images.float() / 255 - torch.tensor([0.406, 0.456, 0.485])) / torch.tensor(
        [0.225, 0.224, 0.229]
    )
    objective(network, images.permute(0, 3, 1, 2), batch.joints).sum((1, 2)).mean().backward()
    torch.testing.assert_close(ours["conv.weight"], network.conv.weight.grad, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["mspn-2", "hourglass-2"])
def test_the_step_is_the_literal_one(name):
    """In double precision, so that rounding, which batch norm enlarges, does not hide an error."""
    torch.manual_seed(0)
    network = prepare(build_network(name, width=0.0625).double(), CPU, Options())
    batch = random_batch(4, (64, 48))
    images = normalise(batch.images).double().contiguous(memory_format=torch.channels_last)
    found = []
    for kind, blocks in ((Objective, nullcontext()), (LiteralObjective, literal_blocks())):
        trained = copy.deepcopy(network)
        with blocks:
            losses = kind((64, 48), 2, (15, 11, 9, 7), (11, 9, 7, 5))(trained, images, batch.joints)
            losses.sum().backward()
        gradients = {key: p.grad for key, p in trained.named_parameters() if p.grad is not None}
        found.append((losses, gradients, dict(trained.named_buffers())))
    (losses, gradients, buffers), (same_losses, same_gradients, same_buffers) = found
    torch.testing.assert_close(losses.float(), same_losses, rtol=1e-5, atol=0)
    torch.testing.assert_close(buffers, same_buffers, rtol=1e-9, atol=1e-12)
    for key, gradient in gradients.items():
        assert (gradient - same_gradients[key]).norm() <= 1e-4 * same_gradients[key].norm() + 1e-9, key


def test_bf16_keeps_losses_weights_and_gradients_in_fp32():
    torch.manual_seed(0)
    network = build_network("mspn-1", width=0.0625)
    exact, _ = gradients(network, [random_batch(4)], Objective((32, 24), 1, (7,) * 4, (7,) * 4), 4)
    network.zero_grad()
    objective = Objective((32, 24), 1, (7,) * 4, (7,) * 4, precision="bf16")
    losses, grads = gradients(network, [random_batch(4)], objective, 4)
    assert losses.dtype == torch.float32
    assert {g.dtype for g in grads.values()} == {torch.float32}
    assert not torch.equal(losses, exact)
    torch.testing.assert_close(losses, exact, rtol=0.02, atol=0)


def test_average_of_the_weights():
    network = small_network()
    average = {name: value.clone() for name, value in network.state_dict().items()}
    before = average["0.weight"].clone()
    with torch.no_grad():
        network[0].weight += 1
        network[1].num_batches_tracked += 5
    update_average(average, network, decay=0.9)
    torch.testing.assert_close(average["0.weight"], before + 0.1)
    assert average["1.num_batches_tracked"] == 5


def test_initial_weights_depend_on_the_seed_alone():
    run = load_grid()["mspn-1"]
    torch.randn(7)
    first = starting_network(run, 0.0625, seed=1).state_dict()
    again = starting_network(run, 0.0625, seed=1).state_dict()
    other = starting_network(run, 0.0625, seed=2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_every_parameter_of_every_network_takes_part_in_the_loss():
    for run in {run.network: run for run in load_grid().values() if run.network}.values():
        network = starting_network(run, 0.0625, seed=0).train()
        network(torch.empty(2, 3, 64, 48), all_stages=True).sum().backward()
        idle = [name for name, parameter in network.named_parameters() if parameter.grad is None]
        assert not idle, (run.network, idle)
