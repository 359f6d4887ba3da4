#!/usr/bin/python3
"""A consumer by psycopg 3, until it is killed: its effects are what the function handle() of the database does, and
dawdle() and a_few() say for how long it does nothing before, and how many events it asks for.

    consumer.py CONNINFO SUBSCRIPTION CONSUMER
"""

import sys
import time

import psycopg
from psycopg.rows import namedtuple_row


def consume(connection, subscription, consumer):
    while True:
        batch = connection.execute(
            "SELECT * FROM es_fetch(%s, %s, a_few(20), wait => '1 second', lease => '1 second')",
            (subscription, consumer),
        ).fetchall()
        if not batch:
            time.sleep(0.01)
            continue
        connection.execute("SELECT dawdle()")
        with connection.transaction():
            for event in batch:
                connection.execute(
                    "SELECT handle(%s, %s, %s, %s)", (event.position, event.stream_id, event.version, consumer)
                )
            connection.execute("SELECT es_ack(%s, %s, %s)", (subscription, batch[-1].position, batch[-1].fence))


def main(conninfo, subscription, consumer):
    while True:
        try:
            # A pooler may give each transaction another session: no statements are prepared in one.
            with psycopg.connect(
                conninfo, autocommit=True, prepare_threshold=None, row_factory=namedtuple_row
            ) as connection:
                consume(connection, subscription, consumer)
        except psycopg.Error as error:
            print(f"{error.sqlstate}: {error}".splitlines()[0], flush=True)
            time.sleep(0.05)


main(*sys.argv[1:])
