"""What stays of a finished training: the policy as ONNX, which runs without torch, and its weights."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from train.policy import Policy
from train.ppo import CHECKPOINT, write_checkpoint

OPSET = 17


def export(policy: Policy, path: Path) -> None:
    """Write ``policy.onnx``: ``observation`` (N, O) → ``action`` (N, A), both float32, any N."""
    size = policy.normaliser.mean.shape[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter is the one that needs no onnxscript; it says it is old
        torch.onnx.export(
            policy.eval(),
            (torch.zeros(1, size),),
            str(temporary),
            input_names=["observation"],
            output_names=["action"],
            dynamic_axes={"observation": {0: "count"}, "action": {0: "count"}},
            opset_version=OPSET,
            dynamo=False,
        )
    temporary.replace(path)


def export_weights(policy: Policy, path: Path) -> None:
    """Write ``policy.pt``: a checkpoint of the policy alone, critic included, that `train.ppo.load_policy` reads."""
    write_checkpoint({"version": CHECKPOINT, "policy": policy.state_dict()}, path)
