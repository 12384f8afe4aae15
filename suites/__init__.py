"""What is run on demand: accuracy tables and benchmarks. Each is `python -m stabkit.suites.NAME`."""
