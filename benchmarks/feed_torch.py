"""The PyTorch side of `feed`: a script of its own, as PyTorch may live in another environment (with NumPy and Pillow).

`feed_torch.py training ROWS BATCH WORKERS` and `feed_torch.py photos FOLDER SIZE BATCH WORKERS` print a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

_EPOCHS = 2


def training(num_rows: int, batch_size: int, workers: int) -> float:
    """Rows a second of an epoch, after one that does not count."""
    torch.set_num_threads(1)  # such small layers are several times as fast in one thread
    random = np.random.default_rng(0)
    x = torch.from_numpy(random.standard_normal((num_rows, 20), np.float32))
    y = (x[:, :1] + x[:, 1:2] > 0).float()
    loader = DataLoader(
        TensorDataset(x, y), batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    linear, relu = torch.nn.Linear, torch.nn.ReLU
    model = torch.nn.Sequential(linear(20, 64), relu(), linear(64, 64), relu(), linear(64, 1))
    optimizer, loss_of = torch.optim.Adam(model.parameters(), 1e-3), torch.nn.BCEWithLogitsLoss()
    for _ in range(_EPOCHS):
        started = time.perf_counter()
        for features, label in loader:
            optimizer.zero_grad()
            loss_of(model(features), label).backward()
            optimizer.step()
    return num_rows / (time.perf_counter() - started)


class Photos(Dataset):
    """Class folders of JPEGs, cropped at random, resized and mirrored: uint8 [3, size, size] and the class."""

    def __init__(self, folder: Path, size: int) -> None:
        self.paths = sorted(folder.glob("*/*.jpg"))
        self.size, classes = size, sorted({path.parent.name for path in self.paths})
        self.labels = [classes.index(path.parent.name) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        from PIL import Image

        with Image.open(self.paths[place]) as opened:
            image = opened.convert("RGB")
        part, left, top, mirrored = torch.rand(4).tolist()
        width, height = (side * (1 - 0.1 * part) for side in image.size)
        left, top = left * (image.width - width), top * (image.height - height)
        # Cropped and resized in one go.
        image = image.resize(
            (self.size, self.size), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height)
        )
        if mirrored < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1), self.labels[place]


def photos(folder: Path, size: int, batch_size: int, workers: int) -> list[float]:
    """Images a second of each of two epochs."""
    data = Photos(folder, size)
    loader: Any = DataLoader(data, batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    speeds = []
    for _ in range(_EPOCHS):
        started = time.perf_counter()
        for _ in loader:
            pass
        speeds.append(len(data) / (time.perf_counter() - started))
    return speeds


if __name__ == "__main__":
    if sys.argv[1] == "training":
        print(json.dumps({"speed": training(*map(int, sys.argv[2:]))}))
    else:
        print(json.dumps({"speeds": photos(Path(sys.argv[2]), *map(int, sys.argv[3:]))}))
