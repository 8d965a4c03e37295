import { fileURLToPath } from 'node:url';
import t from 'tap';
import { run } from './support/hamlet.js';

const chaos = fileURLToPath(new URL('../chaos/main.js', import.meta.url));

/**
 * A short run; `npm run chaos` makes as many faults as are asked for. The first 20 of this seed have one of each kind
 * that ends in another way than all others (below), and beside these nothing that takes half a minute: neither a second
 * component or thread that hangs, nor a shortage.
 */
const seed = '16245';
const kinds = ['SIGSTOP of ', 'loop in ', 'SIGKILL of hamlet\n', 'SIGHUP of hamlet\n', ' in hamlet.debug\n'];

void t.test('a node mends itself', async (t) => {
  const { code, stdout, stderr } = await run(process.execPath, [chaos, '--faults', '20', '--seed', seed]);
  for (const line of stdout.trimEnd().split('\n')) t.comment(line);
  t.equal(code, 0, stderr);
  t.match(stdout, /\n20 faults made with seed \d+ in .*, 0 failed\n$/);
  for (const kind of kinds) t.ok(stdout.includes(kind), `${kind.trim()} was among them`);
});
