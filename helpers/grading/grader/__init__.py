"""What an instructor runs: grade what a class handed in, each submission in a sandbox of its own.

`grade` is the whole run. `plan` says first who handed in what: `reading` reads it, in a process of
its own (`opening`, `cells`), `who` tells whose it is (`identity`, `mapping`), `submissions` which
file counts. `visit` looks after
one submission in a `sandbox`, where `inside` runs its code and sees the helpers that `package`
copied without judges; `marking` judges the facts, `report` writes tables and pages. Students do
not get this wing, and no exercise is defined in it.
"""
