"""Storage: an organization's tree of folders and files."""
