// Emmett by its own driver, on PGHOST and PGDATABASE:
//
//   driver.mjs migrate                                       makes its tables
//   driver.mjs WORKLOAD CLIENTS SECONDS DATA METADATA        w1, w2, w3_10, w3_100, w4 or r1; prints calls a second
//
// CLIENTS is the size of its pool of connections and how many calls are under way at a time. A call that is refused is
// not counted, and none of the first 300 milliseconds. It has no call that appends to several streams.
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';
import pg from 'pg';

const [task, clients, seconds, data, metadata] = process.argv.slice(2);
const host = encodeURIComponent(process.env.PGHOST);
const url = `postgresql://${process.env.PGUSER}@localhost/${process.env.PGDATABASE}?host=${host}`;

if (task === 'migrate') {
    const store = getPostgreSQLEventStore(url);
    await store.schema.migrate();
    await store.close();
    process.exit(0);
}

const pool = new pg.Pool({ connectionString: url, max: Number(clients) });
const store = getPostgreSQLEventStore(url, { connectionOptions: { pool }, schema: { autoMigration: 'None' } });
const event = { type: 'OrderPlaced', data: JSON.parse(data), metadata: JSON.parse(metadata) };
const random = (count) => Math.floor(Math.random() * count);
const known = (stream) => `category${Math.floor(stream / 500)}-${stream}`;
const fresh = () => `category${random(20)}-${10000 + random(2 ** 50)}`;
const append = (stream, count) => store.appendToStream(stream, Array(count).fill(event));
const calls = {
    w1: () => append(fresh(), 1),
    w2: () => append(known(random(10000)), 1),
    w3_10: () => append(fresh(), 10),
    w3_100: () => append(fresh(), 100),
    w4: () => append(known(4711), 1),
    r1: () => store.readStream(known(10 * random(1000))),
};

const start = performance.now() + 300;
const end = start + Number(seconds) * 1000;
let done = 0;
const work = async () => {
    while (performance.now() < end) {
        try {
            await calls[task]();
            if (performance.now() > start) done++;
        } catch (error) {
            if (error.errorCode !== 412) throw error; // the version has changed meanwhile
        }
    }
};
await Promise.all(Array.from({ length: Number(clients) }, work));
console.log((done / (performance.now() - start)) * 1000);
process.exit(0);
