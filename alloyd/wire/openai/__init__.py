"""The OpenAI wire format over alloyd's models and teammates."""
