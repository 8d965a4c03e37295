import { spawnSync } from 'node:child_process';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import t from 'tap';
import { makeEd25519Pair } from '../../../src/jobs/ed25519-pair.js';

void t.test('the JWKs and the DER are the same key', (t) => {
  const { publicJwk, privateJwk, privateDer } = makeEd25519Pair();
  const key = createPrivateKey({ key: Buffer.from(privateDer), type: 'pkcs8', format: 'der' });
  t.same(key.export({ format: 'jwk' }), privateJwk);
  t.same(createPublicKey(key).export({ format: 'jwk' }), publicJwk);
  t.notSame(makeEd25519Pair().privateJwk, privateJwk);
  t.end();
});

const loop = `
const [module, count] = process.argv.slice(1);
void import(module).then(({ makeEd25519Pair }) => {
  for (let made = 0; made < count; made += 1) makeEd25519Pair();
  console.log('made');
});
`;

// With KeyObjects, six of ten loops half as long never ended.
void t.test('a collection of garbage in the middle of it holds nothing up', (t) => {
  const module = new URL('../../../src/jobs/ed25519-pair.js', import.meta.url).href;
  // As small as a node's threads have it, so that there are many collections (src/host/v8-options.ts).
  const args = ['--max-semi-space-size=1', '-e', loop, module, '50000'];
  const { stdout, signal } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 });
  t.same({ stdout, signal }, { stdout: 'made\n', signal: null });
  t.end();
});
