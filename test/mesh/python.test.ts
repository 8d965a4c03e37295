import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import * as v from 'valibot';
import { client } from '../../src/ipc/client.js';
import { service, stream, unary } from '../../src/ipc/contract.js';
import { serve } from '../../src/ipc/server.js';
import { Mesh } from './fixtures/mesh.js';
import { main } from './fixtures/services.js';

const python = service('python', {
  upper: unary(v.strictObject({ text: v.string() }), v.strictObject({ text: v.string() })),
  count: stream(
    v.strictObject({ to: v.number() }),
    v.strictObject({ n: v.number(), pad: v.instance(Uint8Array<ArrayBufferLike>) }),
  ),
  nosuch: unary(v.strictObject({}), v.strictObject({})),
});

const { error } = spawnSync('python3', ['--version']);
const skip = error === undefined ? false : 'python3 is not installed';

void t.test('a peer in another language, written from docs/ipc.md', { skip }, async (t) => {
  const mesh = await Mesh.start({
    endpoints: [
      { name: 'main', serves: [main], calls: [python] },
      { name: 'python', serves: [python], calls: [main] },
    ],
  });
  t.teardown(() => mesh[Symbol.asyncDispose]());
  const connection = await mesh.connect('main');
  const notes: string[] = [];
  const noted = new Promise<void>((resolve) => {
    serve(connection, main, {
      remaining: () => ({ ms: 0 }),
      note: ({ text }, { source }) => {
        notes.push(`${source}: ${text}`);
        if (notes.length === 2) resolve();
        return {};
      },
    });
  });
  // The source lies in test/, the compiled test in dist/test/.
  const file = fileURLToPath(new URL('../../../test/mesh/peer.py', import.meta.url));
  const child = spawn('python3', [file, mesh.router.path, 'python', mesh.router.admit('python')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  t.teardown(() => child.kill());
  const exit = once(child, 'exit');
  await Promise.race([
    noted,
    exit.then(() => {
      throw new Error('the peer has ended');
    }),
  ]);
  t.same(notes, ['python: hello from Python', 'python: noted'], 'it calls, and gets an answer');

  const caller = client(connection, python);
  t.same(await caller.upper({ text: 'größer' }), { text: 'GRÖSSER' });
  t.equal((await caller.upper({ text: 'x'.repeat(900_000) })).text.length, 900_000);
  await t.rejects(caller.nosuch({}), { code: 'UNIMPLEMENTED', message: 'python.nosuch' });
  let expected = 0;
  for await (const { n, pad } of caller.count({ to: 2_000 })) {
    if (n !== expected || pad.length !== 1_000) t.fail(`item ${n} instead of ${expected}`);
    expected += 1;
  }
  t.equal(expected, 2_000, 'a stream many times as large as its window');
  for await (const { n } of caller.count({ to: 1_000_000 })) if (n === 300) break;
  t.same(await caller.upper({ text: 'still there' }), { text: 'STILL THERE' }, 'it has taken the CANCEL');
  const pending = caller.upper({ text: 'x' }).catch((error: unknown) => error);
  child.kill('SIGKILL');
  await pending;
  await exit;
  await t.rejects(caller.upper({ text: 'nobody' }), { code: 'UNAVAILABLE' });
});
