#!/usr/bin/env node
// A consumer by node-postgres, until it is killed: its effects are what the function handle() of the database does,
// and dawdle() and a_few() say for how long it does nothing before, and how many events it asks for.
//
//   consumer.mjs CONNINFO SUBSCRIPTION CONSUMER

import { createRequire } from "node:module";

// Unlike import, this finds what a distribution has installed, and looks in NODE_PATH.
const pg = createRequire(import.meta.url)("pg");

const [conninfo, subscription, consumer] = process.argv.slice(2);
// node-postgres takes URLs, but not "host=… user=… dbname=…".
const { host, port, user, dbname } = Object.fromEntries(conninfo.split(/\s+/).map((word) => word.split("=")));

function sleep(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function consume(client) {
  const fetch = "SELECT * FROM es_fetch($1, $2, a_few(20), wait => '1 second', lease => '1 second')";
  for (;;) {
    const batch = (await client.query(fetch, [subscription, consumer])).rows;
    if (batch.length === 0) {
      await sleep(10);
      continue;
    }
    await client.query("SELECT dawdle()");
    await client.query("BEGIN");
    for (const event of batch) {
      const effect = [event.position, event.stream_id, event.version, consumer];
      await client.query("SELECT handle($1, $2, $3, $4)", effect);
    }
    const last = batch.at(-1);
    await client.query("SELECT es_ack($1, $2, $3)", [subscription, last.position, last.fence]);
    await client.query("COMMIT");
  }
}

for (;;) {
  const client = new pg.Client({ host, port, user, database: dbname });
  // The error of a connection that is lost; the query that meets it reports it as well.
  client.on("error", () => {});
  try {
    await client.connect();
    await consume(client);
  } catch (error) {
    console.log(`${error.code}: ${error.message}`);
    await client.end().catch(() => {});
    await sleep(50);
  }
}
