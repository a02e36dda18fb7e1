"""A local AWS for the demo and the tests: MiniStack and additions. README.md lists the parts."""
