"""Predictions for a stream of images: from a folder or Kafka, to Parquet or Kafka, each batch exactly once."""
