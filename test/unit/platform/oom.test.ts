import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { uptime } from 'node:os';
import t from 'tap';
import { oomKills, wasOomKilled } from '../../../src/platform/oom.js';

const root = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup'].find((folder) =>
  existsSync(`${folder}/cgroup.procs`),
);
const limit = root === '/sys/fs/cgroup' ? 'memory.max' : 'memory.limit_in_bytes';

/** A cgroup with little memory, or undefined where none can be made. */
function smallGroup(): string | undefined {
  const folder = `${root ?? ''}/hamlet-test-${process.pid}`;
  try {
    mkdirSync(folder);
    writeFileSync(`${folder}/${limit}`, String(8 * 1024 * 1024));
    return folder;
  } catch {
    return undefined;
  }
}

void t.test('a process that the kernel has killed for its memory is known as such', async (t) => {
  const folder = smallGroup();
  if (folder === undefined) {
    t.pass('no cgroup with a limit can be made here');
    return;
  }
  t.teardown(() => rmdirSync(folder));
  const before = oomKills() ?? 0;
  const script = `echo $$ > ${folder}/cgroup.procs; exec awk 'BEGIN { s = "12345678"; while (1) s = s s }'`;
  const { pid, signal } = spawnSync('/bin/sh', ['-c', script], { timeout: 20_000 });

  t.equal(signal, 'SIGKILL');
  t.ok(wasOomKilled(pid));
  const nowTicks = uptime() * 100;
  t.ok(wasOomKilled(pid, nowTicks - 20 * 100));
  t.notOk(wasOomKilled(pid, nowTicks + 20 * 100), 'a later process with its number');
  t.ok((oomKills() ?? 0) > before);
});

void t.test('any other is not', async (t) => {
  const { pid } = spawnSync('/bin/sh', ['-c', 'kill -KILL $$']);
  t.notOk(wasOomKilled(pid));
});
