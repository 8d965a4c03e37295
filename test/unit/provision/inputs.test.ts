import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { hashFile, hashInputs, listPatches } from '../../../src/provision/inputs.js';
import { givenKubeInputs, givenTreeInputs } from '../../../src/provision/recipes.js';

const { signal } = new AbortController();

void t.test('the hash follows every name and value and not their order', async (t) => {
  t.equal(hashInputs({ a: '1', b: '2' }), hashInputs({ b: '2', a: '1' }));
  t.match(hashInputs({}), /^[0-9a-f]{64}$/);
  const inputs = fc.dictionary(fc.string(), fc.string());
  fc.assert(
    fc.property(inputs, inputs, (a, b) => {
      const key = (value: object) => JSON.stringify(Object.entries(value).sort());
      return (key(a) === key(b)) === (hashInputs(a) === hashInputs(b));
    }),
  );
  t.not(hashInputs({ ab: 'c' }), hashInputs({ a: 'bc' }), 'where a name ends is part of it');
});

void t.test('a file is hashed as sha256sum does it', async (t) => {
  const file = path.join(t.testdir({ abc: 'abc' }), 'abc');
  // NIST's test vector for SHA-256.
  t.equal(await hashFile(file, signal), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});

void t.test('patches, their content, names and order, and main.go give the key', async (t) => {
  const folder = t.testdir({
    'main.go': 'package main\n',
    patches: { '0001-a.patch': 'a', '0002-b.patch': 'b', 'README.md': 'not a patch' },
  });
  const patches = path.join(folder, 'patches');
  const key = async () => hashInputs(await givenKubeInputs(folder, signal));
  const seen = new Set([await key()]);
  const changes: [string, () => void][] = [
    ['content of a patch', () => writeFileSync(path.join(patches, '0001-a.patch'), 'A')],
    ['one patch more', () => writeFileSync(path.join(patches, '0003-c.patch'), 'c')],
    [
      'another order',
      () => renameSync(path.join(patches, '0001-a.patch'), path.join(patches, '0004-a.patch')),
    ],
    ['one patch less', () => rmSync(path.join(patches, '0002-b.patch'))],
    ['main.go', () => writeFileSync(path.join(folder, 'main.go'), 'package main // changed\n')],
  ];
  for (const [what, change] of changes) {
    change();
    const now = await key();
    t.notOk(seen.has(now), `${what}: another key`);
    seen.add(now);
  }
  writeFileSync(path.join(patches, 'README.md'), 'changed');
  t.ok(seen.has(await key()), 'what is no patch does not count');
  const tree = hashInputs(await givenTreeInputs(folder, signal));
  writeFileSync(path.join(folder, 'main.go'), 'package main // again\n');
  t.equal(hashInputs(await givenTreeInputs(folder, signal)), tree, 'main.go is no part of the source tree');
});

void t.test('patches are applied by name', async (t) => {
  const folder = t.testdir();
  t.same(listPatches(folder), []);
  t.same(listPatches(path.join(folder, 'nonexistent')), []);
  for (const name of ['0010-z.patch', '0002-b.patch', '0001-a.patch', 'notes.txt']) {
    writeFileSync(path.join(folder, name), '');
  }
  mkdirSync(path.join(folder, 'old'));
  t.same(
    listPatches(folder).map((file) => path.basename(file)),
    ['0001-a.patch', '0002-b.patch', '0010-z.patch'],
  );
});
