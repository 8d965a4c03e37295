import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { linkPrograms } from '../../../src/platform/programs.js';

void t.test('the folder holds a link for each program and nothing else', async (t) => {
  const folder = path.join(t.testdir(), 'run', 'bin');
  const links = () =>
    Object.fromEntries(readdirSync(folder).map((name) => [name, readlinkSync(path.join(folder, name))]));
  linkPrograms({ runc: '/usr/sbin/runc', mount: '/bin/mount' }, folder);
  t.same(links(), { runc: '/usr/sbin/runc', mount: '/bin/mount' });

  writeFileSync(path.join(folder, 'stranger'), '');
  writeFileSync(path.join(folder, 'du'), 'a file where a link should be');
  linkPrograms({ runc: '/opt/runc', du: '/usr/bin/du' }, folder);
  t.same(
    links(),
    { runc: '/opt/runc', du: '/usr/bin/du' },
    'what changed is exchanged, what is left out goes',
  );
});
