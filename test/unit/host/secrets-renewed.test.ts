import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { Secrets } from '../../../src/host/secrets.js';

const file = (name: string, text: string) => ({ name, data: Buffer.from(text) });

void t.test('secrets can be compared and replaced while their component has them', async (t) => {
  const secrets = new Secrets(path.join(t.testdir(), 'secrets'));
  t.throws(() => secrets.changed('a', []), { code: 'NOT_FOUND' });
  if (process.getuid?.() !== 0) return t.comment('the rest needs root: it mounts');
  t.teardown(() => secrets.remove('a'));
  const providing = secrets.provide('a', [file('x', '1'), file('y', '2')]);
  t.throws(
    () => secrets.changed('a', [file('x', '1')]),
    { code: 'NOT_FOUND' },
    'not while they are put there',
  );
  await providing;
  t.same(secrets.changed('a', [file('x', '1'), file('y', '3'), file('z', '4')]), ['y', 'z']);
  secrets.replace('a', [file('y', '3')]);
  t.same(secrets.changed('a', [file('x', '1'), file('y', '3')]), []);
  const place = path.join(secrets.folder('a'), 'y');
  t.equal(readFileSync(place, 'utf8'), '3');
  t.equal(statSync(place).mode & 0o777, 0o400);
  await secrets.remove('a');
  t.notOk(existsSync(place));
  t.throws(() => secrets.replace('a', []), { code: 'NOT_FOUND' });
});
