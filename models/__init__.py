"""Import as `eventsnn.models`."""

if __name__ != "eventsnn.models":
    raise ImportError("import it as 'eventsnn.models', not as 'models': a second copy of its classes would not match the first")
