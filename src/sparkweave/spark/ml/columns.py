"""From the columns of a user's DataFrame to the rows that the trainer and the predictor take, and back.

A features column holds one of: encoded images (binary: PNG or JPEG), Spark's image struct (``format("image")``), the image struct
of `read_image_archives`, vectors (``VectorUDT``), or arrays of numbers.
"""

from __future__ import annotations

import dataclasses
import enum

from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, DataType, NumericType, StringType, StructType

from sparkweave.data.image_rows import DecodeOptions
from sparkweave.data.inputs import decode_inputs
from sparkweave.errors import DataError
from sparkweave.spark.archives import IMAGE_COLUMNS
from sparkweave.spark.chained import bound, map_batches
from sparkweave.spark.runtime import runtime_of

_SPARKS_IMAGE = {"origin", "height", "width", "nChannels", "mode", "data"}
_OUR_IMAGE = {"height", "width", "channels", "data"}
_NUMBERED_IMAGES = IMAGE_COLUMNS.replace("label string", "label double")


class Kind(enum.Enum):
    """What a features column holds."""

    ENCODED = "encoded images"
    SPARKS_IMAGE = "Spark's images"
    IMAGE = "images"
    VECTOR = "vectors"
    ARRAY = "arrays of numbers"

    @property
    def is_image(self) -> bool:
        """Whether networks take (channels, height, width)."""
        return self in (Kind.ENCODED, Kind.SPARKS_IMAGE, Kind.IMAGE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labelled:
    """Which columns of a DataFrame are trained on.

    Attributes:
        features: What the network sees.
        label: What it is to predict.
        weight: Of a row, or None.
        is_number: Whether a number is predicted, instead of a class.
    """

    features: str
    label: str
    weight: str | None
    is_number: bool


def kind_of(df: DataFrame, column: str) -> Kind:
    """What ``column`` holds.

    Raises:
        DataError: if there is no such column, or it holds something else.
    """
    found = _type(df, column)
    if isinstance(found, BinaryType):
        return Kind.ENCODED
    if isinstance(found, VectorUDT):
        return Kind.VECTOR
    if isinstance(found, ArrayType) and isinstance(found.elementType, NumericType):
        return Kind.ARRAY
    if isinstance(found, StructType) and set(found.names) >= _SPARKS_IMAGE:
        return Kind.SPARKS_IMAGE
    if isinstance(found, StructType) and set(found.names) >= _OUR_IMAGE:
        return Kind.IMAGE
    raise DataError(
        f"the column {column} is of type {found.simpleString()}; give encoded images (binary), an image struct, vectors, or "
        "arrays of numbers"
    )


def examples(df: DataFrame, columns: Labelled, options: DecodeOptions) -> DataFrame:
    """The rows that `sparkweave.Trainer` takes: ``path`` (a hash of the content), ``label``, ``image`` or ``features``, ``weight``.

    Raises:
        DataError: if a column is missing or of the wrong type.
    """
    kind = kind_of(df, columns.features)
    weight = [] if columns.weight is None else [F.col(columns.weight).cast("double").alias("weight")]
    label = _number(df, columns.label) if columns.is_number else class_label(df, columns.label)
    path = F.hex(F.xxhash64(_hashable(columns.features, kind), label, *weight))
    if kind.is_image:
        rows = df.select(
            path.alias("path"), label.alias("label"), _input(columns.features, kind).alias("input"), *weight
        )
        schema = _NUMBERED_IMAGES if columns.is_number else IMAGE_COLUMNS
        schema += ", weight double" if weight else ""
        return map_batches(rows, bound(decode_inputs, options=options, weighted=bool(weight)), schema)
    rows = df.select(
        path.alias("path"), label.alias("label"), _input(columns.features, kind).alias("features"), *weight
    )
    # Rows with the same content are interchangeable, and must not all come to one worker.
    number = F.row_number().over(Window.partitionBy("path").orderBy("path"))
    # As many tasks as run at once, instead of spark.sql.shuffle.partitions: each costs Python more than its rows do.
    spread = rows.repartition(runtime_of(df.sparkSession).parallelism(), "path")
    return spread.withColumn("path", F.concat_ws("-", "path", number))


def inputs_of(df: DataFrame, column: str) -> tuple[Kind, Column]:
    """What `column` holds, and it as the predictor's tasks take it: binary, an image struct, or an array of floats."""
    kind = kind_of(df, column)
    return kind, _input(column, kind)


def class_label(df: DataFrame, column: str) -> Column:
    """A class as text: texts as they are, whole numbers as such; null for other numbers.

    Raises:
        DataError: if the column is missing or holds neither.
    """
    found = _type(df, column)
    if isinstance(found, StringType):
        return F.col(column)
    if isinstance(found, NumericType):
        whole = F.col(column).cast("bigint")
        return F.when(F.col(column).cast("double") == whole.cast("double"), whole.cast("string"))
    raise DataError(f"the column {column} is of type {found.simpleString()}; give labels as numbers or as text")


def has_indexes(df: DataFrame, column: str) -> bool:
    """Whether labels are numbers, which count classes from 0."""
    return isinstance(_type(df, column), NumericType)


def _number(df: DataFrame, column: str) -> Column:
    found = _type(df, column)
    if not isinstance(found, NumericType):
        raise DataError(f"the column {column} is of type {found.simpleString()}; give numbers to predict")
    return F.col(column).cast("double")


def _input(column: str, kind: Kind) -> Column:
    if kind is Kind.VECTOR:
        return vector_to_array(F.col(column), "float32")
    return F.col(column).cast("array<float>") if kind is Kind.ARRAY else F.col(column)


def _hashable(column: str, kind: Kind) -> Column:
    """Of an image its bytes: where it came from is no part of it."""
    return F.col(column)["data"] if kind in (Kind.IMAGE, Kind.SPARKS_IMAGE) else _input(column, kind)


def _type(df: DataFrame, column: str) -> DataType:
    if column not in df.columns:
        raise DataError(f"the DataFrame has no column {column} (it has {', '.join(df.columns)})")
    return df.schema[column].dataType
