"""The library in one page: train, evaluate, save, load, predict, and take the plain PyTorch network.

Run `make demo` first, which writes the images; then ::

    python examples/library.py
"""

from __future__ import annotations

from sparkweave import (
    LossLogger,
    ParameterAveraging,
    TrainedModel,
    Trainer,
    TrainingConfig,
    build_session,
    read_image_archives,
)

spark = build_session("local[2]")
training_images = read_image_archives(spark, "demo/train")
test_images = read_image_archives(spark, "demo/test.zip")

trainer = Trainer(
    "lenet",
    strategy=ParameterAveraging(averaging_frequency=5),
    config=TrainingConfig(epochs=3, batch_size=50, workers=2, log_every=10),
    callbacks=[LossLogger(every=10)],
)
model = trainer.fit(training_images)
print(model.evaluate(test_images).stats())

model.save("demo/library.zip", overwrite=True)
again = TrainedModel.load("demo/library.zip")
again.transform(test_images).select("path", "prediction", "probability").show(3)

network = again.network()  # a torch.nn.Module, for everything else that PyTorch can do
print(network)
