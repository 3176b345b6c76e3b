"""What an author runs: students' copies of the exercises, and the release that students get.

`generate` makes the exercises from the solutions, `release` the archive, `notebook` the one form of
a file. Nothing here runs a student's code or knows what a right answer is.
"""
