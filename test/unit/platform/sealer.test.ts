import { randomBytes } from 'node:crypto';
import t from 'tap';
import { isSealed, NodeKeySealer } from '../../../src/platform/sealer.js';

const name = '/kube-pki/id-ca.key';
const sealer = new NodeKeySealer(randomBytes(32));
const secret = Buffer.from('a private key');

void t.test('what is sealed can be opened by the same node, under the same name', async (t) => {
  const sealed = Buffer.from(sealer.seal(name, secret));
  t.ok(isSealed(sealed));
  t.notOk(isSealed(secret));
  t.notOk(sealed.includes(secret));
  t.same(sealer.open(name, sealed), secret);
  t.notSame(sealer.seal(name, secret), sealed, 'never twice the same');

  const refused = { code: 'FAILED_PRECONDITION', message: /cannot be opened with this node's key/ };
  t.throws(() => sealer.open('/kube-pki/master.key', sealed), refused);
  t.throws(() => new NodeKeySealer(randomBytes(32)).open(name, sealed), refused);
  for (let at = 0; at < sealed.length; at++) {
    const altered = Buffer.from(sealed);
    altered[at] = (altered[at] ?? 0) ^ 1;
    // The first bytes only say that it is sealed; whoever alters them has made something else of it.
    if (isSealed(altered)) t.throws(() => sealer.open(name, altered), refused, `bit flipped in byte ${at}`);
  }
  for (let length = 5; length < sealed.length; length++) {
    t.throws(() => sealer.open(name, sealed.subarray(0, length)), refused, `cut to ${length} bytes`);
  }
});
