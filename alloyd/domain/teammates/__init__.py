"""AI teammates: who they are, what they may do, their conversations, and talking to one."""
