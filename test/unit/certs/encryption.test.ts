import t from 'tap';
import { defaultLifetimes } from '../../../src/platform/lifetimes.js';
import {
  currentKey,
  currentPrefix,
  encryptionConfiguration,
  encryptionDueMs,
  encryptionRecord,
  isEarlyKey,
  isOverdue,
  isPending,
  newEncryption,
  parseEncryption,
  rotatedEncryption,
  writtenEncryption,
} from '../../../src/workers/certs/encryption.js';

const { secretsKeyMs } = defaultLifetimes;
const startMs = 1_000_000_000_000;

interface Configuration {
  readonly resources: [
    {
      readonly resources: readonly string[];
      readonly providers: readonly {
        readonly secretbox?: { readonly keys: readonly { readonly name: string; readonly secret: string }[] };
        readonly identity?: object;
      }[];
    },
  ];
}

function providersOf(text: string) {
  const { resources } = JSON.parse(text) as Configuration;
  return resources[0].providers;
}

void t.test('a key is followed by the next one when all Secrets are written by it', async (t) => {
  const first = newEncryption(startMs, false);
  t.equal(isPending(first), false, 'there are no Secrets yet');
  t.same(parseEncryption(encryptionRecord(first)), first);
  t.equal(Buffer.from(currentKey(first).secret, 'base64').length, 32);

  const dueMs = startMs + secretsKeyMs;
  t.equal(encryptionDueMs(first, secretsKeyMs), dueMs);
  const second = rotatedEncryption(first, dueMs);
  t.same(second.keys[1], first.keys[0], 'what the old one has encrypted stays readable');
  t.not(currentKey(second).secret, currentKey(first).secret);
  t.not(currentKey(second).name, currentKey(first).name);
  t.equal(currentPrefix(second), `k8s:enc:secretbox:v1:${currentKey(second).name}:`);
  t.equal(isPending(second), true);
  t.equal(encryptionDueMs(second, secretsKeyMs), Infinity, 'no key is lost');

  const written = writtenEncryption(second);
  t.same(written.keys, [second.keys[0]], 'the old key is taken away');
  t.equal(isPending(written), false);
  t.equal(encryptionDueMs(written, secretsKeyMs), dueMs + secretsKeyMs);
});

void t.test('a key waits for a start of the API server, but not for ever', async (t) => {
  const first = newEncryption(startMs, false);
  t.equal(isOverdue(first, Number.MAX_SAFE_INTEGER, secretsKeyMs), false, 'nothing waits');
  const second = rotatedEncryption(first, startMs + secretsKeyMs);
  t.equal(isOverdue(second, startMs + secretsKeyMs * 1.33, secretsKeyMs), false);
  t.equal(isOverdue(second, startMs + secretsKeyMs * 1.34, secretsKeyMs), true);
});

void t.test('a key that was made by a clock that was ahead is known by its time', async (t) => {
  const early = newEncryption(startMs + secretsKeyMs, false);
  t.equal(isEarlyKey(early, startMs), true);
  t.equal(isEarlyKey(early, startMs + secretsKeyMs - 1_000), false, 'a second is nothing');
  t.equal(
    isEarlyKey(rotatedEncryption(early, startMs + secretsKeyMs), startMs),
    false,
    'never while it is taken',
  );
});

void t.test('plain Secrets are readable as long as there may be some', async (t) => {
  const older = newEncryption(startMs, true);
  t.equal(isPending(older), true);
  const { name, secret } = currentKey(older);
  const secretbox = { secretbox: { keys: [{ name, secret }] } };
  t.same(providersOf(encryptionConfiguration(older)), [secretbox, { identity: {} }]);
  t.same(providersOf(encryptionConfiguration(writtenEncryption(older))), [secretbox]);
});

void t.test('a record that nobody can read is refused', async (t) => {
  const key = { name: 'key-1', secret: '', madeMs: 1 };
  for (const record of ['', '{}', '{"keys":[],"written":""}', { keys: [key, key, key], written: '' }]) {
    const text = typeof record === 'string' ? record : JSON.stringify(record);
    t.throws(() => parseEncryption(Buffer.from(text)), text);
  }
});
