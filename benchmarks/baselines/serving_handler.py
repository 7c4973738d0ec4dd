"""A service as one writes it with FastAPI: a handler that decodes an image, runs the network on it, and answers.

Run by uvicorn, with the model's path in ``MODEL``. ``/predict`` is a plain function, which FastAPI calls in a thread, as its documentation
advises for work that blocks; ``/predict-async`` does the same in the event loop.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from fastapi import FastAPI, UploadFile

from sparkweave.artifacts.model import ModelArtifact
from sparkweave.data.images import decode, use_one_thread
from sparkweave.networks import build_network

torch.set_num_threads(1)
use_one_thread()
app = FastAPI()
_MODEL = ModelArtifact.load(os.environ["MODEL"])
_LABELS = _MODEL.config["labels"]
_CHANNELS, _HEIGHT, _WIDTH = _MODEL.config["input_shape"]
_MEAN, _DEVIATION = (
    torch.tensor(_MODEL.config["preprocessing"][name])[:, None, None] for name in ("mean", "deviation")
)
_NETWORK = build_network(
    _MODEL.config["network"], input_shape=(_CHANNELS, _HEIGHT, _WIDTH), classes=len(_LABELS), allow_code=False
)
_NETWORK.load_state_dict(dict(_MODEL.weights))
_NETWORK.eval()


@app.post("/predict")
def predict(image: UploadFile) -> dict[str, Any]:
    return _predict(image.file.read())


@app.post("/predict-async")
async def predict_async(image: UploadFile) -> dict[str, Any]:
    return _predict(await image.read())


def _predict(content: bytes) -> dict[str, Any]:
    pixels = torch.from_numpy(decode(content, height=_HEIGHT, width=_WIDTH, channels=_CHANNELS))
    with torch.inference_mode():
        batch = (pixels.permute(2, 0, 1)[None].float() / 255 - _MEAN) / _DEVIATION
        probabilities = _NETWORK(batch).softmax(dim=1)[0]
    best = int(probabilities.argmax())
    return {"label": _LABELS[best], "probability": float(probabilities[best]), "probabilities": probabilities.tolist()}
