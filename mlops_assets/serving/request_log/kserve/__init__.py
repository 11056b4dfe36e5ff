"""Events of KServe, which become rows of the request log."""
