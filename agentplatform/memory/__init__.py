"""What a model is told of a conversation: its latest turns as they are, a summary of the older ones, and what is recalled."""
