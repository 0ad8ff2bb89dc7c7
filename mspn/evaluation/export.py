"""Weights as an ONNX file, for runtimes without torch; checked against torch before it is written."""

import importlib.util
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mspn.data.batches import DEVIATION, MEAN
from mspn.data.geometry import TEST_ENLARGEMENT
from mspn.data.skeletons import skeleton_of_weights
from mspn.errors import UserError
from mspn.evaluation.protocols import filter_kernel
from mspn.files import atomic
from mspn.networks.weights import load_network
from mspn.training.targets import PEAK, STRIDE

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
TOLERANCE = 1e-4  # of the largest heat map value: rounding, in another order of sums
_CHECKED = 3  # images


def export_onnx(checkpoint: Path, out: Path) -> tuple[dict[str, Any], float]:
    """Write ``out``: ``images`` (N, 3, H, W), normalised, to ``heat_maps`` (N, K, H/4, W/4), for any N.

    Both are float32; the heat maps are the last stage's finest.

    Returns what the file says of itself (``about``) and the largest difference to torch's heat maps, as a
    share of the largest value. UserError where the packages of the group ``export`` are missing, the weights
    are none, or the difference is more than rounding.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"{', '.join(missing)}: not installed; `pip install -e '.[export]'` installs what it takes"
        )
    import onnx

    network, header = load_network(checkpoint)
    network.requires_grad_(False)
    size = tuple(header["input_size"])
    images = torch.randn(_CHECKED, 3, *size, generator=torch.Generator().manual_seed(0))
    model = _translate(network, images)
    for node in model.graph.node:
        del node.metadata_props[:]  # where in the sources, and on whose machine
    told = about(header)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in told.items()})
    content = model.SerializeToString()
    expected = network(images).numpy()
    difference = float(np.abs(_run(content, images.numpy()) - expected).max() / np.abs(expected).max())
    if not difference <= TOLERANCE:
        raise UserError(
            f"{checkpoint}: the exported heat maps differ from torch's by {difference:.1e} of the largest "
            "value; nothing is written"
        )
    with atomic(out) as temporary:
        temporary.write_bytes(content)
    return told, difference


def about(header: dict[str, Any]) -> dict[str, Any]:
    """What somebody who runs the file elsewhere has to know, by key; in the file each value is JSON."""
    joint_set = skeleton_of_weights(header)
    return {
        "joint_set": joint_set.name,
        "joints": list(joint_set.joints),
        "mirrored": joint_set.mirrored.tolist(),
        "limbs": [list(limb) for limb in joint_set.limbs],
        "input_size": list(header["input_size"]),
        "channel_order": "BGR",  # also of networks that were trained on RGB: they reverse it themselves
        "mean": list(MEAN),
        "deviation": list(DEVIATION),
        "stride": STRIDE,
        "peak": PEAK,
        "filter_kernel": filter_kernel(joint_set.name),
        "box_enlargement": list(TEST_ENLARGEMENT),
        "tensor_hash": header["tensor_hash"],
        "run": header.get("run"),
        "source": header.get("source"),
    }


def _translate(network: torch.nn.Module, images: torch.Tensor) -> Any:
    """torch's own exporter, quietly: it tells of its steps and of packages that are not needed."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (images,),
            input_names=["images"],
            output_names=["heat_maps"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _run(content: bytes, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": images})[0])
