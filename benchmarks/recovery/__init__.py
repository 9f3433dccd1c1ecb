"""How soon what a death leaves behind is noticed and put right, with the default times.

Real worker processes are killed side by side while they run instances and hold up trees; trees are
cancelled; Redis is emptied. Times are read from the audit trail, that is, from PostgreSQL's clock,
which is this machine's.
"""
