"""The API reference at `/docs`: Swagger UI over `/openapi.json`."""
