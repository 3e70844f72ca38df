"""Import as `eventsnn.scheduler`."""

if __name__ != "eventsnn.scheduler":
    raise ImportError(
        "import it as 'eventsnn.scheduler', not as 'scheduler': a second copy of its classes would not match the first"
    )
