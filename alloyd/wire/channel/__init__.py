"""The API channel: other systems talk to an organization's AI teammates."""
