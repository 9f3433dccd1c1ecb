"""What the pages of the schema share: one metadata, and how its constraints are named."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

NAMING = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
}
metadata = sa.MetaData(naming_convention=NAMING)

UUID = pg.UUID(as_uuid=False)
TIME = sa.DateTime(timezone=True)
