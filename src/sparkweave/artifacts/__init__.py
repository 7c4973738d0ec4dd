"""What a run leaves behind: models and checkpoints, sealed so that a damaged one is never taken for a whole one.

- `sparkweave.artifacts.model`: a trained model as a folder or a ``.zip``;
- `sparkweave.artifacts.checkpoint`: the states of a run, the newest of which loads;
- `sparkweave.artifacts.run_record`: what either tells of the run;
- `sparkweave.artifacts.sealed`: both are written and read through it, atomically;
- `sparkweave.artifacts.storage`: the only place that touches the disk.
"""
