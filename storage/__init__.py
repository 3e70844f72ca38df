"""Import as `eventsnn.storage`."""

if __name__ != "eventsnn.storage":
    raise ImportError("import it as 'eventsnn.storage', not as 'storage': a second copy of its classes would not match the first")
