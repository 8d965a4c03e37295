import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Pipes } from '../../../src/host/pipes.js';

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
  const output = pipes.openOutput('etcd', 1);
  t.equal(open(), before + 2);
  output.close();
  t.equal(open(), before);
  rmSync(path.join(dir, 'etcd.stderr'));
  t.throws(() => pipes.openOutput('etcd', 2), { code: 'ENOENT' });
  t.equal(open(), before);
});
