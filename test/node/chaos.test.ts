import { fileURLToPath } from 'node:url';
import t from 'tap';
import { run } from './support/hamlet.js';

const chaos = fileURLToPath(new URL('../chaos/main.js', import.meta.url));

/** A short run, with a seed that has nothing slow among its first faults; `npm run chaos` makes as many faults as are asked for. */
void t.test('a node mends itself', async (t) => {
  const { code, stdout, stderr } = await run(process.execPath, [chaos, '--faults', '20', '--seed', '48208']);
  for (const line of stdout.trimEnd().split('\n')) t.comment(line);
  t.equal(code, 0, stderr);
  t.match(stdout, /\n20 faults made with seed 48208 in .*, 0 failed\n$/);
});
