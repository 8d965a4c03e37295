import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Pipes } from '../../../src/host/pipes.js';
import { Ring } from '../../../src/lib/ring/ring.js';

void t.test('output that cannot be opened leaves no descriptor open', async (t) => {
  const folder = t.testdir();
  const dir = path.join(folder, 'pipes');
  const pipes = await Pipes.open({
    dir,
    startsFile: path.join(folder, 'starts'),
    runsFile: path.join(folder, 'runs.json'),
    components: ['etcd'],
    own: [],
  });
  t.teardown(() => pipes.close());
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  const output = pipes.openOutput('etcd');
  t.equal(open(), before + 2);
  output.close();
  t.equal(open(), before);
  rmSync(path.join(dir, 'etcd.stderr'));
  t.throws(() => pipes.openOutput('etcd'), { code: 'ENOENT' });
  t.equal(open(), before);
});

void t.test('the last lines of a run are read from the shared memory', async (t) => {
  const folder = t.testdir();
  const pipes = await Pipes.open({
    dir: path.join(folder, 'pipes'),
    startsFile: path.join(folder, 'starts'),
    runsFile: path.join(folder, 'runs.json'),
    components: [],
    own: ['hamlet.certs'],
  });
  t.teardown(() => pipes.close());
  const [ring] = pipes.workerData().rings;
  if (ring === undefined) throw new Error('no ring');
  const writer = new Ring(ring.memory);
  const write = (run: number, text: string) => {
    const bytes = Buffer.from(`${text}\n`);
    const stamp = { wallMs: 0, monotonicUs: 0, run, source: 'stdout', isCut: false } as const;
    writer.commit(writer.stage([bytes], Uint32Array.of(bytes.length), 1, stamp));
  };
  pipes.threadLog('hamlet.certs');
  const first = pipes.lastLines('hamlet.certs');
  t.same(first(), []);
  for (let i = 1; i <= 12; i++) write(1, `line ${i}`);
  pipes.threadLog('hamlet.certs');
  write(2, 'x'.repeat(1_000));
  t.same(
    first(),
    Array.from({ length: 10 }, (_, i) => `line ${i + 3}`),
  );
  t.same(pipes.lastLines('hamlet.certs')(), ['x'.repeat(400)]);
});
