"""How a claimed step is run: the executor, retry decisions and deadlines."""
