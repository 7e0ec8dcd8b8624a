"""Assets: files that are named by an id, outside of the tree of folders."""
