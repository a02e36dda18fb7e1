"""A local AWS for the demo and the tests: MiniStack, and what it lacks. README.md tells which part is which."""
