import { existsSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { workerData } from 'node:worker_threads';

export type Death = 'throw' | 'memory' | 'loop';

export interface Order {
  readonly death: Death;
  readonly afterMs: number;
}

/** Names the folder of the orders. */
export const ordersVariable = 'CHAOS_ORDERS';
/** A look is one system call. */
const lookEveryMs = 100;

/** How a thread can die. A loop is noticed by its silence. */
const deaths: Readonly<Record<Death, () => void>> = {
  throw() {
    throw new Error('chaos');
  },
  memory() {
    const all: number[][] = [];
    for (;;) all.push(new Array<number>(1e5).fill(all.length));
  },
  loop() {
    for (;;);
  },
};

/** Loaded into every thread of Hamlet before its own code: ends a worker thread when a file of its name says so. */
const { name } = (workerData ?? {}) as { readonly name?: string };
const folder = process.env[ordersVariable];
if (name !== undefined && folder !== undefined) {
  const file = path.join(folder, name);
  const look = () => {
    if (!existsSync(file)) return;
    const { death, afterMs } = JSON.parse(readFileSync(file, 'utf8')) as Order;
    rmSync(file);
    setTimeout(deaths[death], afterMs);
  };
  setInterval(look, lookEveryMs).unref();
}
