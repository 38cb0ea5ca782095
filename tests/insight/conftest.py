"""Two small models of one table, trained once."""

from __future__ import annotations

import pytest
from small_table import table_session

from reparam.insight import Session


@pytest.fixture(scope="session")
def session() -> Session:
    return table_session()


@pytest.fixture(scope="session")
def other() -> Session:
    return table_session(1, scale="softplus")
