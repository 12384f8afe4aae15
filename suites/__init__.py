"""What is run on demand: accuracy tables, tables of papers and benchmarks. Most are `python -m stabkit.suites.NAME`."""
