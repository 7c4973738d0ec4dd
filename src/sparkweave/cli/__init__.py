"""The `sparkweave` command: one file a command."""
