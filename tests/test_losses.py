import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mspn.experiment.grid import SUPERVISIONS
from mspn.training.literal import kernel_table, literal_losses
from mspn.training.losses import stage_losses
from mspn.training.objective import Objective


def chosen(lines, table):
    """Each stage's and scale's lines (N, S, L, K, length) in float32, of those of all kernels."""
    down, across = (torch.as_tensor(line).float()[:, torch.tensor(table)] for line in lines)
    return down, across


def literal(heat_maps, lines, visibility, table):
    """The rule spelt out in loops over samples, stages, scales and joints, in float64."""
    targets = lines[0][..., :, None] * lines[1][..., None, :]
    batch, stages, scales, joints = heat_maps.shape[:4]
    result = np.zeros((batch, stages, scales))
    for n in range(batch):
        for s in range(stages):
            for scale in range(scales):
                per_joint = []
                for k in range(joints):
                    target = targets[n, table[s][scale], k]
                    if scale < scales - 1 and visibility[n, k] < 2:
                        target = np.zeros_like(target)
                    error = float(((heat_maps[n, s, scale, k] - target) ** 2).mean())
                    if scale == scales - 1 and visibility[n, k] == 0:
                        error = 0.0
                    per_joint.append(error)
                if scale < scales - 1:
                    result[n, s, scale] = sum(per_joint) / joints / 4
                else:
                    result[n, s, scale] = sum(sorted(per_joint)[-8:]) / 8
    return result


def example(stages, supervision, joints=17, batch=3, seed=0):
    scales, earlier, last = SUPERVISIONS[supervision]
    kernels, table = kernel_table(stages, earlier, last)
    random = np.random.default_rng(seed)
    visibility = random.integers(0, 3, (batch, joints))
    down = random.uniform(0, 1, (batch, len(kernels), joints, 6)) * (visibility > 0)[:, None, :, None]
    lines = (down, random.uniform(0, 1, (batch, len(kernels), joints, 5)))
    heat_maps = random.normal(0, 1, (batch, stages, scales, joints, 6, 5))
    return heat_maps, lines, visibility, table


@given(
    stages=st.integers(1, 8),
    supervision=st.sampled_from(sorted(SUPERVISIONS)),
    joints=st.sampled_from([16, 17]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_losses_agree_with_the_literal_rule(stages, supervision, joints, seed):
    heat_maps, lines, visibility, table = example(stages, supervision, joints, seed=seed)
    ours = stage_losses(
        torch.tensor(heat_maps, dtype=torch.float32),
        chosen(lines, table),
        torch.tensor(visibility, dtype=torch.float32),
    )
    assert ours.dtype == torch.float32
    np.testing.assert_allclose(ours, literal(heat_maps, lines, visibility, table), rtol=1e-6, atol=1e-6)


def test_kernels_per_stage():
    coarse, fine = (15, 11, 9, 7), (11, 9, 7, 5)
    kernels, table = kernel_table(4, coarse, fine)
    assert kernels == (15, 11, 9, 7, 5)
    assert table == ((0, 1, 2, 3),) * 3 + ((1, 2, 3, 4),)
    assert kernel_table(1, coarse, fine) == (fine, ((0, 1, 2, 3),))
    assert kernel_table(4, (7,), (7,)) == ((7,), ((0,),) * 4)


@pytest.mark.parametrize(
    ("supervision", "first", "last"),
    [("ctf", 7, 5), ("k77", 7, 7), ("k55", 5, 5), ("base", 7, 7)],
)
def test_finest_kernels_are_table_5s(supervision, first, last):
    kernels = Objective((64, 48), 2, *SUPERVISIONS[supervision][1:]).kernels
    assert (kernels[0][-1], kernels[1][-1]) == (first, last)


def test_hidden_joint_is_pulled_to_zero_at_coarse_scales_and_to_its_target_at_the_finest():
    heat_maps = torch.zeros(1, 1, 2, 17, 4, 4, requires_grad=True)
    lines = (torch.full((1, 1, 2, 17, 4), 2.0), torch.ones(1, 1, 2, 17, 4))
    visibility = torch.ones(1, 17)
    losses = stage_losses(heat_maps, lines, visibility)
    assert losses.tolist() == [[[0.0, 4.0]]]
    losses.sum().backward()
    assert heat_maps.grad is not None
    assert not heat_maps.grad[0, 0, 0].any() and (heat_maps.grad[0, 0, 1] != 0).sum() == 8 * 16


def test_losses_are_float32_when_the_network_computes_in_bfloat16():
    heat_maps, lines, visibility, table = example(2, "ctf")
    maps = torch.tensor(heat_maps).bfloat16()
    losses = stage_losses(maps, chosen(lines, table), torch.tensor(visibility))
    expected = literal(maps.double().numpy(), lines, visibility, table)
    assert losses.dtype == torch.float32
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_losses_do_not_depend_on_the_cut_into_micro_batches():
    heat_maps, lines, visibility, table = example(3, "ctf", batch=6)
    maps, seen = (torch.tensor(array).float() for array in (heat_maps, visibility))
    down, across = chosen(lines, table)
    whole = stage_losses(maps, (down, across), seen)
    parts = [
        stage_losses(maps[i : i + 2], (down[i : i + 2], across[i : i + 2]), seen[i : i + 2])
        for i in (0, 2, 4)
    ]
    torch.testing.assert_close(whole, torch.cat(parts), rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_losses_and_gradients_are_those_of_full_targets(kind):
    heat_maps, lines, visibility, table = example(2, "ctf")
    down, across, seen = (torch.tensor(array).float() for array in (*lines, visibility))
    down = down * 255
    maps = [torch.tensor(heat_maps * 50).to(kind).requires_grad_() for _ in range(2)]
    ours = stage_losses(maps[0], chosen((down, across), table), seen)
    full = literal_losses(maps[1], down[..., :, None] * across[..., None, :], seen, table)
    torch.testing.assert_close(ours, full, rtol=1e-5, atol=0)
    weights = torch.rand_like(ours)
    for losses in (ours, full):
        (losses * weights).sum().backward()
    assert maps[0].grad is not None and maps[0].grad.dtype == kind
    torch.testing.assert_close(
        maps[0].grad, maps[1].grad, rtol=1e-5 if kind == torch.float32 else 1e-2, atol=1e-5
    )
