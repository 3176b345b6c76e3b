"""The exercises: one module a lesson, which observes answers and judges them.

``lesson_NN.EXERCISES`` lists the exercises of a lesson. An observer runs where students' code runs
and knows nothing of what is right; a judge knows it and never runs there. No module here starts a
grader, reads a submission or imports another lesson's module.
"""
