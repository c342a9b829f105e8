"""Everything that is generated from the committed results: tables, figures and parts of pages.

`python -m benchmarks.pages` generates all of it again. Nothing here measures anything.

words, results   numbers as text; the committed results, and which numbers of a contender are quoted
conditions       machine, versions, load and kernels of the measurements
tables, section_tables                           rows for each contender; sections with a form of their own
benchmark_page, main_page, best_rows             docs/benchmarks_all.md and docs/benchmarks.md; its rows
readme, example_tables, kernel_costs             one page each: its file, and its regenerated text
expected         estimates of `gramless.estimate` beside measurements
values           the numbers that pages include by name, for docs/conf.py
figures, how_it_works                            figures, with matplotlib
"""
