"""Getting a run onto a cluster: the environment that it brings along, the memory that it needs, the submission. Without Spark."""
