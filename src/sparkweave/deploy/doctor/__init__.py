"""What `sparkweave doctor` looks at on the driver and in the executors, and what it makes of it."""
