"""The control plane over gRPC: the same routes, permissions and functions as over HTTP."""
