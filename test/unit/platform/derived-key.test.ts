import t from 'tap';
import { derivedKey, loadNodeIdentity } from '../../../src/platform/node-identity.js';

void t.test('a derived key is the node’s and the purpose’s own', async (t) => {
  const state = t.testdir();
  const identity = loadNodeIdentity(state);
  const key = derivedKey(identity, 'a');
  t.equal(key.length, 32);
  t.same(derivedKey(loadNodeIdentity(state), 'a'), key);
  t.notSame(derivedKey(identity, 'b'), key);
  t.notSame(derivedKey(loadNodeIdentity(t.testdir({ other: {} }) + '/other'), 'a'), key);
});
