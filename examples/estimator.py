"""A network as a stage of a `pyspark.ml` pipeline, on a table: fit with validation rows, choose Params, save, load.

::

    python examples/estimator.py
"""

from __future__ import annotations

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.tuning import ParamGridBuilder, TrainValidationSplit
from pyspark.sql import functions as F
from sklearn.datasets import load_wine

from sparkweave import TorchClassifier, build_session

spark = build_session("local[2]")
wine = load_wine(as_frame=True).frame
columns = [name.replace("/", "_") for name in wine.columns]
df = spark.createDataFrame(wine.set_axis(columns, axis=1)).withColumn("validation", F.rand(seed=1) < 0.2)

network = {"layers": [{"Linear": {"out_features": 32}}, "ReLU", {"Linear": {"out_features": "classes"}}]}
assembler = VectorAssembler(inputCols=columns[:-1], outputCol="features")
classifier = TorchClassifier(
    labelCol="target",
    network=network,
    epochs=30,
    batchSize=16,
    learningRate=0.01,
    numWorkers=2,
    validationIndicatorCol="validation",
    patience=5,
)
model = Pipeline(stages=[assembler, classifier]).fit(df)
summary = model.stages[-1].summary
print(f"{summary.total_epochs} epochs, the best was epoch {summary.best_epoch}")

evaluator = MulticlassClassificationEvaluator(labelCol="target", metricName="accuracy")
print(f"accuracy {evaluator.evaluate(model.transform(df)):.3f}")

quick = TorchClassifier(labelCol="target", network=network, epochs=20, batchSize=16, numWorkers=2)
grid = ParamGridBuilder().addGrid(quick.learningRate, [0.0001, 0.01]).build()
search = TrainValidationSplit(estimator=quick, estimatorParamMaps=grid, evaluator=evaluator, seed=1)
best = search.fit(assembler.transform(df)).bestModel
print(f"the better learning rate is {best.getLearningRate()}")

model.write().overwrite().save("demo/pipeline")
PipelineModel.load("demo/pipeline").transform(df).select("target", "prediction", "probability").show(3)
