"""A training run as one HTML page: what it learned, what limits its speed, which worker is slow, how many bytes it exchanged.

- `sparkweave.report.page`: a run's history to the text of the page;
- `sparkweave.report.history`: the records, checked, as events;
- `sparkweave.report.answers`: the four questions, answered in a sentence each;
- `sparkweave.report.profile`, ``timeline``: where the time of measured steps went, by worker and by the clock;
- `sparkweave.report.evaluation`, ``confusion``, ``shares``: how good the model is on the test images;
- `sparkweave.report.chart`, ``scale``, ``stretches``, ``quantities``: geometry and numbers.

Nothing here makes markup but the templates, which escape whatever they are given: labels, hosts and reasons come from strangers.
"""
