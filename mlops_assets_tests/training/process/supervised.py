"""Trainers that misbehave, or train step by step; the tests run them in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.training.run import TrainingRun

HERE = __name__
FRAMEWORK = "pytorch"


class Conduct(BaseModel):
    """The act of a trainer, and the file that it writes just before."""

    does: Literal["hang", "ignore", "leak", "die", "refuse", "log nan", "exit", "bear"] = "hang"
    begun: str | None = None


def behave(data: TrainingData, params: Conduct, run: TrainingRun) -> nn.Module:
    """Do something no trainer should do."""
    if params.does == "ignore":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    run.log({"loss": 1.0}, step=0)
    run.checkpoint({"loss": 1.0}, step=0)
    if params.does == "bear":  # a process that only ends if it is killed
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        run.log({"child": float(child.pid)}, step=0)
    print("about to", params.does, flush=True)
    if params.begun is not None:
        Path(params.begun).touch()
    if params.does == "leak":
        held = []
        while True:
            held.append(np.ones(10_000_000))  # 80 MB
            time.sleep(0.05)
    if params.does == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if params.does == "exit":
        visible, threads = os.environ.get("CUDA_VISIBLE_DEVICES"), torch.get_num_threads()
        print("devices", visible, "threads", threads, run.device, flush=True)
        os._exit(3)
    if params.does == "refuse":
        raise ValueError("these fields are fallow")
    if params.does == "log nan":
        run.log({"loss": float("nan")}, step=1)
    time.sleep(600)
    raise AssertionError("this was not stopped")


class Steps(BaseModel):
    """The length of training, and the step at which the first attempt ends, fails or waits."""

    steps: int = 6
    die_at: int | None = None
    fail_at: int | None = None
    wait_at: int | None = None


class Net(nn.Module):
    """Draws random numbers in every step."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.features, self.classes = features, classes
        self.body = nn.Sequential(
            nn.Linear(features, 8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, classes)
        )

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.body(rows)
        return scores


def stepwise(data: TrainingData, params: Steps, run: TrainingRun) -> nn.Module:
    """Train with momentum, dropout, and batches that NumPy draws.

    Keep a checkpoint at every other step.
    """
    X, y = (torch.from_numpy(array) for array in data.arrays("train"))
    net = Net(X.shape[1], len(data.class_names))
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    start, saved = 0, run.restore()
    if saved is not None:
        net.load_state_dict(saved.state["net"])
        optimizer.load_state_dict(saved.state["optimizer"])
        start = saved.step + 1
    for step in range(start, params.steps):
        chosen = torch.from_numpy(np.random.permutation(len(y))[:32])
        loss = nn.functional.cross_entropy(net(X[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log({"loss": float(loss.detach())}, step=step)
        if step == params.fail_at and saved is None:
            raise RuntimeError("out of luck")
        if step == params.wait_at and saved is None:
            time.sleep(600)
        if step == params.die_at and saved is None:
            assert run._points is not None
            # points after the checkpoint are written, as they are after a second
            run._points.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if step % 2 == 1:
            run.checkpoint({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, step)
    return net.eval()


def together(data: TrainingData, params: Conduct, run: TrainingRun) -> nn.Module:
    """Add up what all processes hold."""
    total = torch.tensor([float(run.rank + 1)])
    torch.distributed.all_reduce(total)
    run.log({"total": float(total), "processes": run.world_size}, step=0)
    print(f"rank {run.rank}", file=sys.stderr, flush=True)  # one write: two processes share the log
    torch.manual_seed(0)
    return Net(data.sample_shape[0], len(data.class_names)).eval()


class Epochs(BaseModel):
    """The length of `chatty`, the file that each epoch waits for, and its output at the end."""

    epochs: int = 3
    waits_for: str | None = None
    megabytes: int = 0


def chatty(data: TrainingData, params: Epochs, run: TrainingRun) -> nn.Module:
    """Print in every epoch, also in a child process; and what is no text."""
    for epoch in range(params.epochs):
        print(f"epoch {epoch} begins")
        print("\x1b[2Jto stderr", file=sys.stderr)
        subprocess.run(["echo", "of a child"], check=True)
        run.log({"loss": 1 / (epoch + 1), "accuracy": epoch / 10, "seed": 7}, step=epoch)
        while params.waits_for and not Path(params.waits_for).exists():
            time.sleep(0.05)
    os.write(1, b"\xff\xfe" + b"x" * (params.megabytes << 20) + b"no end")
    torch.manual_seed(0)
    return Net(data.sample_shape[0], len(data.class_names)).eval()
