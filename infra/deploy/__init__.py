"""What `make deploy` and its like do, but for the build."""
