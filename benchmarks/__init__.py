"""eventsnn, NEST and Brian2 side by side: `python -m benchmarks --help`."""
