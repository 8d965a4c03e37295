import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const module = fileURLToPath(new URL('../../../src/host/priority.js', import.meta.url));
/** The priority of each thread of a process, the main thread's first. */
const nicesOf = `
  const [{ readdirSync }, { getPriority }] = [require('node:fs'), require('node:os')];
  const nices = () => readdirSync('/proc/self/task').map(Number).sort((a, b) => a - b).map((id) => getPriority(id));`;
const script = `
  import { createRequire } from 'node:module';
  import { once } from 'node:events';
  import { spawnSync } from 'node:child_process';
  import { Worker } from 'node:worker_threads';
  import { atUsualPriority, raisePriority } from ${JSON.stringify(module)};
  const require = createRequire('/');
  ${nicesOf}
  const putBack = await raisePriority();
  const [main, ...others] = nices();
  const code = 'require("worker_threads").parentPort.postMessage(require("os").getPriority())';
  const newWorker = () => new Worker(code, { eval: true, execArgv: [] });
  const [[thread], [bulk]] = await Promise.all([newWorker(), atUsualPriority(newWorker)].map((worker) => once(worker, 'message')));
  const print = ${JSON.stringify(`${nicesOf} console.log(JSON.stringify(nices()))`)};
  const execute = () => JSON.parse(spawnSync(process.execPath, ['-e', print]).stdout);
  const child = atUsualPriority(execute);
  const [again] = nices();
  putBack();
  const [end] = nices();
  console.log(JSON.stringify({ main, others, thread, bulk, child, again, end, after: atUsualPriority(execute) }));
`;

interface Nices {
  readonly main: number;
  readonly others: readonly number[];
  readonly thread: number;
  readonly bulk: number;
  readonly child: readonly number[];
  readonly again: number;
  readonly end: number;
  readonly after: readonly number[];
}

function run(...prefix: readonly string[]): Nices {
  const [file = '', ...args] = prefix.concat(process.execPath, '--input-type=module', '-e', script);
  const { stdout, stderr } = spawnSync(file, args, { encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as Nices;
}

void t.test(
  'the main thread and those that it starts go first, what it executes and the pool do not',
  (t) => {
    const { others, child, after, ...nices } = run('nice', '-n', '3');
    t.same(
      nices,
      { main: -12, thread: -12, bulk: 3, again: -12, end: 3 },
      '15 above what it was started with',
    );
    for (const threads of [others, child, after]) {
      t.ok(threads.length > 4, 'the pool has four threads');
      t.same(new Set(threads), new Set([3]));
    }
    t.end();
  },
);

void t.test('where it is not permitted everything stays as it is', (t) => {
  const { main, thread, child, end } = run(
    'setpriv',
    '--bounding-set',
    '-sys_nice',
    '--inh-caps',
    '-sys_nice',
  );
  t.same({ main, thread, end }, { main: 0, thread: 0, end: 0 });
  t.same(new Set(child), new Set([0]));
  t.end();
});
