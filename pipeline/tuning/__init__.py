"""The stage `tune`: what the search asks for is trained, the best are scored again, and a winner is chosen."""
