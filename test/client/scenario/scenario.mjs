#!/usr/bin/env node
// The scenario by node-postgres.
//
//   scenario.mjs CONNINFO SCENARIO

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Unlike import, this finds what a distribution has installed, and looks in NODE_PATH.
const pg = createRequire(import.meta.url)("pg");

const [conninfo, scenario] = process.argv.slice(2);
const { INT8, JSONB, TIMESTAMPTZ } = pg.types.builtins;
// All digits of positions and versions; JSON and times as the server wrote them, with all of theirs.
pg.types.setTypeParser(INT8, BigInt);
pg.types.setTypeParser(JSONB, String);
pg.types.setTypeParser(TIMESTAMPTZ, String);

// node-postgres takes URLs, but not "host=… user=… dbname=…".
const { host, port, user, dbname } = Object.fromEntries(conninfo.split(/\s+/).map((word) => word.split("=")));
const client = new pg.Client({ host, port, user, database: dbname });

// As node-postgres wants it: an array of texts is an array, any other is JSON, which it has to be told. Objects are.
function parameter(value) {
  return Array.isArray(value) && typeof value[0] !== "string" ? JSON.stringify(value) : value;
}

// As PostgreSQL writes it.
function text(value) {
  if (value === null) return "(null)";
  return typeof value === "boolean" ? (value ? "t" : "f") : String(value);
}

function run(step) {
  if (step.sql) return client.query({ text: step.sql, rowMode: "array" });
  const args = Object.entries(step.with ?? {});
  const names = args.map(([name], i) => `${name} => $${i + 1}`).join(", ");
  const values = args.map(([, value]) => parameter(value));
  return client.query({ text: `SELECT * FROM ${step.call}(${names})`, values, rowMode: "array" });
}

await client.connect();
for (const [i, step] of JSON.parse(readFileSync(scenario, "utf8")).entries()) {
  console.log(`${i + 1}. ${step.call ?? step.sql}`);
  try {
    for (const row of (await run(step)).rows) console.log(row.map(text).join("|"));
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    console.log(`ERROR:  ${error.code}: ${error.message}`);
    if (error.detail) console.log(`DETAIL:  ${error.detail}`);
    if (error.hint) console.log(`HINT:  ${error.hint}`);
    if (error.constraint) console.log(`TABLE NAME:  ${error.table}\nCONSTRAINT NAME:  ${error.constraint}`);
  }
}
await client.end();
