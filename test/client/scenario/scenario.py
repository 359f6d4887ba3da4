#!/usr/bin/python3
"""The scenario by psycopg 3.

    scenario.py CONNINFO SCENARIO
"""

import json
import sys

import psycopg
from psycopg.types.json import Jsonb
from psycopg.types.string import TextLoader


def parameter(value):
    """As psycopg wants it: a list of texts is an array, any other list and a dict are JSON."""
    is_array = isinstance(value, list) and value and isinstance(value[0], str)
    return Jsonb(value) if isinstance(value, (dict, list)) and not is_array else value


def text(value):
    """As PostgreSQL writes it."""
    if value is None:
        return "(null)"
    return {True: "t", False: "f"}[value] if isinstance(value, bool) else str(value)


def run(connection, step):
    if "sql" in step:
        return connection.execute(step["sql"])
    arguments = step.get("with", {})
    names = ", ".join(f"{name} => %({name})s" for name in arguments)
    values = {name: parameter(value) for name, value in arguments.items()}
    return connection.execute(f"SELECT * FROM {step['call']}({names})", values)


def main(conninfo, scenario):
    with open(scenario, encoding="utf-8") as file:
        steps = json.load(file)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        # JSON as the server wrote it: json.loads would make floating-point numbers of long ones.
        connection.adapters.register_loader("jsonb", TextLoader)
        for number, step in enumerate(steps, 1):
            print(f"{number}. {step.get('call') or step['sql']}")
            try:
                cursor = run(connection, step)
                for row in cursor.fetchall() if cursor.description else []:
                    print("|".join(map(text, row)))
            except psycopg.Error as error:
                said = error.diag
                print(f"ERROR:  {said.sqlstate}: {said.message_primary}")
                if said.message_detail:
                    print(f"DETAIL:  {said.message_detail}")
                if said.message_hint:
                    print(f"HINT:  {said.message_hint}")
                if said.constraint_name:
                    print(f"TABLE NAME:  {said.table_name}\nCONSTRAINT NAME:  {said.constraint_name}")


main(*sys.argv[1:])
