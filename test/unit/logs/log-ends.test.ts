import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { sequencesPerStart } from '../../../src/lib/ring/memory.js';
import { LogEnds } from '../../../src/workers/logs/log-ends.js';

const at = (start: number, line: number) => start * sequencesPerStart + line;

void t.test('how many lines lie between two starts', (t) => {
  const file = join(t.testdir(), 'ends.json');
  new LogEnds({ file, start: 1 }).add({ etcd: at(1, 100), quiet: at(1, 0) });
  new LogEnds({ file, start: 2 }).add({ etcd: at(2, 7), quiet: at(2, 0) });
  // The third was killed.
  const ends = new LogEnds({ file, start: 4 });
  t.equal(ends.countLost('etcd', at(1, 40), at(2, 5)), 65);
  t.equal(ends.countLost('etcd', at(1, 40), at(3, 5)), 60 + 7 + 5);
  t.equal(ends.countLost('quiet', at(1, 0), at(3, 0)), 0);
  t.equal(ends.countLost('etcd', at(1, 40), at(4, 5)), undefined);
  t.equal(ends.countLost('etcd', at(3, 0), at(4, 0)), undefined);
  t.end();
});

void t.test('a log that has used up the numbers of its start', (t) => {
  const file = join(t.testdir(), 'ends.json');
  new LogEnds({ file, start: 1 }).add({ etcd: at(2, 100), quiet: at(1, 10) });
  const ends = new LogEnds({ file, start: 3 });
  t.equal(ends.countLost('etcd', at(1, 40), at(3, 0)), undefined);
  t.equal(ends.countLost('quiet', at(1, 4), at(2, 0)), 6, 'the end is noted under the start that it was of');
  t.end();
});

void t.test('where the disk takes nothing they are left in memory, for one start', (t) => {
  const dir = t.testdir({ memory: {} });
  const [disk, file, leftFile] = [
    join(dir, 'disk'),
    join(dir, 'disk', 'ends.json'),
    join(dir, 'memory', 'ends.json'),
  ];
  // Nothing can be written where there is no folder.
  new LogEnds({ file, leftFile, start: 1 }).add({ etcd: at(1, 100) });
  t.throws(() => new LogEnds({ file, start: 1 }).add({ etcd: at(1, 100) }), { code: 'ENOENT' });
  mkdirSync(disk);
  const ends = new LogEnds({ file, leftFile, start: 2 });
  t.equal(ends.countLost('etcd', at(1, 40), at(2, 5)), 65);
  t.notOk(existsSync(leftFile));
  t.equal(new LogEnds({ file, start: 3 }).countLost('etcd', at(1, 40), at(2, 5)), 65);
  t.end();
});
