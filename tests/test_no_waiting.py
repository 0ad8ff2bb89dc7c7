"""A step waits for no device: it runs on torch's `meta` device, which has no numbers to wait for."""

from itertools import count, islice

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from mspn.data.batches import Batch
from mspn.networks.build import build_network
from mspn.training.hardware import Options
from mspn.training.objective import Learner, Objective, accumulate_gradients
from mspn.training.train import Stop, send

META, SIZE = torch.device("meta"), (64, 48)


class Constants(TorchFunctionMode):
    """Fails where Python's numbers become a tensor on the device: each time a copy that is waited for."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor):
            assert torch.device(kwargs.get("device") or "cpu") != META, "a constant made anew"
        if func is torch.Tensor.__getitem__ and args[0].device == META:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            assert not any(isinstance(part, list | tuple) for part in index), "a list for an index"
        return func(*args, **kwargs)


class Waits(TorchDispatchMode):
    """Fails where a CUDA device would make the host wait: at a copy in either direction that is not started
    alone, and, as `meta` itself does, at every look at a number.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            source = args[0] if func == torch.ops.aten._to_copy.default else args[1]
            goal = kwargs.get("device") or args[0].device
            if source.device != goal:
                started_alone = kwargs.get("non_blocking") or (len(args) > 2 and args[2])
                assert started_alone, f"a copy from {source.device} to {goal} that is waited for"
                if goal.type == "cpu":
                    return torch.zeros(source.shape, dtype=source.dtype)
        return func(*args, **kwargs)


def learner(name="mspn-2"):
    network = build_network(name, width=0.0625)
    objective = Objective(SIZE, len(network.stages), (15, 11, 9, 7), (11, 9, 7, 5))  # type: ignore[arg-type]
    return Learner(network.to(META), objective, META, Options()).train()


def batches(made):
    for number in count():
        made.append(number)
        yield Batch(torch.zeros(2, *SIZE, 3, dtype=torch.uint8), torch.ones(2, 17, 3), torch.arange(2))


@pytest.mark.parametrize("name", ["mspn-2", "hourglass-2"])
def test_a_step_is_sent_to_the_device_and_never_waited_for(name):
    model, made = learner(name), list[int]()
    sent_before_second = list[int]()
    model.register_forward_pre_hook(lambda module, inputs: sent_before_second.append(len(made)))
    with Constants(), Waits():
        losses, rows = accumulate_gradients(
            model, islice(batches(made), 2), global_batch=4, micro=2, device=META
        )
        sent = send(3, 0.1, losses, rows, 4, Stop(), world=1)
    assert sent_before_second == [1, 2]  # the first micro-batch is there before the second is made
    assert losses.shape == (4, 2, 4) and losses.device == META
    assert [len(stage) for stage in sent.read()[0]] == [4, 4]
    assert all(p.grad is not None and p.grad.device == META for p in model.parameters())


@pytest.mark.parametrize(
    "waiting",
    [
        lambda losses: losses.sum().item(),
        lambda losses: losses.cpu(),
        lambda losses: losses + torch.tensor([1.0, 2.0, 3.0, 4.0], device=META),
        lambda losses: losses[:, [0, 1]],
        lambda losses: losses[losses > 0],
    ],
    ids=[
        "a number",
        "a copy to the host",
        "a constant made anew",
        "a list for an index",
        "a mask for an index",
    ],
)
def test_the_check_sees_what_waits(waiting):
    losses = torch.empty(2, 2, 4, device=META)
    with Constants(), Waits(), pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        waiting(losses)
