"""The steps of `make deploy` and similar targets, except the build."""
