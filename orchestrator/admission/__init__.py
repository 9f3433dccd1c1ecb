"""Floor 1: the gate. The only place that knows Redis keys and Lua."""
