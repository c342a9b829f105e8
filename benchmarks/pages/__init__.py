"""Everything that is drawn from the committed results: tables, figures and the generated parts of pages.

`python -m benchmarks.pages` redraws all of it. Nothing here measures anything.

words, results   numbers as text; results as committed, and which numbers of a contender are quoted
conditions       machine, versions, load and kernels of the measurements
tables, section_tables                           rows for each contender; sections with a form of their own
benchmark_page, main_page, best_rows             docs/benchmarks_all.md and docs/benchmarks.md; its rows
readme, example_tables, kernel_costs             one page each: its file, and its text drawn anew
expected         what `gramless.estimate` says beside what was measured
values           what pages include by name, for docs/conf.py
figures, how_it_works                            pictures, by matplotlib
"""
