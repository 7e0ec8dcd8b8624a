"""The objects contract: `/api/v1/objects`, and the signed URLs below `/objects`."""
