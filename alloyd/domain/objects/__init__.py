"""Objects: the files that go into and come out of runs, on the local disk or in an S3-compatible store."""
